"""
Whether each Redis keeps what it confirms: before the receiver starts, and while it runs.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Self

import structlog

from service.cancelling import cancel_and_wait
from service.errors import SettingsError
from service.logs.events import LogEvent
from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.durability import DurabilityFault, DurabilityReport, read_durability
from service.store.redis_trouble import REDIS_ERRORS, RedisTrouble, classify_redis_error

# A Redis that hangs must not hold up the start: senders wait for it.
READ_TIMEOUT_S: Final = 1.0
# Another server may answer after a failover, or the same one with another configuration.
CHECK_EVERY_S: Final = 60.0
# While it does not answer.
RETRY_EVERY_S: Final = 5.0

log = structlog.get_logger(__name__)


def check_durability(accounts: Iterable[Settings]) -> None:
    """
    Raises `SettingsError` for what makes a Redis unfit, by `REDIS_DURABILITY`. One that does not
    answer is none: messages are spooled until it does.
    """
    asyncio.run(_check(accounts))


class DurabilityWatch:
    """
    Logs what makes the Redis of a store lose what it confirms, or why it does not answer, when that
    is first found, and when something else is; `stores` are one for each Redis. A context manager
    that checks while it is open.

    Nothing is refused because of it: what a running receiver refuses is lost for sure.
    """

    def __init__(
        self,
        stores: Iterable[Store],
        *,
        every_s: float = CHECK_EVERY_S,
        retry_s: float = RETRY_EVERY_S,
    ) -> None:
        self._stores = tuple(stores)
        self._every_s = every_s
        self._retry_s = retry_s
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._run(store)) for store in self._stores]
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_and_wait(self._tasks)

    async def _run(self, store: Store) -> None:
        last: tuple[DurabilityFault, ...] = ()
        trouble: RedisTrouble | None = None
        while True:
            report = await _read(store)
            if isinstance(report, RedisTrouble):
                # Else a wrong password would not be seen before the first message is spooled.
                if report is not trouble:
                    _log_trouble(report, store)
                trouble = report
                await asyncio.sleep(self._retry_s)
                continue
            trouble = None
            faults = _faults(report, store)
            _log([fault for fault in faults if fault not in last], store)
            last = faults
            await asyncio.sleep(self._every_s)


async def _check(accounts: Iterable[Settings]) -> None:
    by_redis = {(account.redis_dsn, account.redis_durability): account for account in accounts}
    faults = await asyncio.gather(*(_fatal(account) for account in by_redis.values()))
    lines = tuple(line for lines in faults for line in lines)
    if lines:
        raise SettingsError(lines)


async def _fatal(settings: Settings) -> Sequence[str]:
    async with open_store(settings, role="cli") as store:
        report = await _read(store)
    if isinstance(report, RedisTrouble):
        return ()
    place = "REDIS_URL"
    if not settings.is_default:
        place = f"account {settings.account}: redis_url"
    return [f"{place}: {fault.text}" for fault in report.fatal(settings.redis_durability)]


async def _read(store: Store) -> DurabilityReport | RedisTrouble:
    """What Redis says of itself, or why it does not answer."""
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await read_durability(store.redis, store.scripts.confirmation)
    except (*REDIS_ERRORS, OSError) as err:
        return classify_redis_error(err)


def _faults(report: DurabilityReport, store: Store) -> tuple[DurabilityFault, ...]:
    faults = (*report.fatal(store.durability), *report.to_report(store.durability))
    if report.is_replica:
        # Not for long where a failover is under way; messages are spooled meanwhile.
        faults = (DurabilityFault(text=RedisTrouble.READ_ONLY.text), *faults)
    return faults


def _log_trouble(trouble: RedisTrouble, store: Store) -> None:
    write = log.warning
    if not trouble.may_pass:
        write = log.error
    write(
        LogEvent.SERVICE_REDIS_TROUBLE,
        reason=trouble.value,
        error=trouble.text,
        account=store.account,
    )


def _log(faults: Sequence[DurabilityFault], store: Store) -> None:
    for fault in faults:
        write = log.warning
        if fault.is_grave:
            write = log.error
        write(LogEvent.SERVICE_REDIS_NOT_DURABLE, reason=fault.text, account=store.account)
