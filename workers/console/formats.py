"""
How values are shown in the console: times, ages, counts and numbers.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from service.logs.phone_masking import mask_numbers
from service.store.delivery_state import DeliveryState

MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400
NOTHING: Final = "\N{EN DASH}"
SEE_COMMAND: Final = re.compile(r"[;,] see: buildr-calls [a-z ]+")
# What a state looks like: fine, at work, for an operator, or at rest.
TONES: Final[Mapping[str, str]] = {
    DeliveryState.DELIVERED: "fine",
    DeliveryState.SETTLING: "busy",
    DeliveryState.WAITING: "busy",
    DeliveryState.RETRYING: "warn",
    DeliveryState.OPEN: "busy",
    DeliveryState.UNMATCHED: "warn",
    DeliveryState.STALLED: "warn",
    DeliveryState.FAILED: "bad",
    DeliveryState.LEFT_ALONE: "rest",
    DeliveryState.HAND_EDITED: "rest",
}


def span(seconds: float | None) -> str:
    """A span of time in its largest unit, like `4 min`; a dash for None."""
    if seconds is None:
        return NOTHING
    whole_s = max(0, int(seconds))
    for unit_s, unit in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if whole_s >= 2 * unit_s:
            return f"{whole_s // unit_s} {unit}"
    return f"{whole_s} s"


def ago(at: datetime | None) -> str:
    """How long ago a moment was, or how far it is ahead: `4 min ago`, `in 58 s`."""
    if at is None:
        return NOTHING
    age_s = (datetime.now(UTC) - at).total_seconds()
    if age_s < 0:
        return f"in {span(-age_s)}"
    return f"{span(age_s)} ago"


def utc(at: datetime | None) -> str:
    """A moment to the second, in UTC."""
    if at is None:
        return NOTHING
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def clock(at: datetime | None) -> str:
    """The time of day of a moment, in UTC."""
    if at is None:
        return NOTHING
    return f"{at.astimezone(UTC):%H:%M:%S}"


def count(number: int) -> str:
    """A number with its thousands apart."""
    return f"{number:,}"


def words(name: object) -> str:
    """A stored name in words: `left_voicemail` as `left voicemail`."""
    if name is None:
        return NOTHING
    return str(name).replace("_", " ")


def without_commands(text: str) -> str:
    """A reason without its sentences that name a command: a page has a button for that."""
    sentences = SEE_COMMAND.sub("", text).split(". ")
    return ". ".join(sentence for sentence in sentences if "buildr-calls " not in sentence)


def tone(state: object) -> str:
    """How a state is coloured."""
    return TONES.get(str(state), "rest")


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "span": span,
    "ago": ago,
    "utc": utc,
    "clock": clock,
    "count": count,
    "words": words,
    "tone": tone,
    "mask": mask_numbers,
    "without_commands": without_commands,
}
