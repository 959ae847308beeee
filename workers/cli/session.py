"""
How a command reaches the records: settings, a store, and plain words when Redis is not there.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import click

from service.errors import QueueUnavailable
from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.redis_pool import address_of
from service.store.redis_trouble import REDIS_ERRORS, RedisTrouble, classify_redis_error
from workers.cli.accounts import account_names, chosen_account, load_accounts
from workers.cli.failure import Failure, WrongAccount

T = TypeVar("T")
ADVICE: Final = {
    RedisTrouble.AWAY: "start the service, or set REDIS_URL",
    RedisTrouble.HUNG: "start the service, or set REDIS_URL",
    RedisTrouble.FULL: "give it more memory (maxmemory); workers go on delivering meanwhile",
    RedisTrouble.READ_ONLY: "set REDIS_URL to the primary",
    RedisTrouble.CREDENTIALS: "set REDIS_URL with the right ones",
    RedisTrouble.PERMISSION: "its ACL must allow the user all commands on its keys",
    RedisTrouble.DATABASE: "set REDIS_URL with another at its end, like /0",
    RedisTrouble.CERTIFICATE: "name its authority in REDIS_URL (?ssl_ca_certs=FILE)",
}
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# `today`, `yesterday`, `14:00`, `yesterday 14:00`.
DAY: Final = re.compile(r"(?P<day>today|yesterday)?\s*(?:(?P<hour>\d{1,2}):(?P<minute>\d\d))?")


def run_with_store(work: Callable[[Settings, Store], Awaitable[T]]) -> T:
    """
    Run something over an account's records. Ends the command with one line if Redis does not
    answer, or if no account is meant.
    """
    installation = load_accounts(is_local=True)
    settings = installation.default
    if not installation.is_default_active and chosen_account() is None:
        # Nothing is in the default account, and "nothing has failed" would be taken for an answer.
        names = account_names(installation)
        raise WrongAccount(f"the default account is not set up; choose one with --account: {names}")

    async def run() -> T:
        async with open_store(settings, role="cli") as store:
            # First, so that a Redis that is away is one line after a second. The commands' own
            # reads would wait for its timeouts and retries.
            await store.ping()
            return await work(settings, store)

    return run_reporting_redis_errors(settings, run)


def check_redis(settings: Settings) -> None:
    """End the command with one line and exit code 1 if Redis does not answer."""

    async def ping() -> None:
        async with open_store(settings, role="cli") as store:
            await store.ping()

    run_reporting_redis_errors(settings, ping)


def run_reporting_redis_errors(
    settings: Settings, run: Callable[[], Coroutine[object, object, T]]
) -> T:
    """
    Run a coroutine. Ends the command with one line and exit code 1 if Redis does not do what it is
    asked.
    """
    try:
        return asyncio.run(run())
    except (QueueUnavailable, *REDIS_ERRORS) as err:
        raise Failure(redis_failure(settings, err)) from err


def redis_failure(settings: Settings, err: BaseException) -> str:
    """What to tell an operator about an error of Redis, in one line."""
    trouble = classify_redis_error(err)
    line = f"{trouble.text} at {address_of(settings.redis_dsn)}"
    if trouble in ADVICE:
        return f"{line}: {ADVICE[trouble]}"
    if trouble is RedisTrouble.REFUSED:
        return f"{line}: {err}"
    return line


class Age(click.ParamType[datetime]):
    """
    A span of time like 90m, 24h or 7d, or a moment like 2026-11-02, 2026-11-02T10:00Z, 14:00 or
    `yesterday 14:00`; gives the moment, in UTC.
    """

    name = "age"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it. Raises click's usage error."""
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            if text[:-1].isdecimal() and text[-1:] in UNITS:
                return datetime.now(UTC) - timedelta(seconds=int(text[:-1]) * UNITS[text[-1]])
            if (day := DAY.fullmatch(text.lower())) and (day["day"] or day["hour"]):
                return _on_day(day)
            moment = datetime.fromisoformat(text)
            # UTC, as all times that the commands print, and not the zone of the machine: the same
            # command has the same meaning on a laptop and on a server.
            if moment.tzinfo is None:
                return moment.replace(tzinfo=UTC)
            return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is neither a span like 24h or 7d nor a moment like 2026-11-02T10:00Z "
                'or "yesterday 14:00"',
                param,
                ctx,
            )


def _on_day(match: re.Match[str]) -> datetime:
    """The moment of a match of `DAY`, in UTC. Raises ValueError for an hour that there is not."""
    moment = datetime.now(UTC).replace(
        hour=int(match["hour"] or 0), minute=int(match["minute"] or 0), second=0, microsecond=0
    )
    if match["day"] == "yesterday":
        return moment - timedelta(days=1)
    return moment
