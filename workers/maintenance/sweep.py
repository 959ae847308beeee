"""
Heals calls that have lost their job, and drops unmatched calls that are too old.
"""

from datetime import timedelta
from typing import Final

import structlog

from service.logs.events import LogEvent
from service.store.connection import Store
from workers.clock import SharedClock

# Together with `LOST_ALARM_MS` the longest delay of a call that lost its alarm: about 3 s.
SWEEP_EVERY_S: Final = 2.0
# Ages are counted in days, so that an hour is exact enough.
FORGET_EVERY_S: Final = 3600.0

log = structlog.get_logger(__name__)


async def sweep(store: Store, *, in_progress_s: float) -> None:
    """
    Enqueue calls that have lost their job, and take over those of dead workers.

    In a healthy system there are none. `in_progress_s`: see `workers.process.timing`.
    """
    swept = await store.schedule.sweep(in_progress_s=in_progress_s)
    # A warning: the hook after each job leaves nothing to heal, so that the steady state is 0.
    if swept.healed:
        log.warning(LogEvent.DELIVERY_ALARMS_HEALED, count=swept.healed)
    # Expected after a kill or a crash of a worker, and only then.
    if swept.taken_over:
        log.warning(LogEvent.DELIVERY_CALLS_TAKEN_OVER, count=swept.taken_over)


async def forget(store: Store, clock: SharedClock, *, keep: timedelta) -> None:
    """
    Delete calls that have been unmatched for longer than `keep`, with a log line for each, and what
    killed workers have left.
    """
    await store.workers.forget_dead()
    before_ms = int((clock() - keep).timestamp() * 1000)
    # In portions, so that no list of all calls is ever held. It ends since each portion leaves the
    # index; calls that need attention again stay, and a portion of these alone ends the loop.
    while refs := await store.schedule.forget_old(before_ms=before_ms):
        for ref in refs:
            source, _, source_call_id = ref.partition(":")
            log.warning(
                LogEvent.CALL_FORGOTTEN,
                source=source,
                source_call_id=source_call_id,
                reason="unmatched for longer than KEEP_CALLS_D",
            )
            await store.counters.add("forgotten", source)


async def forget_failed(store: Store, clock: SharedClock, *, keep: timedelta) -> None:
    """Drop what has failed longer than `keep` ago and nobody has replayed, with a log line each."""
    before_ms = int((clock() - keep).timestamp() * 1000)
    while entry_ids := await store.failed.forget_old(before_ms=before_ms):
        for entry_id in entry_ids:
            log.warning(LogEvent.FAILED_FORGOTTEN, entry=entry_id, reason="older than KEEP_OPEN_D")
