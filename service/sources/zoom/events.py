"""
What the messages of Zoom Phone say, as events.

A message is about one of our people's telephones. What it says of the call as a whole goes to the
leg of the call's way (the customer's), what it says of a telephone that rang for an inbound call to
a leg below that.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from service.events import (
    CallEvent,
    EventType,
    HangupCause,
    Recording,
    Voicemail,
)
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common.fields import (
    Fields,
    child,
    flag,
    iso_moment,
    text,
    whole_seconds,
)
from service.sources.zoom.call_endings import (
    LIVE_UNANSWERED,
    Ending,
    Times,
    read_ending,
    read_times,
)
from service.sources.zoom.parties import live_ends, recorded_ends
from service.sources.zoom.vocabulary import (
    ASIDES,
    BEGINNINGS,
    CONNECT_TYPES,
    DIRECTIONS,
    EXTERNAL,
    PASSES_ON,
    REASONS,
    RESULTS,
    STEPS,
    EndpointKind,
    LiveEventSpec,
    NonHangupOutcome,
    Outcome,
    RecordSpec,
    Side,
    read_phrase,
)


def live_events(common: CallEvent, live: LiveEventSpec, told: Fields) -> list[CallEvent]:
    """What a message says that comes while the call goes on."""
    ends, times, phrase = (
        live_ends(live.side, told),
        read_times(told, common.occurred_at),
        text(told, "handup_result"),
    )
    line = ends.call_leg(common)
    telephone, outcome = ends.agent_leg(line), read_phrase(phrase)
    words = [*ends.strange, *([phrase] if phrase is not None and outcome is None else [])]
    strange = [unknown_event(line, word) for word in words]
    rang = replace(line, event_type=EventType.RINGING, occurred_at=times.started_at)
    if live.event_type is EventType.RINGING:
        rings = (
            []
            if telephone is None
            else [replace(telephone, event_type=EventType.RINGING, occurred_at=times.started_at)]
        )
        return [rang, *rings, *strange]
    if live.event_type is EventType.ANSWERED:
        at = times.answered_at or common.occurred_at
        answers = (
            [replace(telephone or line, event_type=EventType.ANSWERED, occurred_at=at)]
            if ends.is_person
            else []
        )
        return [rang, *answers, *strange]
    is_talk = times.answered_at is not None
    if live.cause is not None and outcome in {None, HangupCause.COMPLETED}:
        outcome, is_talk = live.cause, False
    talk_s, is_person = times.talk_s, ends.is_person
    ending = (
        read_ending(
            outcome, live.side, is_talk=is_talk, is_person=is_person, talk_s=talk_s, is_record=False
        )
        or Ending()
    )
    # From one telephone that was not picked up nothing follows for the call: others may ring, or be
    # talking already. A parked one goes on.
    is_talked_out = (
        ending.own_cause is HangupCause.COMPLETED and outcome is not NonHangupOutcome.UNSAID
    )
    may_end_call = live.side is Side.CALLER or is_talked_out
    said = replace(
        line, vendor_status=common.vendor_status if phrase is None else phrase[:MAX_WORD_LENGTH]
    )
    return [rang, *_end_events(said, telephone, ending, times, may_end_call=may_end_call), *strange]


def record_events(common: CallEvent, kind: RecordSpec, record: Fields) -> list[CallEvent]:
    """What one record says that was written after the call, or after a part of it."""
    step, code, recorded = (
        text(record, "event") if kind.has_steps else None,
        text(record, "client_code"),
        text(record, "recording_id"),
    )
    ends = recorded_ends(
        kind.side,
        record,
        is_external=text(record, "connect_type") == EXTERNAL,
        is_routed=step is not None and step not in BEGINNINGS,
        is_passed_on=step in PASSES_ON,
    )
    line, times = ends.call_leg(common), read_times(record, common.occurred_at)
    strange = [unknown_event(line, word) for word in (*ends.strange, *_strange_words(record, step))]
    said = (
        text(
            record,
            *(("result_reason",) if kind.side is Side.CALLEE else ()),
            "result",
            "call_result",
        )
        or common.vendor_status
    )
    told = replace(
        line,
        vendor_status=said and said[:MAX_WORD_LENGTH],
        tags=() if code is None else (code,),
        recording=None if recorded is None else Recording(recorded),
    )
    talk_s = whole_seconds(record, "talk_time" if kind.has_steps else "duration")
    # Where the first version counts the seconds from is not told.
    is_talk = (
        bool(talk_s) if kind.has_steps and talk_s is not None else times.answered_at is not None
    )
    outcome = _outcome(record, kind.side)
    ending = read_ending(
        outcome if step is None or step in BEGINNINGS | STEPS else NonHangupOutcome.STEP,
        kind.side,
        is_talk=is_talk and not ends.is_exchange,
        is_person=ends.is_person,
        talk_s=times.talk_s if talk_s is None else talk_s,
        is_record=True,
    )
    if ending is None:
        return [replace(told, occurred_at=times.ended_at), *strange]
    if ends.is_person and outcome is not NonHangupOutcome.ELSEWHERE:
        told = replace(told, agent=ends.own.name)
    began = replace(line, event_type=EventType.RINGING, occurred_at=times.started_at)
    is_left = kind.side is Side.CALLEE and (
        text(record, "voicemail_id") is not None or flag(record, "has_voicemail") is True
    )
    is_message = is_left and ending.cause is not HangupCause.COMPLETED
    message = (
        [
            replace(
                line,
                event_type=EventType.VOICEMAIL,
                occurred_at=times.ended_at,
                voicemail=Voicemail(),
            )
        ]
        if is_message
        else []
    )
    return [
        began,
        *message,
        *_end_events(told, ends.agent_leg(line), ending, times, may_end_call=True),
        *strange,
    ]


def voicemail_events(common: CallEvent, told: Fields) -> list[CallEvent]:
    """A message that a caller left, or what it says; the call is over by then."""
    line = replace(
        recorded_ends(Side.CALLEE, told).call_leg(common),
        occurred_at=_moment(told, "date_time") or common.occurred_at,
    )
    message = Voicemail(
        text(told, "download_url"),
        whole_seconds(told, "duration"),
        text(child(told, "transcription"), "content"),
    )
    return [
        replace(line, event_type=EventType.VOICEMAIL, voicemail=message),
        replace(
            line,
            event_type=EventType.ENDED,
            hangup_cause=HangupCause.NO_ANSWER,
            sequence=LIVE_UNANSWERED,
        ),
    ]


def recording_events(common: CallEvent, told: Fields) -> list[CallEvent]:
    """A recording of a call."""
    direction = text(told, "direction")
    is_outbound = direction == "outbound"
    if direction not in DIRECTIONS:
        is_outbound = recorded_ends(Side.CALLEE, told).caller.kind is EndpointKind.PERSON
    line = recorded_ends(Side.CALLER if is_outbound else Side.CALLEE, told).call_leg(common)
    made = Recording(text(told, "id"), text(told, "download_url"), whole_seconds(told, "duration"))
    at = _moment(told, "end_time", "date_time") or common.occurred_at
    strange = (
        [] if direction is None or direction in DIRECTIONS else [unknown_event(line, direction)]
    )
    return [replace(line, event_type=EventType.RECORDING, occurred_at=at, recording=made), *strange]


def _outcome(record: Fields, side: Side) -> Outcome | None:
    """How a record says that it ended; a word that no table knows ends nothing."""
    result = text(record, "result", "call_result")
    # The caller's own record says what became of the call, whoever took it.
    if side is Side.CALLEE and text(record, "result_reason") in REASONS:
        return NonHangupOutcome.ELSEWHERE
    return (
        None
        if result is None
        else RESULTS.get(result) or read_phrase(result) or NonHangupOutcome.STEP
    )


def _strange_words(record: Fields, step: str | None) -> Iterator[str]:
    """The words of a record that no table knows."""
    if step is not None and step not in BEGINNINGS | STEPS | ASIDES:
        yield step
    result = text(record, "result", "call_result")
    if result is not None and result not in RESULTS and read_phrase(result) is None:
        yield result
    for name, known in (
        ("result_reason", REASONS),
        ("direction", DIRECTIONS),
        ("connect_type", CONNECT_TYPES),
    ):
        word = text(record, name)
        if word is not None and word not in known:
            yield word


def _end_events(
    line: CallEvent,
    telephone: CallEvent | None,
    ending: Ending,
    times: Times,
    *,
    may_end_call: bool,
) -> Iterator[CallEvent]:
    """
    The end of one telephone, if it is told apart, and of the call as a whole, if it may be that.
    """
    if ending.own_cause is HangupCause.COMPLETED and times.answered_at is not None:
        yield replace(
            telephone or line,
            event_type=EventType.ANSWERED,
            occurred_at=times.answered_at,
            vendor_status=line.vendor_status,
        )
    ends = [] if telephone is None else [(telephone, ending.own_cause, telephone.answered_by)]
    if may_end_call:
        ends.append((line, ending.cause, ending.answered_by))
    for each, cause, answered_by in ends:
        yield replace(
            each,
            event_type=EventType.ENDED,
            occurred_at=times.ended_at,
            vendor_status=line.vendor_status,
            hangup_cause=cause,
            answered_by=answered_by,
            sequence=ending.sequence,
            duration_s=ending.duration_s,
        )


def _moment(fields: Fields, *names: str) -> datetime | None:
    return iso_moment(text(fields, *names))
