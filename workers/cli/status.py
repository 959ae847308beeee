"""
`buildr-calls status`: what waits for Buildr, what blocks it, and when all of it will be sent.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from service.settings import Settings
from service.spool.messages import Depth
from service.store.connection import open_store
from workers.cli.output import (
    Failure,
    chosen_account,
    echo,
    load_accounts,
    print_json,
    print_table,
)
from workers.cli.session import run_reporting_redis_errors
from workers.cli.spool_report import SpoolReport, report_spool
from workers.delivery.status import AccountStatus, read_account_status

DAY_S: Final = 86_400
WINDOW_NAMES: Final = {3600.0: "an hour", 86_400.0: "a day"}


@click.command()
@click.option(
    "--all-accounts",
    "is_all",
    is_flag=True,
    help="Every account of the installation, side by side.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, is_all: bool, as_json: bool) -> None:
    """
    Show how much waits in each lane and until when, how much has failed, and how much of Buildr's
    budget is used.

    \b
    Examples:
      buildr-calls status
      buildr-calls status --all-accounts --json
    """
    installation = load_accounts(is_local=True)
    settings = installation.default
    accounts: tuple[Settings, ...] = (settings,)
    # With only named accounts there is no default one to show.
    is_list = is_all or (not installation.is_default_active and chosen_account() is None)
    if is_list:
        accounts = installation.accounts
    spools = [report_spool(account) for account in accounts]
    try:
        statuses = run_reporting_redis_errors(settings, lambda: _read_all(accounts))
    except Failure:
        _print_spools_only(accounts, spools)
        raise
    if as_json:
        items = _as_dicts(statuses, spools)
        print_json(items if is_list else items[0])
        return
    _print(statuses, spools)
    shown = {account_status.account for account_status in statuses}
    others = [name for name in installation.account_names if name not in shown]
    if others:
        echo(
            f"Other accounts: {', '.join(others)}; see --account NAME or --all-accounts.",
            is_error=True,
        )


async def _read_all(accounts: Sequence[Settings]) -> list[AccountStatus]:
    return await asyncio.gather(*(_read(account) for account in accounts))


async def _read(settings: Settings) -> AccountStatus:
    async with open_store(settings, role="cli") as store:
        await store.ping()
        return await read_account_status(settings, store)


def _print_spools_only(accounts: Sequence[Settings], spools: Sequence[SpoolReport | None]) -> None:
    """Without Redis the spool is all that can be shown, if something is in it."""
    for account, spool in zip(accounts, spools, strict=True):
        if spool is not None and spool.depth != Depth():
            echo(f"{account.account}: spooled messages: {spool.text}", is_error=True)


def _as_dicts(
    statuses: Sequence[AccountStatus], spools: Sequence[SpoolReport | None]
) -> list[dict[str, object]]:
    return [
        {**account_status.as_dict(), "spool": spool and spool.as_dict()}
        for account_status, spool in zip(statuses, spools, strict=True)
    ]


def _print(statuses: Sequence[AccountStatus], spools: Sequence[SpoolReport | None]) -> None:
    columns = [
        {**dict(_spool_rows(spool)), **dict(_rows(account_status))}
        for account_status, spool in zip(statuses, spools, strict=True)
    ]
    names = dict.fromkeys(name for column in columns for name in column)
    headings = ["now"]
    if len(statuses) > 1:
        headings = [account_status.account for account_status in statuses]
    rows = [(name, *(column.get(name, "-") for column in columns)) for name in names]
    print_table(("what", *headings), rows, empty="")


def _spool_rows(spool: SpoolReport | None) -> Iterator[tuple[str, str]]:
    """Only while something waits there: what is spooled elsewhere cannot be seen from here."""
    if spool is not None and (spool.depth.messages or spool.depth.set_aside):
        yield "messages in the spool here", spool.text


def _rows(account_status: AccountStatus) -> Iterator[tuple[str, str]]:
    """Name and text of each line, in the order of the table."""
    yield "workers alive", str(account_status.workers_alive)
    yield (
        "messages not read yet",
        _with_age(account_status.unread_messages, account_status.oldest_message_age_s),
    )
    yield "calls with an alarm", str(account_status.scheduled_calls)
    yield "calls waiting for Buildr", _waiting_text(account_status)
    for lane in account_status.lanes:
        yield f"  in lane {lane.lane.value}", _with_age(lane.calls, lane.oldest_age_s)
    yield from _budget_rows(account_status)
    if account_status.redis_clock_set_back_s:
        yield "clock of Redis", _clock_text(account_status)
    yield "unmatched", str(account_status.unmatched)
    yield "stalled", str(account_status.stalled)
    yield "failed", str(account_status.failed)
    if account_status.silent_sources:
        slugs = ", ".join(account_status.silent_sources)
        yield "silent sources", f"{slugs}; see buildr-calls sources"
    for name, count in account_status.counters.items():
        yield f"count of {name}", str(count)


def _budget_rows(account_status: AccountStatus) -> Iterator[tuple[str, str]]:
    """The use of each budget, and what keeps requests from being sent."""
    for use in account_status.budget_uses:
        yield f"requests in {_window(use.budget.window_s)}", f"{use.used} of {use.budget.requests}"
    if account_status.allowance is not None:
        yield (
            "of these ours",
            f"{account_status.allowance}, since somebody else uses the Buildr account too",
        )
    if account_status.blocked_s:
        yield "blocked by Buildr", f"for {account_status.blocked_s} s more"
    outage = account_status.outage
    if outage is not None:
        next_try = f"next try {_local_time(outage.next_try_at)}"
        yield "Buildr", f"away since {_local_time(outage.since)} ({outage.cause}), {next_try}"


def _clock_text(account_status: AccountStatus) -> str:
    ahead_s = account_status.redis_clock_set_back_s
    agrees_at = datetime.now(UTC) + timedelta(seconds=account_status.redis_clock_agrees_in_s)
    return (
        f"was set back; the service is {ahead_s:.0f} s ahead, and slower until "
        f"{_local_time(agrees_at)}"
    )


def _waiting_text(account_status: AccountStatus) -> str:
    count = str(account_status.waiting_calls)
    if not account_status.waiting_calls:
        return count
    if account_status.clears_at is None:
        return f"{count}, clears once Buildr is back"
    return f"{count}, clears at {_local_time(account_status.clears_at)}"


def _local_time(at: datetime) -> str:
    """A time in this machine's time zone, with the date if it is more than a day away."""
    # The one place with local time: an operator compares it with the time of day.
    local_at = at.astimezone()
    if abs((at - datetime.now(UTC)).total_seconds()) < DAY_S:
        return f"{local_at:%H:%M:%S}"
    return f"{local_at:%Y-%m-%d %H:%M}"


def _window(window_s: float) -> str:
    return WINDOW_NAMES.get(float(window_s), f"{window_s:g} s")


def _with_age(count: int, oldest_age_s: float | None) -> str:
    if oldest_age_s is None or not count:
        return str(count)
    return f"{count}, the oldest for {oldest_age_s} s"
