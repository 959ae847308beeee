"""
`buildr-calls check`: tests all that a running installation needs.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click
from rich.status import Status

from service.settings import Installation, Settings
from workers.cli.checks.finding import Finding
from workers.cli.checks.of_settings import setting_findings
from workers.cli.output import (
    FAILED,
    chosen_account,
    load_whole,
    narrowed,
    print_fact,
    print_json,
    progress_console,
)

# The longest title of a finding of one account.
TITLE_WIDTH: Final = 14


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(*, as_json: bool) -> None:
    """
    Look at everything that has to be right: settings and secrets, public URL, spool, call logs,
    Redis, workers, refused requests, subscriptions, Buildr, outcome names, tests, clock.

    Changes nothing, neither in Redis nor at Buildr or a vendor. Looks at every account, unless
    --account names one. Exit code 1 if anything is not right.

    \b
    Examples:
      buildr-calls check
      buildr-calls check --account acme
    """
    whole = load_whole(is_local=True)
    installation = narrowed(whole)
    accounts = installation.accounts
    if chosen_account() is not None:
        accounts = (installation.default,)
    printer = _Printer(accounts, is_silent=as_json)
    # Before what the other checks import, and before anybody is asked.
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


@contextmanager
def _progress() -> Iterator[Status]:
    """A line on stderr that says what is waited for; nothing off a terminal."""
    status = progress_console().status("")
    try:
        yield status
    finally:
        status.stop()
