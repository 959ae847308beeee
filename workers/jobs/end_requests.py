"""
Calls without an end whose vendor is asked how they ended, before they count as ended, unknown how.

Here a call is only put on the list; `workers.backfill.asking` asks.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from workers.calls.fold import Call
from workers.delivery.plan_types import Plan

# How long `unknown_end` waits for the vendor's answer; it applies then, whether one came or not.
GRACE: Final = timedelta(minutes=10)
# How long after each answer without an end a call is asked for again; then never.
PAUSES: Final = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
MOST_TIMES: Final = len(PAUSES) + 1


class EndRequests(Struct, frozen=True, kw_only=True):
    """The list of calls to be asked for; `sources` are those whose call log can be read."""

    store: Store
    clock: Callable[[], datetime]
    sources: frozenset[str] = frozenset()

    async def wait_until(self, record: DeliveryRecord, call: Call) -> datetime | None:
        """
        Until when (UTC) a call that counts as ended, unknown how, waits for its vendor's answer; it
        then is on the list. None if it is not to be asked for, or was.

        `call.basis.occurred_at` is since when it counts so. Raises redis-py's errors.
        """
        counts_from = call.basis.occurred_at
        if call.source not in self.sources or counts_from is None:
            return None
        now = self.clock()
        wait_until = counts_from + GRACE
        if now >= wait_until or await self.store.backfill.times_asked(record.ref):
            return None
        await self.store.backfill.want_end(record.ref, at=now)
        return wait_until

    async def with_request(
        self, plan: Plan, before: DeliveryRecord, call: Call, *, wait_until: datetime | None
    ) -> Plan:
        """
        The plan of a call, which is put on the list if it becomes overdue by it. One that waits for
        an answer is run again at `wait_until` at the latest. Raises redis-py's errors.
        """
        if wait_until is not None:
            due_at = min(wait_until, plan.due_at or wait_until)
            return replace(plan, due_at=due_at)
        is_overdue = plan.record.state is DeliveryState.STALLED
        was_overdue = before.state is DeliveryState.STALLED
        if call.source not in self.sources or not is_overdue or was_overdue:
            return plan
        if await self.store.backfill.times_asked(before.ref) < MOST_TIMES:
            await self.store.backfill.want_end(before.ref, at=self.clock())
        return plan
