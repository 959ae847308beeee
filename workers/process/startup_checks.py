"""
What must hold before a worker starts: Redis answers and is durable, and every mapped outcome
exists.
"""

import asyncio
from typing import Final

import structlog
from redis.exceptions import RedisError

from service.errors import BuildrError, QueueUnavailable, SettingsError
from service.settings import Settings
from service.store.connection import Store
from workers.outcomes.decide import unknown_names
from workers.process.assembly import WorkerComponents
from workers.process.timing import hold_s

log = structlog.get_logger(__name__)


NAMES_AT_START_S: Final = 5.0


REDIS_AT_START_S: Final = 30.0


NO_CREDENTIALS: Final = (
    "BUILDR_ACCESS_TOKEN, or BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET: one of them must be set"
)


async def check_redis(store: Store) -> None:
    """
    Wait until Redis answers, then check its configuration.

    Raises `SettingsError` if it stays away for `REDIS_AT_START_S` or may evict keys.
    """
    deadline = asyncio.get_running_loop().time() + REDIS_AT_START_S
    while True:
        try:
            await store.ping()
            faults = await store.config_faults()
            break
        except (QueueUnavailable, RedisError, OSError, TimeoutError) as err:
            if asyncio.get_running_loop().time() > deadline:
                raise SettingsError(
                    (f"REDIS_URL: Redis does not answer ({type(err).__name__}); is it running?",)
                ) from err
            log.warning("worker.waits_for_redis", reason=type(err).__name__)
            await asyncio.sleep(1)
    fatal = tuple(fault for fault in faults if "maxmemory-policy" in fault)
    if fatal:
        raise SettingsError(tuple(f"REDIS_URL: {fault}" for fault in fatal))
    for fault in faults:
        log.warning("worker.redis_not_durable", reason=fault)


async def outcome_faults(settings: Settings, parts: WorkerComponents) -> tuple[str, ...]:
    """
    The outcomes that are named and that the account does not have, one line each.

    Its outcomes are read where the last ones are old or lack one; with Buildr away, the last ones
    count.
    """
    known = await parts.names.current()
    if (
        known is not None
        and not parts.names.is_stale
        and not unknown_names(settings.outcome_config, known)
    ):
        return ()
    try:
        async with asyncio.timeout(NAMES_AT_START_S + settings.buildr_timeout_s):
            while not await parts.names.refresh(parts.client, hold_s=hold_s(settings)):
                await parts.store.permits.pump()
                await asyncio.sleep(0.1)
    except (BuildrError, TimeoutError) as err:
        log.warning(
            "buildr.outcomes_not_read", reason=getattr(err, "cause", "no_budget"), error=str(err)
        )
    ids = await parts.names.current()
    return (
        ()
        if ids is None
        else tuple(
            unknown_names(settings.outcome_config, ids, display_names=parts.names.display_names)
        )
    )
