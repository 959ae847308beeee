"""
The states of a call's delivery, and the values that its record holds besides.
"""

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct, field

from service.events import UtcDatetime
from service.store.rate_limit.lanes import Lane


class DeliveryState(StrEnum):
    """
    How far a call is on its way to Buildr; the values are stored, and read by `commit.lua`.

    - `open`: no final event yet.
    - `settling`: final; waits a moment for further messages.
    - `unmatched`: no Buildr call is known.
    - `waiting`: in a lane, until the rate limit allows the request.
    - `retrying`: waits after an error, or for the account's outcomes to be read.
    - `delivered`: Buildr holds the outcome.
    - `left_alone`: the result is mapped to no outcome.
    - `failed`: given up on, kept for replay.
    - `stalled`: the final event never came.
    - `hand_edited`: somebody has changed the outcome in Buildr, which is left as it is.
    """

    OPEN = "open"
    SETTLING = "settling"
    UNMATCHED = "unmatched"
    WAITING = "waiting"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    LEFT_ALONE = "left_alone"
    FAILED = "failed"
    STALLED = "stalled"
    HAND_EDITED = "hand_edited"


# A call stays in these states until it is replayed, or matched to another Buildr call.
PARKED_STATES: Final = frozenset({DeliveryState.FAILED, DeliveryState.HAND_EDITED})


class HistoryEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a call's history; `at` is UTC."""

    at: UtcDatetime
    # "what" is the name under which stored records and `--json` hold it.
    summary: str = field(name="what")
    detail: str = ""


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Buildr's response to a request that failed; `status_code` is None if none came."""

    at: UtcDatetime
    cause: str
    status_code: int | None = None
    text: str | None = None


class ReplayRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    An operator's request to replay a call, in the lane `replay` or `backfill`.

    Buildr's call is read first and left as it is if its outcome was changed there, unless
    `is_forced`.
    """

    lane: Lane
    at: UtcDatetime
    is_forced: bool = False


_REPLAY_REQUEST: Final = msgspec.json.Decoder(ReplayRequest)


def replay_request_to_json(request: ReplayRequest) -> str:
    """The stored form of a replay request."""
    return msgspec.json.encode(request).decode()


def replay_request_from_json(text: str) -> ReplayRequest:
    """The inverse of `replay_request_to_json`. Raises ValueError."""
    return _REPLAY_REQUEST.decode(text)
