"""
`buildr-calls run`, `work` and `sandbox`: with `serve`, the commands that stay in the foreground.
"""

import asyncio
import signal
import sys
from typing import Final, cast

import click

from service.buildr_ids import is_buildr_id
from service.settings import Budget, Installation, Settings
from workers.cli.accounts import load_accounts, load_settings
from workers.cli.failure import Failure
from workers.cli.module_on_use import PRINTERS, without
from workers.cli.watched import end_with_stdin, watched

# In the sandbox it is filed as in Buildr's published example, see `workers/sandbox/records.py`.
DEMO_CALL: Final = "110"
PORT: Final = click.IntRange(1, 65535)


@click.command()
@click.option("--port", type=PORT, help="Port of the receiver.  [env var: PORT; default: 8000]")
@click.option(
    "--sandbox-port",
    type=PORT,
    default=8001,
    show_default=True,
    help="Port of the sandbox that stands in for Buildr.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    help="Folder of the private Redis.  [env var: DATA_DIR; default: .data]",
)
@click.option(
    "--demo/--no-demo",
    "is_demo",
    default=None,
    help="Simulate a call or not; default: only with the sandbox.",
)
@click.option(
    "--demo-call",
    metavar="ID",
    help=f"The Buildr call that the demo writes to.  [default: {DEMO_CALL} of the sandbox]",
)
@click.option(
    "--any-call",
    "is_any_call",
    is_flag=True,
    help="A sandbox for real traffic: any call, the outcomes of your map, no limit; no demo.",
)
@click.option(
    "--once",
    "is_once",
    is_flag=True,
    help="Stop after the call; exit code 0 if its outcome reached Buildr.",
)
def run(
    *,
    port: int | None,
    sandbox_port: int,
    data_dir: str | None,
    is_demo: bool | None,
    demo_call: str | None,
    is_any_call: bool,
    is_once: bool,
) -> None:
    """
    Run all of it on this machine and simulate a call: Redis, sandbox, receiver, worker.

    Redis is private unless REDIS_URL is set; the sandbox stands in for Buildr unless Buildr
    credentials are set. Ctrl-C stops everything.

    \b
    Examples:
      buildr-calls run
      buildr-calls run --port 9000 --no-demo
      buildr-calls run --once
    """
    # Imported here and below: every command loads this module, and most need none of these.
    from workers.local.run import LocalRun, RunOptions
    from workers.local.terminal import LastingConsole, Screen

    overrides = {
        name: str(value)
        for name, value in (("PORT", port), ("DATA_DIR", data_dir))
        if value is not None
    }
    installation = load_accounts(is_local=False, overrides=overrides)
    settings = installation.default
    if is_any_call:
        is_demo = is_demo or False
    options = RunOptions(
        sandbox_port=sandbox_port,
        is_any_call=is_any_call,
        demo_call=_demo_call(installation, is_demo, demo_call),
        is_once=is_once,
    )
    if is_once and options.demo_call is None:
        raise click.UsageError("--once stops after the demo, and there is none: add --demo")
    if installation.has_buildr_credentials or installation.others:
        _check_serving(installation)
    if installation.has_buildr_credentials:
        _check_options(settings, demo_call=options.demo_call, is_any_call=is_any_call)
    # Before anything is started: a Redis of the operator's is not one that `run` could start again.
    if settings.redis_url is not None:
        from workers.cli.session import check_redis

        check_redis(settings)
    screen = Screen(
        console=LastingConsole(file=sys.stdout, highlight=False),
        least=settings.log_level,
        is_raw=settings.log_format == "json",
    )
    raise SystemExit(asyncio.run(LocalRun(installation, options, screen).run()))


@click.command()
@watched
def work(*, is_watched: bool) -> None:
    """
    Run a worker.

    \b
    Example:
      WORKER_JOBS=20 buildr-calls work
    """
    with without(*PRINTERS):
        from workers.process.main import run_worker

    end_with_stdin(is_wanted=is_watched)
    run_worker(load_accounts(is_local=False))


def _outcomes(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """The values of `--outcome`. Raises click's usage error for one without a name."""
    for value in values:
        first, equals, name = value.partition("=")
        if not (name if equals and first.isdecimal() else value).strip():
            raise click.BadParameter(f"{value!r} has no name; write NAME, or ID=NAME")
    return values


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=PORT, default=8001, show_default=True, help="Port to listen on.")
@click.option(
    "--limit-mode",
    type=click.Choice(["window", "bucket", "both", "off"]),
    default="both",
    show_default=True,
    help="How it limits.",
)
@click.option(
    "--requests",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Requests allowed in a window.",
)
@click.option(
    "--window",
    "window_s",
    type=click.FloatRange(min=0, min_open=True),
    default=10,
    show_default=True,
    help="The window, in seconds.",
)
@click.option(
    "--auto-create",
    "is_auto_create",
    is_flag=True,
    help="Take a PATCH of any call, also one that does not exist.",
)
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    callback=_outcomes,
    help="One more call outcome: NAME, or ID=NAME.",
)
@watched
def sandbox(
    *,
    host: str,
    port: int,
    limit_mode: str,
    requests: int,
    window_s: float,
    is_auto_create: bool,
    outcomes: tuple[str, ...],
    is_watched: bool,
) -> None:
    """
    Run the local Buildr alone. Its token is sandbox-token, its client sandbox-client with
    sandbox-secret.

    \b
    Examples:
      buildr-calls sandbox
      buildr-calls sandbox --port 9001 --auto-create --limit-mode off
    """
    with without(*PRINTERS):
        from service.logs.setup import configure_logging, flush_log_on_signal
        from workers.sandbox import SandboxConfig, run_sandbox
        from workers.sandbox.rate_limit import Mode

    settings = load_settings(is_local=False)
    configure_logging(fmt=settings.log_format, level=settings.log_level, in_background=True)
    flush_log_on_signal(signal.SIGTERM)
    end_with_stdin(is_wanted=is_watched)
    config = SandboxConfig(
        budgets=(Budget(requests=requests, window_s=window_s),),
        limit_mode=cast("Mode", limit_mode),
        auto_create=is_auto_create,
        more_outcomes=outcomes,
    )
    try:
        run_sandbox(config, host=host, port=port)
    except OSError as err:
        raise Failure(
            f"cannot listen on port {port} of {host} ({err.strerror or err}): "
            "choose another with --host and --port"
        ) from err


def _demo_call(
    installation: Installation, is_demo: bool | None, demo_call: str | None
) -> str | None:
    """
    The Buildr call of the demo, or None for no demo. In a real account it must be named: it is
    written to.
    """
    if demo_call is not None and not is_buildr_id(demo_call):
        raise click.UsageError("--demo-call wants the id of a call in Buildr, digits only")
    if is_demo is False:
        return None
    if not installation.has_buildr_credentials:
        return demo_call or DEMO_CALL
    if not is_demo:
        return None
    if demo_call is None:
        raise click.UsageError(
            "Buildr credentials are set, so that the demo would change a real call: "
            "name it with --demo-call ID"
        )
    return demo_call


def _check_options(settings: Settings, *, demo_call: str | None, is_any_call: bool) -> None:
    """Raises click's usage error for what does not go with Buildr credentials."""
    if is_any_call:
        raise click.UsageError(
            "--any-call is for the sandbox: take the Buildr credentials out of the settings"
        )
    if demo_call is not None and not settings.secrets_of("twilio").values:
        raise click.UsageError("the demo simulates a call of Twilio's: set TWILIO_AUTH_TOKEN")


def _check_serving(installation: Installation) -> None:
    from service.receiver.server import check_serving

    check_serving(installation)
