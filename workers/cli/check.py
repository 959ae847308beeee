"""
`buildr-calls check`: tests all that a running installation needs.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from service.settings import Installation, Settings
from service.sources import SOURCES
from workers.cli.accounts import chosen_account, load_whole, narrowed
from workers.cli.arguments import OneOf
from workers.cli.checks.env_file import env_file_findings
from workers.cli.checks.finding import Finding
from workers.cli.checks.settings import setting_findings
from workers.cli.failure import FAILED
from workers.cli.output import print_fact, print_json, status_line

if TYPE_CHECKING:
    from rich.status import Status

# The longest title of a finding of one account.
TITLE_WIDTH: Final = 14


@click.command()
@click.option(
    "--live",
    "source",
    type=OneOf(sorted(SOURCES)),
    help="Send a test call of this source through all of it, up to a PATCH that is not sent.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(*, source: str | None, as_json: bool) -> None:
    """
    Look at everything that has to be right: settings and secrets, public URL, spool, call logs,
    Redis, workers, refused requests, subscriptions, Buildr, outcome names, tests, clock.

    Changes nothing, neither in Redis nor at Buildr or a vendor. Looks at every account, unless
    --account names one. Exit code 1 if anything is not right.

    With --live only the way of a test call is tried, which reaches no call in Buildr and is deleted
    afterwards.

    \b
    Examples:
      buildr-calls check
      buildr-calls check --account acme
      buildr-calls check --live twilio
    """
    whole = load_whole(is_local=True)
    installation = narrowed(whole)
    accounts = installation.accounts
    if chosen_account() is not None:
        accounts = (installation.default,)
    printer = _Printer(accounts, is_silent=as_json)
    if source is not None:
        printer = _Printer((installation.default,), is_silent=as_json)
        _try_live(printer, source, installation, whole)
    else:
        # Before what the other checks import, and before anybody is asked.
        printer.add(env_file_findings(os.environ, Path.cwd()))
        printer.add(setting_findings(installation, accounts))
        asyncio.run(_ask(printer, installation, whole, accounts))
    if as_json:
        print_json([finding.as_dict() for finding in printer.findings])
    if not all(finding.is_fine for finding in printer.findings):
        raise SystemExit(FAILED)


class _Printer:
    """Prints findings as they come, or only keeps them."""

    def __init__(self, accounts: tuple[Settings, ...], *, is_silent: bool) -> None:
        self.width = TITLE_WIDTH
        if len(accounts) > 1:
            self.width += max(len(f"{settings.account}: ") for settings in accounts)
        self.findings: Final[list[Finding]] = []
        self._is_silent = is_silent

    def add(self, findings: list[Finding]) -> None:
        """Print and keep findings."""
        self.findings.extend(findings)
        if self._is_silent:
            return
        for finding in findings:
            verdict, style = finding.verdict
            text = f"{finding.title:<{self.width}} {finding.detail}"
            print_fact(verdict, text, width=4, style=style)


async def _ask(
    printer: _Printer,
    installation: Installation,
    whole: Installation,
    accounts: tuple[Settings, ...],
) -> None:
    from workers.cli.checks.plan import checks_of, run_checks

    with _progress() as status:

        def on_wait(titles: list[str]) -> None:
            status.update(f"waiting for {', '.join(dict.fromkeys(titles))}")
            status.start()

        def on_findings(findings: list[Finding]) -> None:
            # stdout may be the same terminal.
            status.stop()
            printer.add(findings)

        await run_checks(
            checks_of(installation, whole, accounts), on_wait=on_wait, on_findings=on_findings
        )


def _try_live(
    printer: _Printer, source: str, installation: Installation, whole: Installation
) -> None:
    from workers.cli.checks.live_messages import make_call
    from workers.cli.session import run_reporting_redis_errors

    settings = installation.default
    if not settings.secrets_of(source):
        name = SOURCES[source].settings[0].name.upper()
        detail = f"{source} is off in the account {settings.account}: set {name}"
        printer.add([Finding("settings", is_fine=False, detail=detail)])
        return
    call = make_call(source, settings)
    first = next(iter(whole.accounts), whole.default)

    async def run() -> None:
        from service.store.connection import open_store
        from workers.cli.checks.live import LiveCheck

        async with (
            open_store(settings, role="cli") as store,
            open_store(first, role="cli") as receiver_store,
        ):
            await store.ping()
            with _progress() as status:
                live = LiveCheck(settings, store, receiver_store, call)
                status.update("waiting for the next step")
                status.start()
                async for finding in live.steps():
                    status.stop()
                    printer.add([finding])
                    status.start()

    run_reporting_redis_errors(settings, run)


@contextmanager
def _progress() -> Iterator["Status"]:
    """A line on stderr that says what is waited for; nothing off a terminal."""
    status = status_line()
    try:
        yield status
    finally:
        status.stop()
