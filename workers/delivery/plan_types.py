"""
What a plan is, and what it rests on.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Self

from msgspec import Struct

from service.errors import FailureCause
from service.settings import Settings, SettleTimes
from service.settings.outcomes import OutcomeConfig
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import ReplayRequest
from service.store.links import StoredLink
from service.store.rate_limit.lanes import Lane
from workers.calls.fold import Call
from workers.delivery.difference import OUTCOME_FIELD
from workers.matching.callers import CallerMatch
from workers.matching.match import Match
from workers.matching.selection import ExpectedCallMatch

DAY_S: Final = 86_400.0


class Timing(Struct, frozen=True, kw_only=True):
    """
    How long a call settles, rings and lasts at most, in seconds.

    A call that was over for `too_old_s` when its first message came may have been here before, and
    have been forgotten since.
    """

    settle: SettleTimes
    ringing_timeout_s: float
    in_progress_timeout_s: float
    too_old_s: float = math.inf

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The times of an account's settings."""
        keep_s = settings.keep_calls_d * DAY_S
        return cls(
            settle=settings.settle_s,
            ringing_timeout_s=settings.ringing_timeout_s,
            in_progress_timeout_s=settings.in_progress_timeout_s,
            # Before it is forgotten, since the clocks of vendors differ from that of Redis.
            too_old_s=keep_s - min(DAY_S, keep_s / 4),
        )


class BuildrWrite(Struct, frozen=True, kw_only=True):
    """
    A write to Buildr: only the fields that differ from what it holds from us.

    `outcome` is the outcome's name, for logs and history. `note_block` is our new text in the
    notes, or None to leave them as they are. With `allowed_outcome_ids` the call is read first, and
    written only if its outcome in Buildr is one of these; any other was set by somebody there. The
    write waits in `lane`, ordered by `since` (UTC). A recheck only reads, to find a late write.

    `caller_fields` are ids of the phone book, without which the call is written if Buildr refuses
    them. Of these, `guarded_fields` are compared with what Buildr holds before they are written.
    """

    buildr_call_id: str
    fields: Mapping[str, str]
    outcome: str
    lane: Lane
    since: datetime
    note_block: str | None = None
    allowed_outcome_ids: frozenset[str] | None = None
    caller_fields: frozenset[str] = frozenset()
    guarded_fields: frozenset[str] = frozenset()
    is_recheck: bool = False

    @property
    def reads_first(self) -> bool:
        """Whether an update without fields goes first; that of an outcome shows the rest too."""
        has_outcome = OUTCOME_FIELD in self.fields
        return self.allowed_outcome_ids is not None or bool(self.guarded_fields and not has_outcome)

    @property
    def requests(self) -> int:
        """The number of requests: at most one more if something in the call is compared first."""
        compares = self.reads_first or bool(self.guarded_fields) or self.note_block is not None
        return 1 + compares


class Plan(Struct, frozen=True, kw_only=True):
    """
    The call's new record, and the write that is to be made now, if any.

    `due_at` is when the call is to be run next (UTC), None for never. With `awaits_names` it is run
    once the account's outcomes have been read. `match` is None of a call that is not final.
    `failed_cause` is set if the call is given up on. `is_dry_run`: of a test call, see
    `workers.delivery.dry_run`.
    """

    record: DeliveryRecord
    due_at: datetime | None = None
    sending: BuildrWrite | None = None
    awaits_names: bool = False
    match: Match | None = None
    failed_cause: FailureCause | None = None
    is_dry_run: bool = False


class PlanInputs(Struct, frozen=True, kw_only=True):
    """
    Everything that the decision rests on.

    `outcome_ids` go by `outcome_key`, and are None while the account's outcomes were never read.
    `expected` is the expected call that it may be; `internal` is why it is a call among ourselves,
    if it is. `caller` is who called by the phone book. `replay_request` is one that is new to this
    job. With `protects_hand_edits` a call is read before an outcome that was written earlier is
    changed, and before ids of the phone book are written. `part_reason` is set of a call that
    others take in, whose own events decide nothing.
    """

    record: DeliveryRecord
    call: Call
    link: StoredLink | None
    config: OutcomeConfig
    outcome_ids: Mapping[str, str] | None
    timing: Timing
    expected: ExpectedCallMatch | None = None
    internal: str | None = None
    caller: CallerMatch | None = None
    replay_request: ReplayRequest | None = None
    protects_hand_edits: bool = False
    part_reason: str | None = None
