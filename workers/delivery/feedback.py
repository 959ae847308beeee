"""
What a request to Buildr tells about Buildr itself, for the breaker and the limiter, and the lines
in the log about both.
"""

import structlog

from service.errors import BuildrError, BuildrRateLimited, BuildrUnauthorized
from service.store.rate_limit.grants import Grant, HealthSignal, RateLimitState
from service.store.rate_limit.permits import Permits

log = structlog.get_logger(__name__)


def health_signal_of(err: BuildrError) -> HealthSignal:
    """
    What an error tells of Buildr.

    A refusal of one request is a sign of life. A token that is refused keeps everybody out, as an
    outage does.
    """
    if isinstance(err, BuildrRateLimited):
        return HealthSignal.LIMITED
    if not err.retryable and err.status_code is None:
        # Refused on this side, before anything was sent.
        return HealthSignal.NOTHING
    return HealthSignal.DOWN if err.retryable else HealthSignal.FINE


async def release_permits(
    permits: Permits,
    grant: Grant,
    *,
    sent: int,
    heard: HealthSignal,
    err: BuildrError | None = None,
) -> RateLimitState:
    """Give permits back with what was heard, and log what that has changed."""
    limited = err if isinstance(err, BuildrRateLimited) else None
    standing = await permits.release(
        grant,
        sent=sent,
        heard=heard,
        wait_s=None if limited is None else limited.retry_after_s,
        cause="" if err is None else err.cause,
        bucket=None if limited is None else limited.bucket,
    )
    _report(standing, err)
    return standing


def _report(standing: RateLimitState, err: BuildrError | None) -> None:
    """
    Log what has changed: a 429, an outage that begins or ends. Refused credentials are a person's
    to mend, hence an error.
    """
    if isinstance(err, BuildrRateLimited):
        log.info(
            "buildr.rate_limited",
            retry_in_s=round(standing.blocked_s, 3),
            bucket=err.bucket,
            allowance=standing.allowance,
        )
    if standing.has_opened and err is not None:
        level = log.error if isinstance(err, BuildrUnauthorized) else log.warning
        level("buildr.outage_began", reason=err.cause, status_code=err.status_code, error=str(err))
    if standing.outage_s is not None:
        log.info("buildr.outage_ended", outage_s=round(standing.outage_s, 1))
