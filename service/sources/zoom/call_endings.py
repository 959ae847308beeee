"""
How an end of a Zoom Phone call counts, for one of its legs and for the call as a whole.

One call has many ends: each telephone that rang tells its own, live and again in a record
afterwards, in any order. All ends of the call as a whole are put on one leg, where `sequence` says
which of them counts: talk before anything else, the longest talk of several, what a record says
before what a live message did.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.events import AnsweredBy, HangupCause
from service.sources.common.fields import (
    MOST_SECONDS,
    Fields,
    iso_moment,
    text,
)
from service.sources.zoom.vocabulary import NonHangupOutcome, Outcome, Side

LIVE_UNANSWERED: Final = 0
RECORDED_UNANSWERED: Final = 1
# That a colleague took it; the colleague's own record says when, and for how long.
TAKEN_ELSEWHERE: Final = 2
# The seconds of talk are added to these.
LIVE_TALK: Final = 10
RECORDED_TALK: Final = LIVE_TALK + MOST_SECONDS
# What leaves it to the rest of the message whether anybody talked: a caller may end a call before
# it is answered, or after.
OPEN: Final = frozenset({None, NonHangupOutcome.UNSAID, HangupCause.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When a call, or one telephone's part in it, began, was answered and ended."""

    started_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None

    @property
    def talk_s(self) -> int | None:
        """The seconds from answer to end."""
        if self.answered_at is None or self.ended_at is None:
            return None
        return max(0, round((self.ended_at - self.answered_at).total_seconds()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """
    How a call ended, as one message says; `own_cause` is that of the telephone that the message is
    about.
    """

    cause: HangupCause | None = None
    own_cause: HangupCause | None = None
    sequence: int = LIVE_UNANSWERED
    duration_s: int | None = None
    answered_by: AnsweredBy | None = None


def read_times(told: Fields, otherwise: datetime | None) -> Times:
    """
    The times in a live message or a record; an end without one is taken to be when the message was
    made.
    """

    def read(*names: str) -> datetime | None:
        return iso_moment(text(told, *names))

    return Times(
        started_at=read("ringing_start_time", "start_time", "date_time"),
        answered_at=read("answer_start_time", "connected_start_time", "answer_time"),
        ended_at=read("call_end_time", "end_time") or otherwise,
    )


def read_ending(
    outcome: Outcome | None,
    side: Side,
    *,
    is_talk: bool,
    is_person: bool,
    talk_s: int | None,
    is_record: bool,
) -> Ending | None:
    """
    What an outcome comes to, or None if it ends nothing.

    `is_talk` says whether the message tells of talk beside its outcome, `is_person` whether a
    person can have picked up: if it was the exchange, that is no answer.
    """
    unanswered = RECORDED_UNANSWERED if is_record else LIVE_UNANSWERED
    if outcome is NonHangupOutcome.ELSEWHERE:
        return Ending(
            cause=HangupCause.COMPLETED, own_cause=HangupCause.CANCELLED, sequence=TAKEN_ELSEWHERE
        )
    if outcome is NonHangupOutcome.VOICEMAIL and side is Side.CALLEE:
        return Ending(
            cause=HangupCause.NO_ANSWER, own_cause=HangupCause.NO_ANSWER, sequence=unanswered
        )
    if outcome in {HangupCause.COMPLETED, NonHangupOutcome.VOICEMAIL} or (
        outcome in OPEN and is_talk
    ):
        talk = Ending(
            cause=HangupCause.COMPLETED,
            own_cause=HangupCause.COMPLETED,
            sequence=(RECORDED_TALK if is_record else LIVE_TALK) + (talk_s or 0),
            duration_s=talk_s,
            # Only a call that we made gets this far with a voicemail box: it is the customer's.
            answered_by=AnsweredBy.MACHINE if outcome is NonHangupOutcome.VOICEMAIL else None,
        )
        return talk if is_person else None
    if not isinstance(outcome, HangupCause):
        return None
    # That it was answered is told live by a message of its own, and need not be repeated where
    # somebody hangs up.
    cause = HangupCause.HUNG_UP if outcome is HangupCause.CANCELLED and not is_record else outcome
    return Ending(cause=cause, own_cause=cause, sequence=unanswered)
