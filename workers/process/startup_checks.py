"""
What must hold before a worker starts: Redis answers and is durable, and every mapped outcome
exists.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from redis.exceptions import RedisError

from service.errors import BuildrError, QueueUnavailable, SettingsError
from service.logs.events import LogEvent
from service.store.connection import Store
from workers.outcomes.decide import unknown_names
from workers.process.assembly import WorkerComponents
from workers.process.timing import hold_s

# Beside one request: for a permit, when other workers are using the budget.
OUTCOMES_TIMEOUT_S: Final = 5.0
# In compose files and on one machine, worker and Redis start together; Redis may have to load its
# file first.
REDIS_TIMEOUT_S: Final = 30.0
REDIS_RETRY_S: Final = 1.0
# Well below the 5 s after which a permit that was granted and not taken is void.
PERMIT_POLL_S: Final = 0.1


log = structlog.get_logger(__name__)


async def check_redis(store: Store) -> None:
    """
    Wait until Redis answers, then check its configuration.

    Raises `SettingsError` if it does not answer within `REDIS_TIMEOUT_S`, or may evict keys.
    """
    faults = await _read_config_faults(store)
    # Only eviction: it deletes calls and jobs while Redis works normally. Without `appendfsync
    # always` a crash of Redis may lose the last second, which is an operator's decision to make.
    fatal = tuple(fault for fault in faults if "maxmemory-policy" in fault)
    if fatal:
        raise SettingsError(tuple(f"REDIS_URL: {fault}" for fault in fatal))
    for fault in faults:
        log.warning(LogEvent.WORKER_REDIS_NOT_DURABLE, reason=fault)


async def _read_config_faults(store: Store) -> Sequence[str]:
    deadline = asyncio.get_running_loop().time() + REDIS_TIMEOUT_S
    while True:
        try:
            # `config_faults` alone would wait for a hung Redis as long as the pool retries.
            await store.ping()
            return await store.config_faults()
        except (QueueUnavailable, RedisError, OSError, TimeoutError) as err:
            if asyncio.get_running_loop().time() > deadline:
                raise SettingsError(
                    (f"REDIS_URL: Redis does not answer ({type(err).__name__}); is it running?",)
                ) from err
            log.warning(LogEvent.WORKER_WAITS_FOR_REDIS, reason=type(err).__name__)
            await asyncio.sleep(REDIS_RETRY_S)


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
