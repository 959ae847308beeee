"""
One write to Buildr: the PATCH of the outcome, the notes where they are wanted, and what an error
means for the call.
"""

import asyncio
import random
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final, Literal

import structlog

from service.errors import (
    BuildrError,
    BuildrRateLimited,
    BuildrRejected,
    BuildrUnauthorized,
    FailureCause,
)
from service.store.calls import ANSWERS_KEPT, Answer, DeliveryRecord
from service.store.delivery_state import DeliveryState
from service.store.rate_limit.grants import Grant, HealthSignal, RateLimitState
from service.store.rate_limit.permits import Permits
from workers.buildr import BuildrClient, UpdatedCall
from workers.delivery.failure_policy import retry_in_s
from workers.delivery.feedback import health_signal_of, release_permits
from workers.delivery.plan import EMPTY, OUTCOME_FIELD, BuildrWrite
from workers.outcomes.notes import merge_note

ANSWER_LENGTH: Final = 2000
# Age alone gives no call up that has hardly been tried, as after a long outage.
LEAST_ATTEMPTS: Final = 10
# Answers that are about an update without fields, not about the call.
EMPTY_UPDATE_REFUSED: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UNPROCESSABLE_ENTITY}
)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUpPolicy:
    """When to give a call up."""

    max_attempts: int
    max_age: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """
    What became of a write: the new record, when to look again, and the cause if the call is given
    up on.
    """

    record: DeliveryRecord
    due_at: datetime | None = None
    failed_cause: FailureCause | None = None


class _PermitExpired(Exception):
    """
    Raised when a request could be under way after its permit has run out, as after a pause of the
    whole machine.
    """


class _HandEdited(Exception):
    """Raised when a person has given the call another outcome."""


@dataclass(slots=True)
class _Progress:
    """
    How far a write has come: the record as far as it is true, the permits, requests that were
    begun.
    """

    record: DeliveryRecord
    grant: Grant
    requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """
    Writes to Buildr within permits that were given before; `hold_s` is the longest that one request
    may take.
    """

    client: BuildrClient
    permits: Permits
    limits: GiveUpPolicy
    request_timeout_s: float
    hold_s: float
    notes_mode: Literal["never", "if_empty", "append"]
    clock: Callable[[], datetime]
    rng: random.Random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def send(self, record: DeliveryRecord, sending: BuildrWrite, grant: Grant) -> Sent:
        """
        Make the write and say what it means; gives the permits back, the unused ones uncounted.

        A write that is cancelled keeps its permits until they run out: its request may still
        arrive.
        """
        progress = _Progress(record, grant)
        try:
            await self._write(progress, sending)
        except _PermitExpired:
            await self._release(progress)
            log.warning("delivery.permit_ran_out", buildr_call_id=sending.buildr_call_id)
            late = replace(
                progress.record,
                state=DeliveryState.WAITING,
                reason="its permit had run out, and it asks for another",
            )
            return Sent(record=late, due_at=self.clock())
        except _HandEdited as err:
            await self._release(progress, heard=HealthSignal.FINE)
            return Sent(record=self._left_to_person(progress.record, str(err)))
        except BuildrError as err:
            is_first = (
                isinstance(err, BuildrUnauthorized)
                and not record.unauthorized
                and err.status_code != HTTPStatus.FORBIDDEN
            )
            standing = await self._release(
                progress, heard=HealthSignal.UNSURE if is_first else health_signal_of(err), err=err
            )
            return self._failed(progress.record, err, standing)
        await self._release(progress, heard=HealthSignal.FINE)
        return Sent(record=self._delivered(progress.record, sending))

    async def _release(
        self,
        progress: _Progress,
        *,
        heard: HealthSignal = HealthSignal.NOTHING,
        err: BuildrError | None = None,
    ) -> RateLimitState:
        return await release_permits(
            self.permits, progress.grant, sent=progress.requests, heard=heard, err=err
        )

    async def _write(self, progress: _Progress, sending: BuildrWrite) -> None:
        fields = dict(sending.fields)
        note: str | None = None
        if sending.accepts is not None:
            held = await self._read_call(progress, sending)
            self._check_not_hand_edited(held, sending.accepts)
            note = self._merged(progress.record, sending, held)
            if note is not None:
                fields["notes"] = note
        held = await self._request(progress, sending, fields)
        written = {name: value for name, value in fields.items() if name != "notes"}
        progress.record = replace(
            progress.record,
            written={**progress.record.written, **written},
            written_to=sending.buildr_call_id,
            written_at=self.clock(),
        )
        if OUTCOME_FIELD in fields:
            in_doubt = {
                each: ids
                for each, ids in progress.record.in_doubt.items()
                if each != sending.buildr_call_id
            }
            progress.record = replace(progress.record, in_doubt=in_doubt)
        if sending.accepts is None:
            note = self._merged(progress.record, sending, held)
            if note is not None:
                await self._request(progress, sending, {"notes": note})
        if sending.note_block is not None:
            progress.record = replace(progress.record, note_block=sending.note_block)

    async def _request(
        self, progress: _Progress, sending: BuildrWrite, fields: dict[str, str]
    ) -> UpdatedCall:
        """
        One PATCH on the next permit; without fields it only reads. Raises `BuildrError` and
        `_PermitExpired`.
        """
        await self._start(progress)
        started_at = self.clock()
        progress.requests += 1
        answer = await self.client.update_call(sending.buildr_call_id, {"call": fields})
        log.info(
            "buildr.patched" if fields else "buildr.read",
            buildr_call_id=sending.buildr_call_id,
            outcome=sending.outcome if "call_outcome_id" in fields else None,
            fields=sorted(fields) or None,
            status_code=200,
            duration_ms=int((self.clock() - started_at).total_seconds() * 1000),
        )
        return answer

    async def _read_call(self, progress: _Progress, sending: BuildrWrite) -> UpdatedCall:
        """
        What Buildr holds, by a PATCH without fields. Raises `_HandEdited` if Buildr takes none,
        since then nobody can tell.
        """
        try:
            return await self._request(progress, sending, {})
        except BuildrRejected as err:
            if err.status_code not in EMPTY_UPDATE_REFUSED:
                raise
            cure = f"buildr-calls replay {shlex.quote(progress.record.ref)} --force, or PROTECT_HAND_EDITS=false"
            raise _HandEdited(
                f"Buildr shows no call by an empty update ({err.status_code}), so that nothing is changed; {cure}"
            ) from err

    async def _start(self, progress: _Progress) -> None:
        """
        Wait for the moment from which the permits are good, never longer than they may be given
        ahead. Raises `_PermitExpired`.
        """
        if progress.requests:
            valid_until = await self.permits.renew(
                progress.grant, answered=progress.requests, hold_s=self.hold_s
            )
            progress.grant = replace(progress.grant, valid_until=valid_until)
        if not await self.permits.start(
            progress.grant, request_timeout_s=self.request_timeout_s, sleep=self.sleep
        ):
            raise _PermitExpired

    def _check_not_hand_edited(self, held: UpdatedCall, accepts: frozenset[str]) -> None:
        found = EMPTY if held.call_outcome is None else held.call_outcome.id
        if held.has_outcome and found not in accepts:
            name = (
                "no outcome"
                if held.call_outcome is None
                else f"the outcome {held.call_outcome.name}"
            )
            raise _HandEdited(
                f"a person has given the call {name} in Buildr, and it is left to them"
            )

    def _merged(
        self, record: DeliveryRecord, sending: BuildrWrite, held: UpdatedCall
    ) -> str | None:
        """The whole text of the notes to write, or None to leave them."""
        if sending.note_block is None or self.notes_mode == "never":
            return None
        if not held.has_notes:
            # Without the text that is there, writing could destroy what a person wrote.
            log.warning(
                "note.left_alone",
                reason="Buildr's answer does not show the notes",
                buildr_call_id=sending.buildr_call_id,
            )
            return None
        return merge_note(held.notes, sending.note_block, record.note_block, self.notes_mode)

    def _left_to_person(self, record: DeliveryRecord, reason: str) -> DeliveryRecord:
        log.info("call.left_to_person", buildr_call_id=record.buildr_call_id, reason=reason)
        left = replace(
            record,
            state=DeliveryState.HAND_EDITED,
            reason=reason,
            replay_request=None,
            retry_at=None,
            unsettled_since=None,
        )
        return left.with_history(
            self.clock(),
            "left to a person",
            f"{reason}; buildr-calls replay {record.ref} --force writes it all the same",
        )

    def _delivered(self, record: DeliveryRecord, sending: BuildrWrite) -> DeliveryRecord:
        done = replace(
            record,
            state=DeliveryState.DELIVERED,
            reason=f"Buildr holds {sending.outcome}",
            attempts=0,
            unauthorized=0,
            first_failed_at=None,
            retry_at=None,
            unsettled_since=None,
            replay_request=None,
        )
        fields = ", ".join(sorted(sending.fields))
        return done.with_history(
            self.clock(), "patched", f"call {sending.buildr_call_id}: {sending.outcome} ({fields})"
        )

    def _failed(self, record: DeliveryRecord, err: BuildrError, standing: RateLimitState) -> Sent:
        now = self.clock()
        answer = Answer(
            at=now,
            cause=err.cause,
            status_code=err.status_code,
            text=(err.answer or str(err))[:ANSWER_LENGTH],
        )
        record = replace(record, answers=(*record.answers, answer)[-ANSWERS_KEPT:])
        if isinstance(err, BuildrRateLimited):
            record = replace(
                record, state=DeliveryState.WAITING, reason="Buildr asked everybody to wait (429)"
            )
            return Sent(
                record=record.with_history(now, "rate limited", f"wait {standing.blocked_s:.1f} s")
            )
        if not err.retryable:
            return self._give_up(record, err, f"Buildr refused it: {err}")
        if standing.is_open:
            # Not this call's fault, so that it costs it nothing: it keeps its place in the lane.
            record = replace(
                record,
                state=DeliveryState.WAITING,
                reason=f"waits until Buildr is back: {err}",
                retry_at=None,
            )
            return Sent(record=record.with_history(now, "waits for Buildr", str(err)))
        return self._retry(record, err, now)

    def _retry(self, record: DeliveryRecord, err: BuildrError, now: datetime) -> Sent:
        # A token that is refused for the first time may only have run out; a second refusal is an
        # outage, and does not come here.
        is_refused = isinstance(err, BuildrUnauthorized)
        wait_s = 0.0 if is_refused else retry_in_s(record.attempts + 1, rng=self.rng)
        record = replace(
            record,
            first_failed_at=record.first_failed_at or now,
            attempts=record.attempts + (not is_refused),
            unauthorized=record.unauthorized + is_refused,
        )
        if record.attempts >= self.limits.max_attempts:
            return self._give_up(record, err, f"given up after {record.attempts} attempts: {err}")
        if (
            record.attempts >= LEAST_ATTEMPTS
            and now - (record.first_failed_at or now) >= self.limits.max_age
        ):
            return self._give_up(record, err, f"given up after {self.limits.max_age}: {err}")
        due_at = now + timedelta(seconds=wait_s)
        record = replace(record, state=DeliveryState.RETRYING, reason=str(err), retry_at=due_at)
        log.warning(
            "job.retry_scheduled",
            reason=err.cause,
            status_code=err.status_code,
            attempt=record.attempts,
            retry_in_s=round(wait_s, 3),
        )
        return Sent(
            record=record.with_history(
                now, "will retry", f"{err} (attempt {record.attempts}, again in {wait_s:.0f} s)"
            ),
            due_at=due_at,
        )

    def _give_up(self, record: DeliveryRecord, err: BuildrError, reason: str) -> Sent:
        now = self.clock()
        log.error(
            "job.failed", reason=err.cause, status_code=err.status_code, attempt=record.attempts
        )
        failed = replace(record, state=DeliveryState.FAILED, reason=reason, replay_request=None)
        return Sent(record=failed.with_history(now, "failed", reason), failed_cause=err.cause)
