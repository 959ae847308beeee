"""
What a request to Buildr shows about Buildr itself: for the breaker, the rate limit and the log.
"""

import structlog

from service.errors import BuildrError, BuildrRateLimited, BuildrUnauthorized
from service.logs.events import LogEvent
from service.store.rate_limit.grants import Grant, HealthSignal, RateLimitState
from service.store.rate_limit.permits import Permits

log = structlog.get_logger(__name__)


def health_signal_of(err: BuildrError) -> HealthSignal:
    """
    What an error shows of Buildr.

    A refusal of one request shows that Buildr works. A refused token stops every request, as an
    outage does.
    """
    if isinstance(err, BuildrRateLimited):
        return HealthSignal.LIMITED
    # 401 and 403 are among them: with a refused token every call fails, as in an outage.
    if err.retryable:
        return HealthSignal.DOWN
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
        log_outage = log.warning
        if isinstance(err, BuildrUnauthorized):
            # Only an operator can correct the credentials.
            log_outage = log.error
        log_outage(
            LogEvent.BUILDR_OUTAGE_BEGAN,
            reason=err.cause,
            status_code=err.status_code,
            error=str(err),
        )
    # Likewise: only the release that has closed the breaker gets a duration.
    if state.outage_s is not None:
        log.info(LogEvent.BUILDR_OUTAGE_ENDED, outage_s=round(state.outage_s, 1))
