"""
What a failed request to Buildr means for its call: wait, send it again later, or give up.
"""

import random
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

import structlog
from msgspec import Struct

from service.errors import (
    BuildrError,
    BuildrNotTaken,
    BuildrRateLimited,
    BuildrUnauthorized,
    FailureCause,
)
from service.logs.events import LogEvent
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import Answer
from service.store.rate_limit.grants import RateLimitState
from workers.delivery.feedback import UNKNOWN_CALLS_TEXT, UNKNOWN_STATUSES, is_unknown_call

# Short: most failures are one lost connection or one bad answer. A real outage does not go by these
# times, since the breaker opens after three failures in a row.
FIRST_RETRY_S: Final = 1.0
# A quarter of an hour: a call whose cause has been corrected in Buildr is delivered soon after.
MAX_RETRY_S: Final = 900.0
# Far above what reaches `MAX_RETRY_S`. It only keeps the power of two a small number, since the
# number of attempts is a setting without an upper limit.
MAX_DOUBLINGS: Final = 20
# A call is not given up on for its age alone before it was tried so often.
MIN_ATTEMPTS: Final = 10
# How often a write is sent that Buildr answers with 200 and does not take: over some six minutes.
# Longer would help nobody, since Buildr has answered.
MAX_NOT_TAKEN: Final = 6
# How often a call is sent that Buildr does not know while no other call tells whether it knows any:
# over some five seconds. At most `MAX_ANSWERS` of the record.
MAX_UNKNOWN: Final = 4
# Kept with the call in Redis, five of them at most: enough for an operator to see the cause, and no
# place for a whole error page.
ANSWER_LENGTH: Final = 2000

log = structlog.get_logger(__name__)


class GiveUpPolicy(Struct, frozen=True, kw_only=True):
    """After how many failures in a row, or how long after the first one, a call is given up on."""

    max_attempts: int
    max_age: timedelta


class Sent(Struct, frozen=True, kw_only=True):
    """
    What became of a write.

    `due_at` is when the call is to be run next (UTC), None for never. `failed_cause` is set if the
    call is given up on.
    """

    record: DeliveryRecord
    due_at: datetime | None = None
    failed_cause: FailureCause | None = None


class FailurePolicy(Struct, frozen=True, kw_only=True):
    """Decides about failed requests; `rng` spreads the retries of calls that failed together."""

    limits: GiveUpPolicy
    rng: random.Random

    def after(
        self, err: BuildrError, record: DeliveryRecord, limit: RateLimitState, now: datetime
    ) -> Sent:
        """
        What becomes of a call after an error.

        `limit` is the state of the account's rate limit and breaker with this error counted.
        """
        # Also where no attempt is counted: `explain` shows an operator what Buildr has answered
        # last.
        record = record.with_answer(_answer(err, now))
        # No `due_at`: the call goes back to its lane, and the pump wakes it once the block is over.
        # Its state `waiting` lets the commit see that it must be in a lane, and run it at once to
        # join one.
        if isinstance(err, BuildrRateLimited):
            return Sent(record=record.to_rate_limited(now, wait_s=limit.blocked_s))
        if isinstance(err, BuildrNotTaken):
            return self._retry_not_taken(err, record, now)
        # Asked before the breaker: an answer that is final for this call stays final during an
        # outage.
        if is_unknown_call(err):
            return self._after_unknown_call(err, record, limit, now)
        if not err.retryable:
            return _give_up_refused(record, err, now)
        # The failure opened the breaker or came while it was open, so that it is about Buildr and
        # not about this call. Counted against the call, an outage of an hour would use up its
        # attempts.
        if limit.is_open:
            return Sent(record=record.to_waiting_for_buildr(now, error=str(err)))
        return self._retry(err, record, now)

    def _after_unknown_call(
        self, err: BuildrError, record: DeliveryRecord, limit: RateLimitState, now: datetime
    ) -> Sent:
        """
        A 404 or the like: the call is given up once Buildr has accepted another one since, or when
        it stays the only one.

        Until then the address or the account may be wrong, which would give up every call.
        """
        if limit.is_open:
            return Sent(record=record.to_waiting_for_buildr(now, error=UNKNOWN_CALLS_TEXT))
        times_unknown = sum(
            answer.cause == err.cause and answer.status_code in UNKNOWN_STATUSES
            for answer in record.answers
        )
        is_known_otherwise = times_unknown > 1 and not limit.was_unknown
        is_alone = times_unknown >= MAX_UNKNOWN and limit.unknown_calls <= 1
        if is_known_otherwise or is_alone:
            return _give_up_refused(record, err, now)
        return self._retry(err, record, now)

    def _retry(self, err: BuildrError, record: DeliveryRecord, now: datetime) -> Sent:
        # A token that is refused for the first time may only have expired: the call is sent again
        # at once with another one. A second refusal opens the breaker, and does not come here.
        is_unauthorized = isinstance(err, BuildrUnauthorized)
        wait_s = 0.0
        if not is_unauthorized:
            wait_s = retry_in_s(record.attempts + 1, rng=self.rng)
        record = record.with_failure(now, is_unauthorized=is_unauthorized)
        # With a refused token `attempts` does not grow: 401 and 403 never give a call up, see
        # docs/delivery.md. Only an operator can end them, and then every call must still be there.
        if record.attempts >= self.limits.max_attempts:
            reason = f"given up after {record.attempts} attempts: {err}"
            return _give_up(record, err, reason, now)
        if self._is_too_old(record, now):
            reason = f"given up after {self.limits.max_age}: {err}"
            return _give_up(record, err, reason, now)
        return _retry_later(err, record, now, attempt=record.attempts, wait_s=wait_s)

    def _retry_not_taken(self, err: BuildrError, record: DeliveryRecord, now: datetime) -> Sent:
        record = record.with_not_taken(now)
        if record.not_taken >= min(MAX_NOT_TAKEN, self.limits.max_attempts):
            return _give_up(record, err, f"given up after {record.not_taken} writes: {err}", now)
        # Two doublings each: 1, 4, 16 ... seconds.
        wait_s = retry_in_s(2 * record.not_taken - 1, rng=self.rng)
        return _retry_later(err, record, now, attempt=record.not_taken, wait_s=wait_s)

    def _is_too_old(self, record: DeliveryRecord, now: datetime) -> bool:
        # After a long pause without workers the first failure may be hours old while nothing was
        # tried.
        if record.attempts < MIN_ATTEMPTS or record.first_failed_at is None:
            return False
        return now - record.first_failed_at >= self.limits.max_age


def retry_in_s(attempts: int, *, rng: random.Random) -> float:
    """
    Seconds to wait after the n-th failure in a row: 1, 2, 4 ... 900, each shortened at random by up
    to half.
    """
    doublings = min(attempts - 1, MAX_DOUBLINGS)
    longest_s = min(MAX_RETRY_S, FIRST_RETRY_S * 2.0**doublings)
    # At random, since calls that failed together would otherwise be sent together again, which is
    # the load that Buildr has just failed under. Never less than half: the wait must still grow.
    return longest_s * (0.5 + 0.5 * rng.random())


def is_first_refusal(err: BuildrError, record: DeliveryRecord) -> bool:
    """
    Whether a call's token was refused for the first time (401), which is no sign of an outage yet.

    A 403 is about what the token may do, and a new token changes nothing about that.
    """
    is_expired_token = (
        isinstance(err, BuildrUnauthorized) and err.status_code != HTTPStatus.FORBIDDEN
    )
    return is_expired_token and not record.unauthorized


def _retry_later(
    err: BuildrError, record: DeliveryRecord, now: datetime, *, attempt: int, wait_s: float
) -> Sent:
    log.warning(
        LogEvent.JOB_RETRY_SCHEDULED,
        reason=err.cause,
        status_code=err.status_code,
        attempt=attempt,
        retry_in_s=round(wait_s, 3),
    )
    retry_at = now + timedelta(seconds=wait_s)
    retrying = record.to_retrying(now, error=str(err), retry_at=retry_at)
    return Sent(record=retrying, due_at=retry_at)


def _give_up_refused(record: DeliveryRecord, err: BuildrError, now: datetime) -> Sent:
    # The attempt that was refused counts, too: a failed call has at least one.
    record = record.with_failure(now, is_unauthorized=False)
    return _give_up(record, err, f"Buildr refused it: {err}", now)


def _give_up(record: DeliveryRecord, err: BuildrError, reason: str, now: datetime) -> Sent:
    log.error(
        LogEvent.JOB_FAILED,
        reason=err.cause,
        status_code=err.status_code,
        attempt=record.attempts + record.not_taken,
    )
    return Sent(record=record.to_given_up(now, reason), failed_cause=err.cause)


def _answer(err: BuildrError, at: datetime) -> Answer:
    # `err.answer` has no secrets any more: `HttpAnswer.text` has removed those that were sent.
    text = (err.answer or str(err))[:ANSWER_LENGTH]
    return Answer(at=at, cause=err.cause, status_code=err.status_code, text=text)
