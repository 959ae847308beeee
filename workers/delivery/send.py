"""
One write to Buildr: the PATCH of the outcome, the notes where they are wanted, and what an error means for the call.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final, Literal

import structlog

from service.errors import BuildrError, BuildrRateLimited, BuildrUnauthorized
from service.store.calls import ANSWERS_KEPT, Answer, DeliveryState, Record
from service.store.permits import Grant, Permits
from workers.buildr import BuildrClient
from workers.delivery.backoff import retry_in_s, unauthorized_retry_in_s
from workers.delivery.plan import Sending
from workers.notes import merge_note

ANSWER_LENGTH: Final = 2000
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to give a call up."""

    max_attempts: int
    max_age: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of a write: the new record, when to look again, and the cause if the call is given up on."""

    record: Record
    due_at: datetime | None = None
    failed_cause: str | None = None


class _TooLate(Exception):
    pass


@dataclass(slots=True)
class _Progress:
    requests: int = 0
    record: Record | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Writes to Buildr within permits that were given before."""

    client: BuildrClient
    permits: Permits
    limits: Limits
    request_timeout_s: float
    notes_mode: Literal["never", "if_empty", "append"]
    clock: Callable[[], datetime]
    rng: random.Random

    async def send(self, record: Record, sending: Sending, grant: Grant) -> Sent:
        """Make the write and say what it means; gives the permits back, the unused ones uncounted."""
        progress = _Progress(record=record)
        try:
            await self._write(progress, sending, grant)
        except _TooLate:
            log.warning("delivery.permit_ran_out", buildr_call_id=sending.buildr_call_id)
            late = replace(progress.record or record, state=DeliveryState.WAITING, reason="its permit had run out, and it asks for another")
            return Sent(record=late, due_at=self.clock())
        except BuildrError as err:
            return await self._failed(progress.record or record, err)
        finally:
            await self.permits.release(grant, sent=progress.requests)
        return Sent(record=self._delivered(progress.record or record, sending))

    async def _write(self, progress: _Progress, sending: Sending, grant: Grant) -> None:
        started_at = self.clock()
        self._check_time(grant)
        progress.requests += 1
        answer = await self.client.update_call(sending.buildr_call_id, {"call": dict(sending.fields)})
        self._note_written(progress, sending, dict(sending.fields))
        log.info(
            "buildr.patched",
            buildr_call_id=sending.buildr_call_id,
            outcome=sending.outcome,
            fields=sorted(sending.fields),
            status_code=200,
            duration_ms=int((self.clock() - started_at).total_seconds() * 1000),
        )
        if sending.note_block is None or progress.record is None or self.notes_mode == "never":
            return
        text = merge_note(answer.notes, sending.note_block, progress.record.note_block, self.notes_mode)
        if not answer.has_notes:
            # Without the text that is there, writing could destroy what a person wrote.
            log.warning("note.left_alone", reason="Buildr's answer does not show the notes", buildr_call_id=sending.buildr_call_id)
        elif text is not None:
            self._check_time(grant)
            progress.requests += 1
            await self.client.update_call(sending.buildr_call_id, {"call": {"notes": text}})
            log.info("buildr.patched", buildr_call_id=sending.buildr_call_id, fields=["notes"], status_code=200)
        progress.record = replace(progress.record, note_block=sending.note_block)

    def _check_time(self, grant: Grant) -> None:
        """Raises `_TooLate` if a request could be under way when its permit no longer counts, as after a pause of the whole machine."""
        if time.monotonic() + self.request_timeout_s > grant.valid_until:
            raise _TooLate

    def _note_written(self, progress: _Progress, sending: Sending, fields: dict[str, str]) -> None:
        if progress.record is not None:
            progress.record = replace(
                progress.record,
                written={**progress.record.written, **fields},
                written_to=sending.buildr_call_id,
                written_at=self.clock(),
            )

    def _delivered(self, record: Record, sending: Sending) -> Record:
        done = replace(
            record,
            state=DeliveryState.DELIVERED,
            reason=f"Buildr holds {sending.outcome}",
            attempts=0,
            unauthorized=0,
            first_failed_at=None,
            retry_at=None,
            unsettled_since=None,
        )
        fields = ", ".join(sorted(sending.fields))
        return done.with_step(self.clock(), "patched", f"call {sending.buildr_call_id}: {sending.outcome} ({fields})")

    async def _failed(self, record: Record, err: BuildrError) -> Sent:
        now = self.clock()
        answer = Answer(at=now, cause=err.cause, status_code=err.status_code, text=(err.answer or str(err))[:ANSWER_LENGTH])
        record = replace(record, answers=(*record.answers, answer)[-ANSWERS_KEPT:])
        if isinstance(err, BuildrRateLimited):
            blocked_s = await self.permits.block(err.retry_after_s)
            log.info("buildr.rate_limited", retry_in_s=round(blocked_s, 3), bucket=err.bucket)
            record = replace(record, state=DeliveryState.WAITING, reason="Buildr asked everybody to wait (429)")
            due_at = now + timedelta(seconds=blocked_s)
            return Sent(record=record.with_step(now, "rate limited", f"wait {blocked_s:.1f} s"), due_at=due_at)
        record = replace(record, first_failed_at=record.first_failed_at or now)
        wait_s = self._wait_s(err, record)
        record = replace(
            record,
            attempts=record.attempts + (0 if isinstance(err, BuildrUnauthorized) else 1),
            unauthorized=record.unauthorized + (1 if isinstance(err, BuildrUnauthorized) else 0),
        )
        if not err.retryable:
            return self._give_up(record, err, f"Buildr refused it: {err}")
        if record.attempts >= self.limits.max_attempts:
            return self._give_up(record, err, f"given up after {record.attempts} attempts: {err}")
        if now - (record.first_failed_at or now) >= self.limits.max_age:
            return self._give_up(record, err, f"given up after {self.limits.max_age}: {err}")
        due_at = now + timedelta(seconds=wait_s)
        record = replace(record, state=DeliveryState.RETRYING, reason=str(err), retry_at=due_at)
        level = log.error if isinstance(err, BuildrUnauthorized) and record.unauthorized > 1 else log.warning
        level("job.retry_scheduled", reason=err.cause, status_code=err.status_code, attempt=record.attempts, retry_in_s=round(wait_s, 3))
        return Sent(
            record=record.with_step(now, "will retry", f"{err} (attempt {record.attempts}, again in {wait_s:.0f} s)"), due_at=due_at
        )

    def _wait_s(self, err: BuildrError, record: Record) -> float:
        if isinstance(err, BuildrUnauthorized):
            # A new token cannot mend a 403, so that there is no hurry to try one.
            is_hopeless = err.status_code == HTTPStatus.FORBIDDEN
            return unauthorized_retry_in_s(record.unauthorized + (2 if is_hopeless else 1), rng=self.rng)
        return retry_in_s(record.attempts + 1, rng=self.rng)

    def _give_up(self, record: Record, err: BuildrError, reason: str) -> Sent:
        now = self.clock()
        log.error("job.failed", reason=err.cause, status_code=err.status_code, attempt=record.attempts)
        failed = replace(record, state=DeliveryState.FAILED, reason=reason)
        return Sent(record=failed.with_step(now, "failed", reason), failed_cause=err.cause)
