"""
The fold: all events of one call make one `Call`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.events import AnsweredBy, CallEvent, Direction, HangupCause, Party, Recording, Result, Voicemail


class Stage(StrEnum):
    """How far a call or a leg has come."""

    UNKNOWN = "unknown"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One leg of a call, folded from the events that name it."""

    leg_id: str
    parent_leg_id: str | None = None
    party: Party | None = None
    direction: Direction | None = None
    from_number: str | None = None
    to_number: str | None = None
    stage: Stage = Stage.UNKNOWN
    started_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    duration_s: int | None = None
    answered_by: AnsweredBy | None = None
    hangup_cause: HangupCause | None = None
    word: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    What is known of one telephone call.

    `result` is None until a final event has come, and stays None where only an unknown word was seen. `duration_s` is in seconds, from
    answer to hang-up on the customer's leg: 0 if it was never answered, None if unknown or not over. `buildr_call_ids` are all that the
    messages named; `buildr_call_id` is set only if they agree on one. `unknown_words` are the source's words that no table knows.
    """

    source: str
    source_call_id: str
    buildr_call_id: str | None
    buildr_call_ids: tuple[str, ...]
    result: Result | None
    is_final: bool
    stage: Stage
    direction: Direction | None
    from_number: str | None
    to_number: str | None
    answered_by: AnsweredBy | None
    duration_s: int | None
    started_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    recording: Recording | None
    voicemail: Voicemail | None
    agent: str | None
    disposition: str | None
    tags: tuple[str, ...]
    note: str | None
    unknown_words: tuple[str, ...]
    legs: tuple[Leg, ...]


def fold(events: Iterable[CallEvent]) -> Call:
    """Fold the events of one call; raises ValueError if there is none or if they belong to different calls."""
    raise NotImplementedError


def as_dict(call: Call) -> dict[str, object]:
    """A call as plain JSON values."""
    raise NotImplementedError
