"""
`buildr-calls serve`: the receiver, as one process or several.
"""

from typing import TYPE_CHECKING

import click

from service.errors import SettingsError
from service.settings import Installation
from workers.cli.accounts import load_accounts
from workers.cli.failure import FAILED, Failure, SettingsFault
from workers.cli.module_on_use import PRINTERS, without
from workers.cli.watched import end_with_stdin, watched

if TYPE_CHECKING:
    from service.receiver.app import Addition


@click.command()
@click.option(
    "--processes",
    "count",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that accept from one socket.",
)
@click.option(
    "--reload-on",
    type=click.Choice(["HUP"]),
    help="Replace the processes on this signal, with new code and settings.  "
    "[default: HUP with several processes]",
)
@click.option(
    "--drain",
    "drain_s",
    type=click.FloatRange(0, 60),
    default=0,
    help="Seconds to go on after SIGTERM, with /readyz at 503: for a load balancer that asks it.",
)
@click.option(
    "--fd",
    "fds",
    type=click.IntRange(min=0),
    multiple=True,
    help="Listen on this file descriptor, in place of HOST and PORT.  [default: those of systemd]",
)
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False),
    help="Read settings from this file too, again at each reload: the same as ENV_FILE.",
)
@click.option("--inherited-fd", "inherited_fds", type=int, multiple=True, hidden=True)
@click.option("--control-fd", type=int, hidden=True)
@watched
def serve(
    *,
    count: int,
    reload_on: str | None,
    drain_s: float,
    fds: tuple[int, ...],
    env_file: str | None,
    inherited_fds: tuple[int, ...],
    control_fd: int | None,
    is_watched: bool,
) -> None:
    """
    Run the receiver.

    \b
    Examples:
      PORT=8000 buildr-calls serve
      buildr-calls serve --processes 2
      buildr-calls serve --drain 5
      buildr-calls serve --reload-on HUP --env-file /etc/buildr-calls/env
    """
    with without(*PRINTERS):
        from service.receiver.server import serve as serve_forever
        from service.receiver.server import serve_processes

    if control_fd is not None:
        _serve_for_master(control_fd, inherited_fds, env_file)
        return
    # The master would have to keep its processes from closing: its socket stays open anyway.
    if drain_s and (count > 1 or reload_on is not None):
        raise click.UsageError("--drain is for a single process")
    end_with_stdin(is_wanted=is_watched)
    installation = load_accounts(is_local=False, overrides=_overrides(env_file))
    if count > 1 or reload_on is not None:
        serve_processes(installation, count=count, fds=fds)
    else:
        addition = _additions(installation)
        serve_forever(installation, fds=fds, addition=addition, drain_s=drain_s)


def _overrides(env_file: str | None) -> dict[str, str]:
    if env_file is None:
        return {}
    return {"ENV_FILE": env_file}


def _serve_for_master(control_fd: int, fds: tuple[int, ...], env_file: str | None) -> None:
    """Be one of several processes of a receiver; report settings that are wrong to the master."""
    from service.receiver.control_channel import ControlChannel
    from service.receiver.server import serve as serve_forever

    channel = ControlChannel.of(control_fd)
    channel.end_with_master()
    try:
        installation = load_accounts(is_local=False, overrides=_overrides(env_file))
        serve_forever(
            installation,
            fds=fds,
            on_ready=channel.report_ready,
            addition=_additions(installation),
        )
    except (SettingsFault, SettingsError) as err:
        channel.report_faults(err.faults)
        raise SystemExit(FAILED) from err
    except Failure as err:
        channel.report_faults([err.message])
        raise SystemExit(FAILED) from err


def _additions(installation: Installation) -> "Addition":
    """
    Console and metrics, each if a token opens it, the dial page, if there is a dialler, and alerts,
    if they go anywhere; else nothing of it is imported.
    """
    from service.receiver.app import Addition

    additions = []
    if installation.default.has_console:
        from workers.console.app import Console

        console = Console.of(installation)
        additions.append(console.addition())
    if any(account.dialler for account in installation.accounts):
        from workers.dial.app import DialPage

        dial_page = DialPage.of(installation)
        additions.append(Addition(dial_page.routes(), dial_page.close))
    if installation.default.metrics_token:
        from workers.metrics.endpoint import Metrics

        metrics = Metrics.of(installation)
        additions.append(Addition(metrics.routes(), metrics.close))
    if installation.default.has_alerts:
        from workers.alerts.standby import StandbyMonitor

        standby = StandbyMonitor.of(installation)
        additions.append(Addition(close=standby.close, start=standby.start))

    async def start() -> None:
        for addition in additions:
            await addition.start()

    async def close() -> None:
        for addition in additions:
            await addition.close()

    return Addition(
        routes=[route for addition in additions for route in addition.routes],
        close=close,
        start=start,
        side_routes=[route for addition in additions for route in addition.side_routes],
    )
