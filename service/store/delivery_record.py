"""
The record of a call's delivery, and every transition between its states.

The record and its transitions are in one module of the store, and not in `workers.delivery`: Redis
holds the record and `commit.lua` reads its state, so that store and workers need the same states.
No other module sets a state. Transitions of a plan take no time, since plans are also made for
previews: the job that commits one adds what is new to the history with `with_news_since`. Those
that follow a request to Buildr take the time of the response (`at`, UTC) and add their own entry.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Self

from msgspec import Struct, field
from msgspec.structs import replace

from service.events import UtcDatetime
from service.store.call_parties import CallParties
from service.store.delivery_state import (
    PARKED_STATES,
    Answer,
    DeliveryState,
    HistoryEntry,
    ReplayRequest,
)
from service.store.unanswered_writes import UnansweredWrites

# An ordinary call has about ten. The limit is for one that fails for days: the newest entries help
# most, and a record is written whole at each commit.
HISTORY_LENGTH: Final = 60
# Answers repeat: the last few show the cause. Each may have 2,000 characters.
MAX_ANSWERS: Final = 5
# States that change too often to be worth an entry of the history.
_NOT_IN_HISTORY: Final = frozenset({DeliveryState.OPEN, DeliveryState.WAITING})


class DeliveryRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The state of a call's delivery: everything that is stored of a call but its events.

    All times are UTC. `written` are the fields that Buildr is known to hold from here, in the call
    `written_to`; `note_block` is our own text in its notes. `in_doubt` are outcome ids, per Buildr
    call, that were sent and not confirmed. `left_ids` are ids of the phone book, per Buildr call,
    that are not written there: somebody chose others, or Buildr refuses them. `unsettled_since` is
    when the first change was received that Buildr does not hold yet.

    `attempts` counts failures since the last success, `unauthorized` refusals of the token among
    them, `not_taken` answers of 200 that show another value. `retry_at` is the earliest time of the
    next attempt. `unanswered` are writes that Buildr may still carry out.

    `message_id` is the newest message's. `replay_request` is the one that is being followed, until
    the call is at rest again.
    """

    ref: str
    state: DeliveryState = DeliveryState.OPEN
    reason: str = ""
    first_received_at: UtcDatetime | None = None
    last_received_at: UtcDatetime | None = None
    message_id: str | None = None
    unsettled_since: UtcDatetime | None = None
    buildr_call_id: str | None = None
    parties: CallParties | None = None
    result: str | None = None
    outcome: str | None = None
    rule: str | None = None
    written: dict[str, str] = field(default_factory=dict)
    written_to: str | None = None
    written_at: UtcDatetime | None = None
    in_doubt: dict[str, tuple[str, ...]] = field(default_factory=dict)
    left_ids: dict[str, dict[str, str]] = field(default_factory=dict)
    note_block: str | None = None
    unanswered: UnansweredWrites = UnansweredWrites()
    attempts: int = 0
    unauthorized: int = 0
    not_taken: int = 0
    first_failed_at: UtcDatetime | None = None
    retry_at: UtcDatetime | None = None
    answers: tuple[Answer, ...] = ()
    due_at: UtcDatetime | None = None
    # "mark" is the name under which stored records hold it.
    replay_request: ReplayRequest | None = field(default=None, name="mark")
    history: tuple[HistoryEntry, ...] = ()

    @property
    def is_parked(self) -> bool:
        """Whether further messages change nothing about its delivery."""
        return self.state in PARKED_STATES

    def received(
        self, at: datetime, message_id: str, summary: str, *, counts_at: datetime | None = None
    ) -> Self:
        """
        A message was received at a time that may be before that of earlier ones; for when the call
        is due it counts as received at `counts_at`.
        """
        counts_at = counts_at or at
        record = replace(
            self,
            first_received_at=min(at, self.first_received_at or at),
            last_received_at=max(counts_at, self.last_received_at or counts_at),
            message_id=message_id,
        )
        return record.with_history(at, "received", f"{summary} ({message_id})")

    def to_open(self, reason: str) -> Self:
        """The call has no final event yet."""
        return self._at_rest(DeliveryState.OPEN, reason)

    def to_stalled(self, reason: str) -> Self:
        """The final event is overdue."""
        return self._at_rest(DeliveryState.STALLED, reason)

    def to_unmatched(self, reason: str) -> Self:
        """The call is final, and no Buildr call is known."""
        return self._at_rest(DeliveryState.UNMATCHED, reason)

    def to_left_alone(self, reason: str) -> Self:
        """Nothing is to be written to Buildr about this call."""
        return self._at_rest(DeliveryState.LEFT_ALONE, reason)

    def to_settling(self) -> Self:
        """The call is final, and waits a moment for further messages."""
        return replace(
            self, state=DeliveryState.SETTLING, reason="waits a moment for what else comes"
        )

    def to_waiting(self, reason: str) -> Self:
        """The call waits in a lane. Its failures stay counted."""
        # `replay_request` stays, here and in the next ones: the call is not at rest, and its write
        # still has to read Buildr first and use the lane of the replay.
        return replace(self, state=DeliveryState.WAITING, reason=reason)

    def to_waiting_for_outcomes(self, reason: str) -> Self:
        """The call waits until the account's outcomes have been read; no attempt was made."""
        return replace(self, state=DeliveryState.RETRYING, reason=reason)

    def to_rate_limited(self, at: datetime, *, wait_s: float) -> Self:
        """Buildr has answered 429: the call goes back to its lane, and no attempt is counted."""
        waiting = self.to_waiting("Buildr asked everybody to wait (429)")
        return waiting.with_history(at, "rate limited", f"wait {wait_s:.1f} s")

    def to_waiting_for_buildr(self, at: datetime, *, error: str) -> Self:
        """Buildr is down: the call keeps its position in the lane, and no attempt is counted."""
        waiting = self.to_waiting(f"waits until Buildr is back: {error}")
        # Without it the plan would wait for the old time, though Buildr may be back before.
        return replace(waiting, retry_at=None).with_history(at, "waits for Buildr", error)

    def to_retrying(self, at: datetime, *, error: str, retry_at: datetime) -> Self:
        """The call is sent again at `retry_at`; count the failure with `with_failure` before."""
        retrying = replace(self, state=DeliveryState.RETRYING, reason=error, retry_at=retry_at)
        wait_s = (retry_at - at).total_seconds()
        detail = f"{error} (attempt {self.attempts + self.not_taken}, again in {wait_s:.0f} s)"
        return retrying.with_history(at, "will retry", detail)

    def to_failed(self, reason: str) -> Self:
        """The call is given up on."""
        return self._at_rest(DeliveryState.FAILED, reason)

    def to_delivered(self) -> Self:
        """Buildr holds the outcome: nothing is outstanding, and no failure counts any more."""
        return replace(
            self._at_rest(DeliveryState.DELIVERED, f"Buildr holds {self.outcome or ''}"),
            attempts=0,
            unauthorized=0,
            not_taken=0,
            first_failed_at=None,
            retry_at=None,
            unsettled_since=None,
        )

    def to_patched(self, at: datetime, detail: str) -> Self:
        """Buildr has confirmed the write; the call is delivered."""
        return self.to_delivered().with_history(at, "patched", detail)

    def to_given_up(self, at: datetime, reason: str) -> Self:
        """Buildr has refused the write, or failed too often; the call has failed."""
        return self.to_failed(reason).with_history(at, "failed", reason)

    def to_hand_edited(self, at: datetime, reason: str) -> Self:
        """The outcome was changed in Buildr: nothing is outstanding."""
        edited = self._at_rest(DeliveryState.HAND_EDITED, reason)
        return replace(edited, retry_at=None, unsettled_since=None).with_history(
            at,
            "left to a person",
            f"{reason}; buildr-calls replay {self.ref} --force writes it all the same",
        )

    def reopened(self, request: ReplayRequest) -> Self:
        """An operator has asked for a replay: the call starts afresh, with no failures."""
        # `open` ends a parked state: the plan goes on from there by the rules of today.
        return replace(self._without_failures(), state=DeliveryState.OPEN, replay_request=request)

    def matched(self, buildr_call_id: str | None) -> Self:
        """
        The call is matched to a Buildr call, or to none.

        Failures with another Buildr call do not count for this one.
        """
        if buildr_call_id == self.buildr_call_id:
            return self
        return replace(self._without_failures(), buildr_call_id=buildr_call_id)

    def with_written_fields_of(self, buildr_call_id: str | None) -> Self:
        """What was written to another Buildr call is not in this one."""
        if self.written_to == buildr_call_id:
            return self
        return replace(self, written={}, note_block=None)

    def with_unconfirmed(self, buildr_call_id: str, outcome_id: str) -> Self:
        """An outcome is about to be sent; until a response comes, Buildr may hold it or not."""
        # All that were ever in doubt, not only the last: any of them may be what Buildr holds.
        outcome_ids = dict.fromkeys((*self.in_doubt.get(buildr_call_id, ()), outcome_id))
        return replace(self, in_doubt={**self.in_doubt, buildr_call_id: tuple(outcome_ids)})

    def with_written(
        self, buildr_call_id: str, fields: Mapping[str, str], *, at: datetime, has_outcome: bool
    ) -> Self:
        """Buildr has confirmed fields; with the outcome among them nothing is in doubt any more."""
        in_doubt = dict(self.in_doubt)
        if has_outcome:
            # A confirmed outcome is newer than all that were in doubt: requests of one call are
            # never under way at the same time, since its permits are held by one job.
            in_doubt.pop(buildr_call_id, None)
        return replace(
            self,
            written={**self.written, **fields},
            written_to=buildr_call_id,
            written_at=at,
            in_doubt=in_doubt,
        )

    def with_left_ids(self, buildr_call_id: str, ids: Mapping[str, str]) -> Self:
        """Ids of the phone book are not written, since Buildr holds them or others."""
        if not ids:
            return self
        left_ids = {**self.left_ids.get(buildr_call_id, {}), **ids}
        return replace(self, left_ids={**self.left_ids, buildr_call_id: left_ids})

    def with_reason(self, reason: str) -> Self:
        """The same state for another reason, a sentence for the operator."""
        return replace(self, reason=reason)

    def with_answer(self, answer: Answer) -> Self:
        """One more response to a failed request; the oldest are dropped."""
        return replace(self, answers=(*self.answers, answer)[-MAX_ANSWERS:])

    def with_failure(self, at: datetime, *, is_unauthorized: bool) -> Self:
        """One more failure; a refused token is counted apart from the attempts."""
        first_failed_at = self.first_failed_at or at
        if is_unauthorized:
            return replace(
                self, first_failed_at=first_failed_at, unauthorized=self.unauthorized + 1
            )
        return replace(self, first_failed_at=first_failed_at, attempts=self.attempts + 1)

    def with_not_taken(self, at: datetime) -> Self:
        """One more answer of 200 that shows another value than was sent."""
        started_at = self.first_failed_at or at
        return replace(self, first_failed_at=started_at, not_taken=self.not_taken + 1)

    def with_history(self, at: datetime, summary: str, detail: str = "") -> Self:
        """One more entry of the history, unless it repeats the last; the oldest are dropped."""
        if self.history:
            last = self.history[-1]
            # A call that is woken and has to wait again must not fill the history.
            if (last.summary, last.detail) == (summary, detail):
                return self
        entry = HistoryEntry(at=at, summary=summary, detail=detail)
        return replace(self, history=(*self.history, entry)[-HISTORY_LENGTH:])

    def with_news_since(self, before: Self, at: datetime, *, match_reason: str) -> Self:
        """The history with what a plan has changed: result, Buildr call, state, in this order."""
        record = self
        if record.result is not None and record.result != before.result:
            record = record.with_history(at, "result", record.result)
        if record.buildr_call_id is not None and record.buildr_call_id != before.buildr_call_id:
            record = record.with_history(at, "matched", match_reason)
        if record.state is before.state or record.state in _NOT_IN_HISTORY:
            return record
        return record.with_history(at, record.state.value.replace("_", " "), record.reason)

    def _at_rest(self, state: DeliveryState, reason: str) -> Self:
        """A state in which nothing more is done ends the replay request."""
        return replace(self, state=state, reason=reason, replay_request=None)

    def _without_failures(self) -> Self:
        return replace(
            self,
            attempts=0,
            unauthorized=0,
            not_taken=0,
            first_failed_at=None,
            retry_at=None,
            answers=(),
        )
