"""
From a record that Zoom Phone writes after a call, or after a step of it, to its events.

A record is about the telephone of one of our users; legs are as in `live`.
"""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Recording,
    Result,
    Voicemail,
)
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common.fields import Fields, flag, text, whole_seconds
from service.sources.common.leg_events import unrecognised
from service.sources.zoom.call_endings import Ending, Times, end_events, read_ending, read_times
from service.sources.zoom.endpoints import Endpoints
from service.sources.zoom.parties import recorded_endpoints
from service.sources.zoom.vocabulary import (
    ALL_STEPS,
    BEGINNINGS,
    CONNECT_TYPES,
    DIRECTIONS,
    ENDING_STEPS,
    EXTERNAL,
    FORWARD,
    PASSES_ON,
    REASONS,
    SYSTEM_BLOCKED,
    TRANSFERS,
    NonHangupOutcome,
    Outcome,
    RecordSpec,
    Side,
    read_result,
)

ELSEWHERE: Final = NonHangupOutcome.ELSEWHERE
RESULT_FIELDS: Final = ("result", "call_result")


def record_events(common: CallEvent, spec: RecordSpec, record: Fields) -> list[CallEvent]:
    """
    Beginning, voicemail and end of the call as far as the record shows them, and one event of type
    `UNKNOWN` for each value that no table knows.
    """
    step = _step(spec, record)
    endpoints = recorded_endpoints(
        spec.side,
        record,
        is_external=text(record, "connect_type") == EXTERNAL,
        is_routed=step is not None and step not in BEGINNINGS,
        is_passed_on=step in PASSES_ON,
    )
    call_leg = endpoints.call_leg(common)
    times = read_times(record, common.occurred_at)
    unknown_values = [*endpoints.unrecognised, *_unrecognised_values(record, step)]
    unknown_events = [unknown_event(call_leg, value) for value in unknown_values]
    outcome = _outcome(record, spec.side, step=step)
    ending = _record_ending(spec, record, outcome, endpoints=endpoints, times=times)
    event = _with_route(_with_details(call_leg, spec, record), step)
    if ending is None:
        return [replace(event, occurred_at=_step_time(endpoints, times)), *unknown_events]
    agent_leg = endpoints.agent_leg(call_leg)
    if outcome is not ELSEWHERE:
        event = replace(
            event,
            agent=_agent(endpoints, agent_leg),
            wait_s=_wait_s(record, event.direction, step),
            result=_stated_result(record, event.direction, step),
        )
    return [
        replace(call_leg, event_type=EventType.RINGING, occurred_at=times.started_at),
        *_voicemail_events(call_leg, spec, record, ending=ending, times=times),
        *end_events(event, agent_leg, ending, times, may_end_call=True),
        *unknown_events,
    ]


def _agent(endpoints: Endpoints, agent_leg: CallEvent | None) -> str | None:
    """
    The user whose call it is; None where that is on a leg of the telephone, as below an inbound
    call, and where the call was passed on to somebody outside.
    """
    if agent_leg is not None or endpoints.is_passed_on or not endpoints.is_person:
        return None
    return endpoints.ours.name


def _wait_s(record: Fields, direction: Direction | None, step: str | None) -> int | None:
    """How long the caller waited, in seconds, which only the record of the incoming call states."""
    if direction is not Direction.INBOUND or step not in BEGINNINGS:
        return None
    return whole_seconds(record, "wait_time")


def _stated_result(record: Fields, direction: Direction | None, step: str | None) -> Result | None:
    """That a caller was turned away, which is not the same as one whom nobody took; else None."""
    if direction is not Direction.INBOUND or step not in BEGINNINGS:
        return None
    if text(record, *RESULT_FIELDS) != SYSTEM_BLOCKED:
        return None
    return Result.REJECTED


def _with_route(event: CallEvent, step: str | None) -> CallEvent:
    """The leg with how the call came to the telephone of the record."""
    if step in TRANSFERS:
        event = replace(event, is_transferred=True)
    if step == FORWARD:
        event = replace(event, is_forwarded=True)
    return event


def _step_time(endpoints: Endpoints, times: Times) -> datetime | None:
    """When a step that ended nothing is placed: at its beginning, where the exchange made it."""
    if endpoints.is_exchange and times.started_at is not None:
        return times.started_at
    return times.ended_at


def _step(spec: RecordSpec, record: Fields) -> str | None:
    """What the record is of; None for the first version, which has one record for a whole call."""
    if not spec.has_steps:
        return None
    return text(record, "event")


def _outcome(record: Fields, side: Side, *, step: str | None) -> Outcome | None:
    """How the record's part ended; a result that no table knows ends nothing."""
    if step is not None and step not in ENDING_STEPS:
        return NonHangupOutcome.STEP
    # The caller's own record says what became of the call, whoever took it.
    if side is Side.CALLEE and text(record, "result_reason") in REASONS:
        return ELSEWHERE
    result = text(record, *RESULT_FIELDS)
    if result is None:
        return None
    return read_result(result) or NonHangupOutcome.STEP


def _record_ending(
    spec: RecordSpec,
    record: Fields,
    outcome: Outcome | None,
    *,
    endpoints: Endpoints,
    times: Times,
) -> Ending | None:
    has_talk = times.answered_at is not None
    if spec.has_steps:
        talk_s = whole_seconds(record, "talk_time")
        if talk_s is not None:
            has_talk = talk_s > 0
    else:
        # When this duration begins is not documented, so that it does not say whether there was
        # talk.
        talk_s = whole_seconds(record, "duration")
    if talk_s is None:
        talk_s = times.talk_s
    return read_ending(
        outcome,
        spec.side,
        has_talk=has_talk and not endpoints.is_exchange,
        is_person=endpoints.is_person,
        talk_s=talk_s,
        is_record=True,
    )


def _with_details(call_leg: CallEvent, spec: RecordSpec, record: Fields) -> CallEvent:
    """The leg with the record's result, the code that a user entered, and the recording."""
    status_fields: tuple[str, ...] = RESULT_FIELDS
    if spec.side is Side.CALLEE:
        status_fields = ("result_reason", *RESULT_FIELDS)
    vendor_status = text(record, *status_fields) or call_leg.vendor_status or ""
    client_code = text(record, "client_code")
    tags: tuple[str, ...] = ()
    if client_code is not None:
        tags = (client_code,)
    recording_id = text(record, "recording_id")
    recording = None
    if recording_id is not None:
        recording = Recording(recording_id)
    return replace(
        call_leg, vendor_status=vendor_status[:MAX_WORD_LENGTH], tags=tags, recording=recording
    )


def _voicemail_events(
    call_leg: CallEvent, spec: RecordSpec, record: Fields, *, ending: Ending, times: Times
) -> list[CallEvent]:
    """That the caller left a voicemail, unless somebody took the call."""
    has_voicemail = (
        text(record, "voicemail_id") is not None or flag(record, "has_voicemail") is True
    )
    is_taken = ending.cause is HangupCause.COMPLETED
    if spec.side is not Side.CALLEE or not has_voicemail or is_taken:
        return []
    return [
        replace(
            call_leg,
            event_type=EventType.VOICEMAIL,
            occurred_at=times.ended_at,
            voicemail=Voicemail(),
        )
    ]


def _unrecognised_values(record: Fields, step: str | None) -> list[str]:
    """The values of a record that no table knows."""
    values = unrecognised([(step, ALL_STEPS)])
    result = text(record, *RESULT_FIELDS)
    if result is not None and read_result(result) is None:
        values.append(result)
    return values + unrecognised(
        (
            (text(record, "result_reason"), REASONS),
            (text(record, "direction"), DIRECTIONS),
            (text(record, "connect_type"), CONNECT_TYPES),
        )
    )
