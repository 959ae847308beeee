"""
What a request to Buildr shows about Buildr itself: for the breaker, the rate limit and the log.
"""

from http import HTTPStatus
from typing import Final

import structlog

from service.errors import (
    BuildrError,
    BuildrNotTaken,
    BuildrRateLimited,
    BuildrRejected,
    BuildrUnauthorized,
)
from service.logs.events import LogEvent
from service.store.rate_limit.grants import (
    UNKNOWN_CALLS,
    Grant,
    HealthSignal,
    RateLimitState,
)
from service.store.rate_limit.permits import Permits

# A wrong address answers every request so, and so may Buildr one that is about an unknown call.
UNKNOWN_STATUSES: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
)
UNKNOWN_CALLS_TEXT: Final = (
    "every call is unknown to Buildr: check BUILDR_API_URL, and that the credentials are those of "
    "the right Buildr account"
)

log = structlog.get_logger(__name__)


def is_unknown_call(err: BuildrError) -> bool:
    """Whether Buildr refuses a request in a way that may be about the address or the account."""
    return isinstance(err, BuildrRejected) and err.status_code in UNKNOWN_STATUSES


def health_signal_of(err: BuildrError) -> HealthSignal:
    """
    What an error shows of Buildr.

    A refusal of one request shows that Buildr works. A refused token stops every request, as an
    outage does.
    """
    if isinstance(err, BuildrRateLimited):
        return HealthSignal.LIMITED
    # It answers, whatever it makes of the write.
    if isinstance(err, BuildrNotTaken):
        return HealthSignal.FINE
    # 401 and 403 are among them: with a refused token every call fails, as in an outage.
    if err.retryable:
        return HealthSignal.DOWN
    if is_unknown_call(err):
        return HealthSignal.UNKNOWN
    # An id that is none, for example. It must not close a breaker that is open.
    if err.status_code is None:
        # Refused on this side, before anything was sent.
        return HealthSignal.NOTHING
    return HealthSignal.FINE


async def release_permits(
    permits: Permits,
    grant: Grant,
    *,
    sent: int,
    signal: HealthSignal,
    err: BuildrError | None = None,
) -> RateLimitState:
    """
    Give permits back after `sent` requests, with what the last one has shown.

    Returns the state of the account's rate limit and breaker, and logs what has changed about it.
    """
    if err is None:
        state = await permits.release(grant, sent=sent, signal=signal)
    elif isinstance(err, BuildrRateLimited):
        state = await permits.release(
            grant,
            sent=sent,
            signal=signal,
            cause=err.cause,
            wait_s=err.retry_after_s,
            bucket=err.bucket,
        )
    else:
        state = await permits.release(grant, sent=sent, signal=signal, cause=err.cause)
    _log_changes(state, err)
    return state


def _log_changes(state: RateLimitState, err: BuildrError | None) -> None:
    if isinstance(err, BuildrRateLimited):
        log.info(
            LogEvent.BUILDR_RATE_LIMITED,
            retry_in_s=round(state.blocked_s, 3),
            bucket=err.bucket,
            allowance=state.allowance,
        )
    # The script reports the opening to one caller only, so that the fleet logs an outage once.
    if state.has_opened and err is not None:
        reason: str = err.cause
        error = str(err)
        log_outage = log.warning
        if isinstance(err, BuildrUnauthorized):
            # Only an operator can correct the credentials, or the address.
            log_outage = log.error
        if is_unknown_call(err):
            log_outage = log.error
            reason = UNKNOWN_CALLS
            error = f"{UNKNOWN_CALLS_TEXT} ({err})"
        log_outage(
            LogEvent.BUILDR_OUTAGE_BEGAN, reason=reason, status_code=err.status_code, error=error
        )
    # Likewise: only the release that has closed the breaker gets a duration.
    if state.outage_s is not None:
        log.info(LogEvent.BUILDR_OUTAGE_ENDED, outage_s=round(state.outage_s, 1))
