"""
What asking for permits and giving them back returns, and what a request showed of Buildr.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

# The cause of an outage in which Buildr knows none of the calls.
UNKNOWN_CALLS: Final = "unknown_calls"


class GrantStatus(StrEnum):
    """What became of asking for permits."""

    GRANTED = "granted"
    WAITS = "waits"
    BUSY = "busy"


class HealthSignal(StrEnum):
    """
    What a request showed of Buildr: `fine` it works, whatever it thinks of the request; `limited`
    429; `down` no answer, 5xx, no way in.

    `unknown` a 404 or the like, by which the address or the account may be wrong; `unsure` a token
    that has just been refused, which may only have run out. `nothing` where it shows nothing, or
    was not sent.
    """

    FINE = "fine"
    LIMITED = "limited"
    DOWN = "down"
    UNKNOWN = "unknown"
    UNSURE = "unsure"
    NOTHING = ""


class Grant(Struct, frozen=True):
    """
    Permits, one per request; `wait_s` is when asking again may help, in seconds, where none were
    given, and `is_away` tells that everybody waits for Buildr to be back.

    The first request may go at `starts_at` and all must be over at `valid_until` (both on the clock
    of `Permits.timer`): after that others may count on them not to come.
    """

    ref: str
    verdict: GrantStatus
    permits: tuple[str, ...] = ()
    wait_s: float = 0
    starts_at: float = 0
    valid_until: float = 0
    is_away: bool = False


class PumpResult(Struct, frozen=True):
    """What one turn of the pump did; `next_in_s` is None when nobody waits."""

    released: int
    waiting: int
    next_in_s: float | None


class RateLimitState(Struct, frozen=True, kw_only=True):
    """
    The account's rate limit and breaker after a request.

    `blocked_s` seconds are all requests forbidden; `is_open` tells that the breaker is open,
    `has_opened` that this request has opened it, `outage_s` how long the outage was that it ended,
    if any. `allowance` is how many requests of the shortest budget are ours. `was_unknown` tells
    that Buildr did not know this call before, and that none has got through since; `unknown_calls`
    counts all such calls where this request was about one.
    """

    blocked_s: float
    is_open: bool
    has_opened: bool
    outage_s: float | None
    allowance: int
    was_unknown: bool = False
    unknown_calls: int = 0
