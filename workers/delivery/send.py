"""
One write to Buildr: the PATCH of the outcome, and the notes where they are wanted.

What an error means for the call is decided in `workers.delivery.failure_policy`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import structlog
from msgspec.structs import replace

from service.errors import BuildrError, BuildrNotTaken
from service.logs.events import LogEvent
from service.store.delivery_record import DeliveryRecord
from service.store.rate_limit.grants import Grant, HealthSignal, RateLimitState
from workers.buildr import UpdatedCall
from workers.buildr.client import RequestTooLate
from workers.delivery.confirmation import confirm, not_taken_text
from workers.delivery.difference import IMMATERIAL, NOTES_FIELD, OUTCOME_FIELD
from workers.delivery.failure_policy import FailurePolicy, Sent, is_first_refusal
from workers.delivery.feedback import health_signal_of, release_permits
from workers.delivery.hand_edits import (
    HandEdited,
    check_outcome,
    guard_ids,
    refused_ids,
    with_left_ids,
)
from workers.delivery.late_writes import after_failed_recheck, after_recheck, with_rechecks
from workers.delivery.note_text import merged_note
from workers.delivery.plan_types import BuildrWrite
from workers.delivery.requests import PermitExpired, Progress, Requests

log = structlog.get_logger(__name__)


class Sender(Requests, frozen=True, kw_only=True):
    """Makes whole writes, and decides what becomes of their calls."""

    failure_policy: FailurePolicy
    notes_mode: Literal["never", "if_empty", "append"]

    async def send(self, record: DeliveryRecord, write: BuildrWrite, grant: Grant) -> Sent:
        """
        Make a write and return what became of it; the permits are released, unused ones uncounted.

        A write that is cancelled keeps its permits until they expire: its request may still arrive.
        """
        # Kept outside `_write`, so that an error after the first of two requests still knows what
        # Buildr has confirmed; a retry then sends only the rest.
        progress = Progress(record, grant, is_listed=not write.is_recheck)
        try:
            await self._write(progress, write)
        except (PermitExpired, RequestTooLate):
            return await self._too_late(progress, write)
        except HandEdited as err:
            signal = HealthSignal.FINE
            # Buildr refuses to be read so, which a wrong address does too.
            if isinstance(err.__cause__, BuildrError):
                signal = health_signal_of(err.__cause__)
            await self._release(progress, signal)
            return Sent(record=self._hand_edited(self._answered(progress), str(err)))
        except BuildrError as err:
            progress.is_answered = progress.is_answered or err.is_without_effect
            ids = refused_ids(write, progress.sending, err)
            if ids:
                # What it is about shows when the call goes again without them.
                await self._release(progress, HealthSignal.NOTHING)
                return self._without_ids(progress, write, ids, err)
            return await self._failed(progress, write, err)
        await self._release(progress, HealthSignal.FINE)
        return self._written(progress, write)

    def _written(self, progress: Progress, write: BuildrWrite) -> Sent:
        """Everything has been sent and confirmed."""
        now = self.clock()
        record = self._answered(progress)
        if write.is_recheck:
            # Its outcome in Buildr is hand-edited, or the next recheck has a time, or it has none.
            return Sent(record=record, due_at=record.unanswered.recheck_at)
        # Only read: all that was to be written were ids that Buildr holds already, or in whose
        # place somebody has chosen others.
        if not progress.field_names:
            return _at_rest(record.to_delivered(), now)
        field_names = ", ".join(sorted(progress.field_names))
        detail = f"call {write.buildr_call_id}: {write.outcome} ({field_names})"
        if progress.not_shown:
            detail += f"; not shown in the answer: {', '.join(sorted(progress.not_shown))}"
        return _at_rest(record.to_patched(now, detail), now)

    async def _too_late(self, progress: Progress, write: BuildrWrite) -> Sent:
        """
        The process was stopped for a while. That says nothing about Buildr, and is no failure of
        the call.
        """
        await self._release(progress, HealthSignal.NOTHING)
        log.warning(LogEvent.DELIVERY_PERMIT_RAN_OUT, buildr_call_id=write.buildr_call_id)
        progress.is_answered = True
        record = self._answered(progress)
        if not write.is_recheck:
            record = record.to_waiting("its permit had run out, and it asks for another")
        return Sent(record=record, due_at=self.clock())

    def _answered(self, progress: Progress) -> DeliveryRecord:
        """The record; its write is off the list of the unanswered ones if it is answered."""
        if progress.is_answered and progress.is_listed:
            return replace(progress.record, unanswered=progress.record.unanswered.answered())
        return progress.record

    def _without_ids(
        self, progress: Progress, write: BuildrWrite, ids: Mapping[str, str], err: BuildrError
    ) -> Sent:
        """The call goes on without ids of the phone book: they must not cost it its outcome."""
        reason = f"Buildr refused them, or the call: {err}"
        record = with_left_ids(progress.record, write, ids, reason, at=self.clock())
        progress.record = record
        record = self._answered(progress)
        waiting = record.to_waiting("is written without the ids of the phone book")
        return Sent(record=waiting, due_at=self.clock())

    async def _failed(self, progress: Progress, write: BuildrWrite, err: BuildrError) -> Sent:
        signal = health_signal_of(err)
        record = self._answered(progress)
        # Tokens run out; with `down`, the first call after a night would open the breaker of
        # everybody.
        if is_first_refusal(err, record):
            signal = HealthSignal.UNSURE
        limit = await self._release(progress, signal, err)
        if write.is_recheck:
            record = after_failed_recheck(record, err, self.clock())
            return Sent(record=record, due_at=record.unanswered.recheck_at)
        return self.failure_policy.after(err, record, limit, self.clock())

    def _hand_edited(self, record: DeliveryRecord, reason: str) -> DeliveryRecord:
        log.info(LogEvent.CALL_LEFT_TO_PERSON, buildr_call_id=record.buildr_call_id, reason=reason)
        return record.to_hand_edited(self.clock(), reason)

    async def _release(
        self, progress: Progress, signal: HealthSignal, err: BuildrError | None = None
    ) -> RateLimitState:
        sent = progress.requests
        # It cannot have arrived, so that it does not count against the budget.
        if err is not None and not err.was_sent:
            sent = max(0, sent - 1)
        return await release_permits(
            self.permits, progress.grant, sent=sent, signal=signal, err=err
        )

    async def _write(self, progress: Progress, write: BuildrWrite) -> None:
        """
        The requests of a write.

        A call that is read first gets everything in one request. Any other gets the outcome first,
        whose response shows the notes to add to, and what the call is filed under.
        """
        if write.is_recheck:
            shown = await self.request(progress, write, {})
            progress.record = after_recheck(progress.record, shown, write.outcome, self.clock())
            return
        # Guarded ids go last, after an answer has shown what the call is filed under.
        fields = dict(write.fields)
        guarded = {name: fields.pop(name) for name in write.guarded_fields}
        if write.reads_first:
            current = await self.read_call(progress, write)
            if current is not None and write.allowed_outcome_ids is not None:
                check_outcome(current, write.allowed_outcome_ids)
        else:
            current = await self._patch(progress, write, fields)
            fields = {}
        fields |= self._unguarded(progress, write, guarded, current)
        note = merged_note(progress.record, write, current, self.notes_mode)
        notes_before = None
        if note is not None and current is not None:
            fields[NOTES_FIELD] = note
            notes_before = current.notes
        if fields:
            await self._patch(progress, write, fields, notes_before=notes_before)
        # Also if the note was left alone: the same text would be tried again with each message.
        if write.note_block is not None:
            progress.record = replace(progress.record, note_block=write.note_block)

    def _unguarded(
        self,
        progress: Progress,
        write: BuildrWrite,
        guarded: Mapping[str, str],
        current: UpdatedCall | None,
    ) -> dict[str, str]:
        """The ids of the phone book that may be written; the others are noted in the record."""
        if not guarded:
            return {}
        ids = guard_ids(guarded, current, progress.record.written)
        progress.record = with_left_ids(
            progress.record, write, ids.left, ids.reason, at=self.clock()
        )
        return dict(ids.to_write)

    async def _patch(
        self,
        progress: Progress,
        write: BuildrWrite,
        fields: dict[str, str],
        *,
        notes_before: str | None = None,
    ) -> UpdatedCall:
        """
        Send fields, and record those as written that Buildr has not shown with another value.

        Raises `BuildrNotTaken` if something that matters is not taken.
        """
        updated = await self.request(progress, write, fields)
        answer = confirm(fields, updated, outcome=write.outcome, notes_before=notes_before)
        # The notes hold what people wrote and are not kept here. `note_block` remembers our own
        # part.
        written = {
            name: value
            for name, value in fields.items()
            if name != NOTES_FIELD and name not in answer.not_taken
        }
        progress.field_names |= written.keys()
        progress.not_shown |= answer.not_shown
        progress.record = progress.record.with_written(
            write.buildr_call_id,
            written,
            at=self.clock(),
            has_outcome=OUTCOME_FIELD in written,
        )
        if answer.not_taken:
            self._check_not_taken(progress, write, fields, answer.not_taken)
        return updated

    def _check_not_taken(
        self,
        progress: Progress,
        write: BuildrWrite,
        fields: Mapping[str, str],
        not_taken: Mapping[str, str],
    ) -> None:
        """Ids of the phone book are left, a time alone is noted; anything else is not taken."""
        reason = f"Buildr has answered 200 and shows {not_taken_text(fields, not_taken)}"
        log.warning(LogEvent.BUILDR_NOT_TAKEN, buildr_call_id=write.buildr_call_id, reason=reason)
        left = {name: fields[name] for name in not_taken if name in write.caller_fields}
        record = with_left_ids(progress.record, write, left, reason, at=self.clock())
        if not_taken.keys() <= left.keys() | IMMATERIAL:
            progress.record = record.with_history(self.clock(), "not taken", reason)
            return
        # Its answer is no proof that it will not be carried out later.
        progress.is_answered = False
        progress.record = record
        raise BuildrNotTaken(reason)


def _at_rest(record: DeliveryRecord, now: datetime) -> Sent:
    """A delivered call, read again if an unanswered write may come late."""
    record = with_rechecks(record, now)
    return Sent(record=record, due_at=record.unanswered.recheck_at)
