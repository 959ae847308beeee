"""
How far a call is on its way to Buildr: the states that jobs, commands and scripts share.
"""

from enum import StrEnum


class DeliveryState(StrEnum):
    """
    The state of one call's delivery.

    `open` no final event yet; `settling` final, waiting a short time for later messages;
    `unmatched` no Buildr call known; `waiting` for the rate limit; `retrying` after an error;
    `delivered` Buildr holds it; `left_alone` its result is mapped to nothing; `failed` given up on;
    `stalled` its final event never came; `hand_edited` the outcome was changed by hand in Buildr,
    and is not overwritten.
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
