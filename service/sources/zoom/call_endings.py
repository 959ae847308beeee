"""
How an end of a Zoom Phone call counts, for one of its legs and for the call as a whole.

One call has many ends: each telephone that rang reports its own, live and again in a record
afterwards, in any order. All ends of the call as a whole are put on one leg, where `sequence` says
which of them counts: talk before anything else, the longest talk of several, what a record says
before what a live message did.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from service.events import AnsweredBy, CallEvent, EventType, HangupCause
from service.sources.common.fields import MOST_SECONDS, Fields, iso_moment, text
from service.sources.common.leg_events import seconds_between
from service.sources.zoom.vocabulary import NonHangupOutcome, Outcome, Side

# Zoom numbers neither its messages nor their order, so that `sequence` is made up here: of the ends
# of one leg, the one with the greatest counts.
LIVE_UNANSWERED: Final = 0
RECORDED_UNANSWERED: Final = 1
# A colleague took the call; the colleague's own record says when, and for how long.
TAKEN_ELSEWHERE: Final = 2
# The seconds of talk are added to these. A live talk of any length stays below a recorded one.
LIVE_TALK: Final = 10
RECORDED_TALK: Final = LIVE_TALK + MOST_SECONDS
# Outcomes with which the times say whether anybody talked: a caller may end a call before it is
# answered, or after.
OPEN: Final = frozenset({None, NonHangupOutcome.UNSTATED, HangupCause.CANCELLED})
# The fields of a live message, then of a record or a voicemail.
START_FIELDS: Final = ("ringing_start_time", "start_time", "date_time")
ANSWER_FIELDS: Final = ("answer_start_time", "connected_start_time", "answer_time")
END_FIELDS: Final = ("call_end_time", "end_time")


class Times(Struct, frozen=True, kw_only=True):
    """When a call, or one telephone's part in it, began, was answered and ended (UTC)."""

    started_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None

    @property
    def talk_s(self) -> int | None:
        """The seconds from answer to end."""
        return seconds_between(self.answered_at, self.ended_at)


class Ending(Struct, frozen=True, kw_only=True):
    """
    How a call ended, according to one message.

    `cause` is that of the call as a whole, `agent_cause` that of the telephone that the message is
    about. `duration_s` is the talk time in seconds. `is_answered_elsewhere` where that telephone
    stopped ringing because a colleague took the call.
    """

    cause: HangupCause | None = None
    agent_cause: HangupCause | None = None
    sequence: int = LIVE_UNANSWERED
    duration_s: int | None = None
    answered_by: AnsweredBy | None = None
    is_answered_elsewhere: bool | None = None


ENDED_ELSEWHERE: Final = Ending(
    cause=HangupCause.COMPLETED,
    agent_cause=HangupCause.CANCELLED,
    sequence=TAKEN_ELSEWHERE,
    is_answered_elsewhere=True,
)


def read_times(data: Fields, sent_at: datetime | None) -> Times:
    """
    The times in a live message or a record; without an end it is when the message was sent.
    """
    return Times(
        started_at=iso_moment(text(data, *START_FIELDS)),
        answered_at=iso_moment(text(data, *ANSWER_FIELDS)),
        ended_at=iso_moment(text(data, *END_FIELDS)) or sent_at,
    )


def read_ending(
    outcome: Outcome | None,
    side: Side,
    *,
    has_talk: bool,
    is_person: bool,
    talk_s: int | None,
    is_record: bool,
) -> Ending | None:
    """
    The ending that an outcome makes, or None if it ends nothing.

    `has_talk` says whether the message shows talk beside its outcome, `is_person` whether a person
    can have picked up: if it was the exchange, that is no answer.
    """
    if outcome is NonHangupOutcome.ELSEWHERE:
        return ENDED_ELSEWHERE
    if _is_talk(outcome, side, has_talk=has_talk):
        if not is_person:
            return None
        return _talk_ending(outcome, talk_s, is_record=is_record)
    cause = _unanswered_cause(outcome, is_record=is_record)
    if cause is None:
        return None
    sequence = LIVE_UNANSWERED
    if is_record:
        sequence = RECORDED_UNANSWERED
    return Ending(cause=cause, agent_cause=cause, sequence=sequence)


def end_events(
    call_leg: CallEvent,
    agent_leg: CallEvent | None,
    ending: Ending,
    times: Times,
    *,
    may_end_call: bool,
) -> Iterator[CallEvent]:
    """
    The answer if there was talk, the end of one telephone if it has a leg of its own, and the end
    of the call as a whole if the message may be about that.

    All have the `vendor_status` of `call_leg`. A telephone with a leg of its own shows the talk
    there, and with what the record states of its length; the end of the call then shows no more
    than that the call is over.
    """
    vendor_status = call_leg.vendor_status
    if ending.agent_cause is HangupCause.COMPLETED and times.answered_at is not None:
        yield replace(
            agent_leg or call_leg,
            event_type=EventType.ANSWERED,
            occurred_at=times.answered_at,
            vendor_status=vendor_status,
        )
    if agent_leg is not None:
        yield replace(
            agent_leg,
            event_type=EventType.ENDED,
            occurred_at=times.ended_at,
            vendor_status=vendor_status,
            hangup_cause=ending.agent_cause,
            sequence=ending.sequence,
            duration_s=ending.duration_s,
            is_answered_elsewhere=ending.is_answered_elsewhere,
        )
    if not may_end_call:
        return
    cause = ending.cause
    duration_s = ending.duration_s
    if agent_leg is not None and ending.agent_cause is HangupCause.COMPLETED:
        cause = HangupCause.HUNG_UP
        duration_s = None
    yield replace(
        call_leg,
        event_type=EventType.ENDED,
        occurred_at=times.ended_at,
        hangup_cause=cause,
        answered_by=ending.answered_by,
        sequence=ending.sequence,
        duration_s=duration_s,
    )


def _is_talk(outcome: Outcome | None, side: Side, *, has_talk: bool) -> bool:
    if outcome is NonHangupOutcome.VOICEMAIL:
        # Of a call that we made it is the customer's box, of one that we got our own.
        return side is Side.CALLER
    return outcome is HangupCause.COMPLETED or (has_talk and outcome in OPEN)


def _talk_ending(outcome: Outcome | None, talk_s: int | None, *, is_record: bool) -> Ending:
    sequence = LIVE_TALK
    if is_record:
        sequence = RECORDED_TALK
    ending = Ending(
        cause=HangupCause.COMPLETED,
        agent_cause=HangupCause.COMPLETED,
        sequence=sequence + (talk_s or 0),
        duration_s=talk_s,
    )
    if outcome is NonHangupOutcome.VOICEMAIL:
        return replace(ending, answered_by=AnsweredBy.MACHINE)
    return ending


def _unanswered_cause(outcome: Outcome | None, *, is_record: bool) -> HangupCause | None:
    if outcome is NonHangupOutcome.VOICEMAIL:
        return HangupCause.NO_ANSWER
    if not isinstance(outcome, HangupCause):
        return None
    # A live answer has a message of its own, and need not be repeated where somebody hangs up.
    if outcome is HangupCause.CANCELLED and not is_record:
        return HangupCause.HUNG_UP
    return outcome
