"""
`buildr-calls status`: what waits for Buildr, what blocks it, and when all of it will be sent.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import click
from msgspec import Struct

from service.errors import QueueUnavailable
from service.settings import Installation, Settings
from service.spool.messages import Depth
from service.store.connection import open_store
from service.store.redis_trouble import REDIS_ERRORS, classify_redis_error
from workers.cli.accounts import chosen_account, load_accounts
from workers.cli.failure import FAILED, Failure
from workers.cli.output import echo, print_json, print_table
from workers.cli.program import PROGRAM
from workers.cli.session import redis_failure, run_reporting_redis_errors
from workers.cli.spool_report import SpoolReport, report_spool
from workers.delivery.status import AccountStatus, read_account_status

DAY_S: Final = 86_400
# Each needs a connection, and the limit of open files may be 256.
READ_AT_ONCE: Final = 64
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
    columns = [Column(account=account.account, spool=report_spool(account)) for account in accounts]
    if is_list:
        asyncio.run(_read_all(accounts, columns))
    else:
        _read_one(settings, columns[0])
    if as_json:
        items = [column.as_dict() for column in columns]
        print_json(items if is_list else items[0])
    else:
        _print(columns)
        _name_others(installation, columns)
    failed = [column for column in columns if column.failure is not None]
    for column in failed:
        echo(f"{PROGRAM}: account {column.account}: {column.failure}", is_error=True)
    if failed:
        raise SystemExit(FAILED)


class Column(Struct, kw_only=True):
    """
    One account: its status, or the trouble of its Redis; `failure` says also what to do about it.
    """

    account: str
    spool: SpoolReport | None
    status: AccountStatus | None = None
    trouble: str | None = None
    failure: str | None = None

    def as_dict(self) -> dict[str, object]:
        """For JSON: those of `AccountStatus`, error, spool; the first only with a status."""
        facts: dict[str, object] = {"account": self.account}
        if self.status is not None:
            facts = self.status.as_dict()
        return {**facts, "error": self.failure, "spool": self.spool and self.spool.as_dict()}

    def rows(self) -> Iterator[tuple[str, str]]:
        """Name and text of each line, in the order of the table."""
        # Only while something waits there: what is spooled elsewhere cannot be seen from here.
        if self.spool is not None and (self.spool.depth.messages or self.spool.depth.set_aside):
            yield "messages in the spool here", self.spool.text
        if self.trouble is not None:
            yield "Redis", self.trouble
        if self.status is not None:
            yield from _rows(self.status)


def _read_one(settings: Settings, column: Column) -> None:
    """Ends the command with one line if Redis does not answer, after what is in the spool."""
    try:
        column.status = run_reporting_redis_errors(settings, lambda: _read(settings))
    except Failure:
        if column.spool is not None and column.spool.depth != Depth():
            echo(f"{column.account}: spooled messages: {column.spool.text}", is_error=True)
        raise


async def _read_all(accounts: Sequence[Settings], columns: Sequence[Column]) -> None:
    """Read every account; one whose Redis does not answer keeps nothing from the others."""
    limit = asyncio.Semaphore(READ_AT_ONCE)

    async def read(settings: Settings, column: Column) -> None:
        async with limit:
            try:
                column.status = await _read(settings)
            except (QueueUnavailable, *REDIS_ERRORS) as err:
                column.trouble = classify_redis_error(err).text
                column.failure = redis_failure(settings, err)

    await asyncio.gather(*map(read, accounts, columns))


async def _read(settings: Settings) -> AccountStatus:
    async with open_store(settings, role="cli") as store:
        await store.ping()
        return await read_account_status(settings, store)


def _name_others(installation: Installation, columns: Sequence[Column]) -> None:
    shown = {column.account for column in columns}
    others = [name for name in installation.account_names if name not in shown]
    if others:
        echo(
            f"Other accounts: {', '.join(others)}; see --account NAME or --all-accounts.",
            is_error=True,
        )


def _print(columns: Sequence[Column]) -> None:
    texts = [dict(column.rows()) for column in columns]
    names = dict.fromkeys(name for text in texts for name in text)
    headings = ["now"]
    if len(columns) > 1:
        headings = [column.account for column in columns]
    rows = [(name, *(text.get(name, "-") for text in texts)) for name in names]
    print_table(("what", *headings), rows, empty="")


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
