"""
What must hold before a worker starts: Redis answers and is durable, and every mapped outcome
exists.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from redis.exceptions import ReadOnlyError

from service.errors import BuildrError, SettingsError
from service.logs.events import LogEvent
from service.store.connection import Store
from service.store.durability import DurabilityFault, DurabilityReport, read_durability
from service.store.redis_trouble import REDIS_ERRORS, classify_redis_error
from workers.maintenance.redis_watch import RedisWatch
from workers.outcomes.decide import unknown_names
from workers.process.assembly import WorkerComponents
from workers.process.timing import hold_s

# Beside one request: for a permit, when other workers are using the budget.
OUTCOMES_TIMEOUT_S: Final = 5.0
# Short, since the pool waits longer: that Redis is away is to be seen at once.
REDIS_TIMEOUT_S: Final = 3.0
REDIS_RETRY_S: Final = 0.5
# Well below the 5 s after which a permit that was granted and not taken is void.
PERMIT_POLL_S: Final = 0.1


log = structlog.get_logger(__name__)


async def redis_faults(store: Store, watch: RedisWatch, *, raises_lasting: bool) -> tuple[str, ...]:
    """
    Wait until Redis answers, however long it takes, then check whether it keeps what it is given.

    Returns what keeps a worker from starting, one line each; what only an operator has to know is
    logged. With `raises_lasting`, `SettingsError` is raised where waiting is of no use: a wrong
    password, a certificate that is not accepted.
    """
    report = await _wait_for_primary(store, watch, raises_lasting=raises_lasting)
    watch.well()
    _log_faults(report.to_report(store.durability))
    return tuple(f"REDIS_URL: {fault.text}" for fault in report.fatal(store.durability))


async def _wait_for_primary(
    store: Store, watch: RedisWatch, *, raises_lasting: bool
) -> DurabilityReport:
    while True:
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                report = await read_durability(store.redis, store.scripts.confirmation)
        except (*REDIS_ERRORS, OSError) as err:
            trouble = classify_redis_error(err)
            if raises_lasting and not trouble.may_pass:
                raise SettingsError((f"REDIS_URL: {trouble.text}",)) from err
            watch.lost(err)
        else:
            if not report.is_replica:
                return report
            # Roles change by themselves: a failover makes a primary of it, or of another.
            watch.lost(ReadOnlyError("a replica"))
        await asyncio.sleep(REDIS_RETRY_S)


def _log_faults(faults: Sequence[DurabilityFault]) -> None:
    for fault in faults:
        if fault.is_grave:
            log.error(LogEvent.WORKER_REDIS_NOT_DURABLE, reason=fault.text)
        else:
            log.warning(LogEvent.WORKER_REDIS_NOT_DURABLE, reason=fault.text)


async def outcome_faults(components: WorkerComponents) -> tuple[str, ...]:
    """
    The outcomes that the settings name and the Buildr account lacks, one line each.

    The account's outcomes are read from Buildr where the stored ones are old or lack one; while
    Buildr is away, the stored ones decide. Nothing is a fault before they were read once.
    """
    catalog = components.names
    config = components.settings.outcome_config
    stored_ids = await catalog.current()
    # No request at a usual restart: ten workers that start together would use up a whole budget.
    if stored_ids is not None and not catalog.is_stale and not unknown_names(config, stored_ids):
        return ()
    await _refresh_outcomes(components)
    outcome_ids = await catalog.current()
    if outcome_ids is None:
        return ()
    return tuple(unknown_names(config, outcome_ids, display_names=catalog.display_names))


async def _refresh_outcomes(components: WorkerComponents) -> None:
    settings = components.settings
    request_hold_s = hold_s(settings)
    try:
        async with asyncio.timeout(OUTCOMES_TIMEOUT_S + settings.buildr_timeout_s):
            while not await components.names.refresh(components.client, hold_s=request_hold_s):
                # No worker runs yet that would release the permit.
                await components.store.permits.pump()
                await asyncio.sleep(PERMIT_POLL_S)
    # Not a fault: Buildr may be away at the moment of a deployment, and webhooks have to be folded
    # all the same. Calls that need a name wait for the refresher.
    except BuildrError as err:
        log.warning(LogEvent.BUILDR_OUTCOMES_NOT_READ, reason=err.cause, error=str(err))
    except TimeoutError as err:
        log.warning(LogEvent.BUILDR_OUTCOMES_NOT_READ, reason="no_budget", error=str(err))
