"""
All checks that ask somebody, in the order in which their findings are shown; they run at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from service.errors import QueueUnavailable
from service.settings import Installation, Settings
from service.store.connection import Store, open_store
from service.store.redis_trouble import REDIS_ERRORS
from workers.cli.checks.buildr import buildr_findings
from workers.cli.checks.call_logs import call_log_findings
from workers.cli.checks.finding import Finding, of_account
from workers.cli.checks.public_url import public_url_finding
from workers.cli.checks.records import refused_finding, worker_finding
from workers.cli.checks.redis import RedisChecks, one_for_each_redis
from workers.cli.checks.sources import activity_findings, subscription_findings
from workers.cli.session import redis_failure
from workers.cli.spool_report import judge_spool

OfRecords = Callable[[Settings, Store], Awaitable[list[Finding]]]


class Check(Struct, frozen=True):
    """One check; `title` says what is asked while it runs."""

    title: str
    run: Callable[[], Awaitable[list[Finding]]]


def checks_of(
    installation: Installation, whole: Installation, accounts: Sequence[Settings]
) -> list[Check]:
    """
    The checks of some accounts. `installation` is what was asked for, `whole` the one with all
    accounts, whose receiver they share.
    """
    redis = RedisChecks()
    first = next(iter(whole.accounts), whole.default)

    def named(account: Settings, check: Check) -> Check:
        async def run() -> list[Finding]:
            return [of_account(account, finding, accounts) for finding in await check.run()]

        return Check(check.title, run)

    checks = [
        Check("the public URL", lambda: _as_list(public_url_finding(first))),
        Check("the spool", lambda: _spool(installation.default)),
    ]
    checks += [named(account, _call_logs(account)) for account in accounts]
    checks += [named(account, _redis(redis, account)) for account in one_for_each_redis(accounts)]
    for account in accounts:
        checks += [
            named(account, _of_records(redis, account, title, work))
            for title, work in (
                ("workers", _records),
                ("subscriptions", subscription_findings),
                ("Buildr", buildr_findings),
            )
        ]
    return checks


async def run_checks(
    checks: Sequence[Check],
    *,
    on_wait: Callable[[list[str]], None],
    on_findings: Callable[[list[Finding]], None],
) -> None:
    """
    Run all at once. `on_findings` gets their findings in the order of the checks, each as soon as
    they are there; `on_wait` the titles of those that still run, before it waits.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [(check.title, group.create_task(_run(check))) for check in checks]
        for _, task in tasks:
            if not task.done():
                on_wait([title for title, other in tasks if not other.done()])
            on_findings(await task)


async def _run(check: Check) -> list[Finding]:
    return await check.run()


def _call_logs(account: Settings) -> Check:
    return Check("call logs", lambda: call_log_findings(account))


def _redis(redis: RedisChecks, account: Settings) -> Check:
    return Check("Redis", lambda: redis.findings(account))


def _of_records(redis: RedisChecks, account: Settings, title: str, work: OfRecords) -> Check:
    """A check that reads an account's records: no finding while its Redis is away."""

    async def run() -> list[Finding]:
        if not await redis.is_up(account):
            return []
        try:
            async with open_store(account, role="cli") as store:
                return await work(account, store)
        except (QueueUnavailable, *REDIS_ERRORS) as err:
            return [Finding(title.lower(), is_fine=False, detail=redis_failure(account, err))]

    return Check(title, run)


async def _records(account: Settings, store: Store) -> list[Finding]:
    return [
        await worker_finding(store),
        await refused_finding(store),
        *await activity_findings(account, store),
    ]


async def _spool(settings: Settings) -> list[Finding]:
    verdict = judge_spool(settings)
    return [
        Finding(
            "spool", is_fine=verdict.is_fine, detail=verdict.detail, is_warning=verdict.is_warning
        )
    ]


async def _as_list(finding: Awaitable[Finding]) -> list[Finding]:
    return [await finding]
