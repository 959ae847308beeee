"""
One write to Buildr: the PATCH of the outcome, and the notes where they are wanted.

What an error means for the call is decided in `workers.delivery.failure_policy`.
"""

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

import structlog

from service.errors import BuildrError, BuildrRejected
from service.logs.events import LogEvent
from service.store.delivery_record import DeliveryRecord
from service.store.rate_limit.grants import Grant, HealthSignal, RateLimitState
from service.store.rate_limit.permits import Permits
from workers.buildr import BuildrClient, UpdatedCall
from workers.buildr.errors import EMPTY_UPDATE_REFUSED
from workers.delivery.difference import OUTCOME_FIELD
from workers.delivery.failure_policy import FailurePolicy, Sent, is_first_refusal
from workers.delivery.feedback import health_signal_of, release_permits
from workers.delivery.hand_edits import HandEdited, check_outcome, guard_ids, refused_ids
from workers.delivery.plan_types import BuildrWrite
from workers.outcomes.notes import merge_note

NOTES_FIELD: Final = "notes"
log = structlog.get_logger(__name__)


class _PermitExpired(Exception):
    """
    Raised when a request could be under way after its permit has expired, as after a pause of the
    whole machine.
    """


@dataclass(slots=True)
class _Progress:
    """
    How far a write has come: what is true of the call so far, the requests begun, the fields that
    Buildr has confirmed, and those of the last request.
    """

    record: DeliveryRecord
    grant: Grant
    requests: int = 0
    field_names: set[str] = field(default_factory=set)
    sending: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """
    Writes to Buildr, with permits that were granted before.

    `request_timeout_s` is the client's; `hold_s` is the longest that one request may take with all
    that is around it, in seconds.
    """

    client: BuildrClient
    permits: Permits
    failure_policy: FailurePolicy
    request_timeout_s: float
    hold_s: float
    notes_mode: Literal["never", "if_empty", "append"]
    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def send(self, record: DeliveryRecord, write: BuildrWrite, grant: Grant) -> Sent:
        """
        Make a write and return what became of it; the permits are released, unused ones uncounted.

        A write that is cancelled keeps its permits until they expire: its request may still arrive.
        """
        # Kept outside `_write`, so that an error after the first of two requests still knows what
        # Buildr has confirmed; a retry then sends only the rest.
        progress = _Progress(record, grant)
        try:
            await self._write(progress, write)
        except _PermitExpired:
            # The process was stopped for a while. That says nothing about Buildr, and is no failure
            # of the call.
            await self._release(progress, HealthSignal.NOTHING)
            log.warning(LogEvent.DELIVERY_PERMIT_RAN_OUT, buildr_call_id=write.buildr_call_id)
            reason = "its permit had run out, and it asks for another"
            return Sent(record=progress.record.to_waiting(reason), due_at=self.clock())
        except HandEdited as err:
            await self._release(progress, HealthSignal.FINE)
            return Sent(record=self._hand_edited(progress.record, str(err)))
        except BuildrError as err:
            ids = refused_ids(write, progress.sending, err)
            if ids:
                await self._release(progress, HealthSignal.FINE)
                return self._without_ids(progress, write, ids, err)
            return await self._failed(progress, err)
        await self._release(progress, HealthSignal.FINE)
        # Only read: all that was to be written were ids that Buildr holds already, or in whose
        # place somebody has chosen others.
        if not progress.field_names:
            return Sent(record=progress.record.to_delivered())
        field_names = ", ".join(sorted(progress.field_names))
        detail = f"call {write.buildr_call_id}: {write.outcome} ({field_names})"
        return Sent(record=progress.record.to_patched(self.clock(), detail))

    def _without_ids(
        self, progress: _Progress, write: BuildrWrite, ids: Mapping[str, str], err: BuildrError
    ) -> Sent:
        """The call goes on without ids of the phone book: they must not cost it its outcome."""
        reason = f"Buildr refused them, or the call: {err}"
        record = self._with_left_ids(progress.record, write, ids, reason)
        waiting = record.to_waiting("is written without the ids of the phone book")
        return Sent(record=waiting, due_at=self.clock())

    async def _failed(self, progress: _Progress, err: BuildrError) -> Sent:
        signal = health_signal_of(err)
        # Tokens run out; with `down`, the first call after a night would open the breaker of
        # everybody.
        if is_first_refusal(err, progress.record):
            signal = HealthSignal.UNSURE
        limit = await self._release(progress, signal, err)
        return self.failure_policy.after(err, progress.record, limit, self.clock())

    def _hand_edited(self, record: DeliveryRecord, reason: str) -> DeliveryRecord:
        log.info(LogEvent.CALL_LEFT_TO_PERSON, buildr_call_id=record.buildr_call_id, reason=reason)
        return record.to_hand_edited(self.clock(), reason)

    async def _release(
        self, progress: _Progress, signal: HealthSignal, err: BuildrError | None = None
    ) -> RateLimitState:
        return await release_permits(
            self.permits, progress.grant, sent=progress.requests, signal=signal, err=err
        )

    async def _write(self, progress: _Progress, write: BuildrWrite) -> None:
        """
        The requests of a write.

        A call that is read first gets everything in one request. Any other gets the outcome first,
        whose response shows the notes to add to, and what the call is filed under.
        """
        # Guarded ids go last, after an answer has shown what the call is filed under.
        fields = dict(write.fields)
        guarded = {name: fields.pop(name) for name in write.guarded_fields}
        if write.reads_first:
            current = await self._read_call(progress, write)
            if current is not None and write.allowed_outcome_ids is not None:
                check_outcome(current, write.allowed_outcome_ids)
        else:
            current = await self._patch(progress, write, fields)
            fields = {}
        fields |= self._unguarded(progress, write, guarded, current)
        note = self._merged_note(progress.record, write, current)
        if note is not None:
            fields[NOTES_FIELD] = note
        if fields:
            await self._patch(progress, write, fields)
        # Also if the note was left alone: the same text would be tried again with each message.
        if write.note_block is not None:
            progress.record = replace(progress.record, note_block=write.note_block)

    def _unguarded(
        self,
        progress: _Progress,
        write: BuildrWrite,
        guarded: Mapping[str, str],
        current: UpdatedCall | None,
    ) -> dict[str, str]:
        """The ids of the phone book that may be written; the others are noted in the record."""
        if not guarded:
            return {}
        ids = guard_ids(guarded, current, progress.record.written)
        progress.record = self._with_left_ids(progress.record, write, ids.left, ids.reason)
        return dict(ids.to_write)

    def _with_left_ids(
        self, record: DeliveryRecord, write: BuildrWrite, ids: Mapping[str, str], reason: str
    ) -> DeliveryRecord:
        """The record with ids that are not written; with a reason it is logged."""
        record = record.with_left_ids(write.buildr_call_id, ids)
        if not reason:
            return record
        log.info(LogEvent.CALL_FILING_LEFT, buildr_call_id=write.buildr_call_id, reason=reason)
        names = ", ".join(f"{name} {value}" for name, value in sorted(ids.items()))
        detail = f"{names} of the phone book; {reason}"
        return record.with_history(self.clock(), "not filed", detail)

    async def _patch(
        self, progress: _Progress, write: BuildrWrite, fields: dict[str, str]
    ) -> UpdatedCall:
        """Send fields, and record them as written once Buildr has confirmed them."""
        updated = await self._request(progress, write, fields)
        # The notes hold what people wrote and are not kept here. `note_block` remembers our own
        # part.
        written = {name: value for name, value in fields.items() if name != NOTES_FIELD}
        progress.field_names |= written.keys()
        progress.record = progress.record.with_written(
            write.buildr_call_id,
            written,
            at=self.clock(),
            has_outcome=OUTCOME_FIELD in written,
        )
        return updated

    async def _request(
        self, progress: _Progress, write: BuildrWrite, fields: dict[str, str]
    ) -> UpdatedCall:
        """
        One PATCH with the next permit; without fields it only reads.

        Raises `BuildrError` and `_PermitExpired`.
        """
        # The time is taken after the wait for the permit, so that `duration_ms` is Buildr's alone.
        await self._start(progress)
        started_at = self.clock()
        # Before the request: one that is cut off may have arrived, and must count against the
        # budget.
        progress.requests += 1
        progress.sending = frozenset(fields)
        updated = await self.client.update_call(write.buildr_call_id, {"call": fields})
        outcome = None
        if OUTCOME_FIELD in fields:
            outcome = write.outcome
        log.info(
            LogEvent.BUILDR_PATCHED if fields else LogEvent.BUILDR_READ,
            buildr_call_id=write.buildr_call_id,
            outcome=outcome,
            fields=sorted(fields) or None,
            status_code=200,
            duration_ms=int((self.clock() - started_at).total_seconds() * 1000),
        )
        return updated

    async def _read_call(self, progress: _Progress, write: BuildrWrite) -> UpdatedCall | None:
        """
        The call in Buildr, by a PATCH without fields; None if Buildr refuses an empty update.

        Raises `HandEdited` instead if there is an outcome to be checked, which it cannot be then.
        """
        try:
            return await self._request(progress, write, {})
        except BuildrRejected as err:
            # 404 and 410, for example: these are about the call itself, and end the delivery.
            if err.status_code not in EMPTY_UPDATE_REFUSED:
                raise
            if write.allowed_outcome_ids is None:
                return None
            command = f"buildr-calls replay {shlex.quote(progress.record.ref)} --force"
            raise HandEdited(
                f"Buildr shows no call by an empty update ({err.status_code}), so that nothing is "
                f"changed; {command}, or PROTECT_HAND_EDITS=false"
            ) from err

    async def _start(self, progress: _Progress) -> None:
        """
        Wait until the permits are valid, never longer than they may be granted ahead.

        Raises `_PermitExpired`.
        """
        # The first request may have taken most of the time for which the permits are valid. Without
        # renewal `start` would refuse the second, with the outcome written and the notes not.
        if progress.requests:
            valid_until = await self.permits.renew(
                progress.grant, answered=progress.requests, hold_s=self.hold_s
            )
            progress.grant = replace(progress.grant, valid_until=valid_until)
        if not await self.permits.start(
            progress.grant, request_timeout_s=self.request_timeout_s, sleep=self.sleep
        ):
            raise _PermitExpired

    def _merged_note(
        self, record: DeliveryRecord, write: BuildrWrite, current: UpdatedCall | None
    ) -> str | None:
        """The whole text of the notes to write, or None to leave them as they are."""
        if write.note_block is None or self.notes_mode == "never":
            return None
        if current is None or not current.has_notes:
            # Without the present text, writing could destroy what somebody wrote in Buildr.
            log.warning(
                LogEvent.NOTE_LEFT_ALONE,
                reason="Buildr's answer does not show the notes",
                buildr_call_id=write.buildr_call_id,
            )
            return None
        return merge_note(current.notes, write.note_block, record.note_block, self.notes_mode)
