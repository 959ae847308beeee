"""
Calls whose end never comes: after a time of the operator's choosing they count as ended, unknown
how.
"""

from datetime import datetime, timedelta

from msgspec.structs import replace

from service.events import Result
from service.settings.outcomes import OutcomeConfig
from workers.calls.basis import Basis, Reason
from workers.calls.fold import Call


def unknown_end_at(call: Call, config: OutcomeConfig, *, received_at: datetime) -> datetime | None:
    """
    When a call without a result gets the result `unknown_end` (UTC); None if it never does.

    Counted from its last message (`received_at`, UTC), since any later one shows that it goes on.
    """
    if call.is_final:
        return None
    after_s = config.unknown_end_after_s(call.source, call.stage.value)
    if after_s is None:
        return None
    return received_at + timedelta(seconds=after_s)


def with_unknown_end(
    call: Call, config: OutcomeConfig, *, received_at: datetime | None, now: datetime
) -> Call:
    """
    The call as it counts now: one that is open for too long has the result `unknown_end`.

    Its stage stays how far it was seen to come. A message that comes later, a late end above all,
    is folded as ever and corrects it. `received_at` is None of a call of which no message is
    stored.
    """
    if received_at is None:
        return call
    counts_from = unknown_end_at(call, config, received_at=received_at)
    if counts_from is None or counts_from > now:
        return call
    basis = Basis(Reason.END_NEVER_CAME, Result.UNKNOWN_END, occurred_at=counts_from)
    return replace(call, result=Result.UNKNOWN_END, is_final=True, basis=basis)
