"""
What each of JustCall's webhooks says of a call, as events.
"""

from datetime import datetime

from msgspec.structs import replace

from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
    Result,
    Voicemail,
)
from service.sources.base import unknown_event
from service.sources.common.fields import Fields, child, children, text, texts, whole_seconds
from service.sources.common.leg_events import earlier_events, end_time, from_and_to
from service.sources.common.phone_numbers import bare_to_e164
from service.sources.justcall.payload import echoed_buildr_call_id, source_call_id, started_at
from service.sources.justcall.vocabulary import (
    BLOCKED,
    DIRECTIONS,
    EVENTS,
    FORWARD,
    MACHINE,
    MACHINE_ANSWERED,
    OUTCOMES,
    TRANSFER,
    VOICEMAIL,
    EventSpec,
    outcome_name,
)


def read_events(
    fields: Fields, message_id: str, *, occurred_at: datetime | None
) -> list[CallEvent]:
    """
    The events of a webhook; what in it is not understood becomes events of type `UNKNOWN` at the
    end.

    `occurred_at` is the time of JustCall's event (UTC). Raises `MalformedPayload` without an id of
    the call.
    """
    data = child(fields, "data")
    name = text(fields, "type") or ""
    spec = EVENTS.get(name)
    stated_direction = text(child(data, "call_info"), "direction")
    direction = DIRECTIONS.get((stated_direction or "").lower())
    call_direction = direction
    if direction is None and spec is not None:
        call_direction = spec.direction
    buildr_call_id, id_fault = echoed_buildr_call_id(fields)
    event = _common(
        fields,
        message_id,
        occurred_at=occurred_at,
        direction=call_direction,
        buildr_call_id=buildr_call_id,
    )
    faults = [_event_fault(spec, event, data)]
    if direction is None:
        faults.append(stated_direction)
    faults.append(id_fault)
    return [
        *_known_events(spec, event, data),
        *(unknown_event(event, fault) for fault in faults if fault is not None),
    ]


def _common(
    fields: Fields,
    message_id: str,
    *,
    occurred_at: datetime | None,
    direction: Direction | None,
    buildr_call_id: str | None,
) -> CallEvent:
    """What every event of a webhook holds."""
    data = child(fields, "data")
    info = child(data, "call_info")
    call_id = source_call_id(fields)
    traits = texts(info, "call_traits")
    from_number, to_number = from_and_to(
        direction,
        customer=bare_to_e164(text(data, "contact_number")),
        ours=bare_to_e164(text(data, "justcall_number", "sales_dialer_number")),
    )
    return CallEvent(
        source="justcall",
        message_id=message_id,
        source_call_id=call_id,
        leg_id=call_id,
        event_type=EventType.UPDATED,
        occurred_at=occurred_at,
        direction=direction,
        # An event is about the call as a whole: it is answered once a person, or JustCall's voice
        # agent, has taken it.
        party=Party.CUSTOMER,
        from_number=from_number,
        to_number=to_number,
        agent=text(data, "agent_email", "agent_name", "agent_id"),
        disposition=text(info, "disposition"),
        tags=_tags(data),
        note=text(info, "notes"),
        is_transferred=_has_trait(traits, TRANSFER),
        is_forwarded=_has_trait(traits, FORWARD),
        buildr_call_id=buildr_call_id,
        vendor_status=text(fields, "type") or "",
    )


def _has_trait(traits: tuple[str, ...], trait: str) -> bool | None:
    # A trait that is not named says nothing: an event in the middle of a call may name none.
    return True if trait in traits else None


def _tags(data: Fields) -> tuple[str, ...]:
    names = (text(tag, "name") for tag in children(data, "tags"))
    return (*texts(data, "tags"), *(name for name in names if name is not None))


def _known_events(spec: EventSpec | None, event: CallEvent, data: Fields) -> list[CallEvent]:
    if spec is None:
        return []
    if spec.event_type is EventType.ENDED:
        return _end_events(spec, event, data)
    return [_progress_event(spec, event, data)]


def _event_fault(spec: EventSpec | None, event: CallEvent, data: Fields) -> str | None:
    """What of the event, or of an end, no table lists, or what an end lacks; None if nothing is."""
    if spec is None:
        return event.vendor_status
    if spec.event_type is not EventType.ENDED:
        return None
    stated_outcome = text(child(data, "call_info"), "type")
    if stated_outcome is not None and outcome_name(stated_outcome) not in OUTCOMES:
        return stated_outcome
    outcome = _outcome(spec, data)
    if outcome is None:
        return f"{event.vendor_status} without call_info.type"
    if not _is_decided(outcome, event.direction):
        return f"{event.vendor_status} without a known call_info.direction"
    return None


def _outcome(spec: EventSpec, data: Fields) -> str | None:
    """How the call ended, a key of `OUTCOMES`; None if neither `type` nor the event's name say."""
    stated_outcome = outcome_name(text(child(data, "call_info"), "type"))
    if stated_outcome in OUTCOMES:
        return stated_outcome
    return spec.outcome


def _is_decided(outcome: str, direction: Direction | None) -> bool:
    # A call that was not answered may be missed by us or by the customer.
    return direction is not None or OUTCOMES[outcome] is HangupCause.COMPLETED


def _progress_event(spec: EventSpec, event: CallEvent, data: Fields) -> CallEvent:
    occurred_at = event.occurred_at
    if spec.event_type in {EventType.CREATED, EventType.RINGING}:
        occurred_at = started_at(data) or occurred_at
    return replace(
        event, event_type=spec.event_type, occurred_at=occurred_at, recording=_recording(data)
    )


def _end_events(spec: EventSpec, event: CallEvent, data: Fields) -> list[CallEvent]:
    """
    The start and the end of a call, and the message if the caller left one; empty where the
    webhook does not decide how it ended.
    """
    outcome = _outcome(spec, data)
    if outcome is None or not _is_decided(outcome, event.direction):
        return []
    start = started_at(data)
    started = earlier_events(
        replace(event, disposition=None, tags=(), note=None),
        [(event.vendor_status, EventType.CREATED, start)],
    )
    total_s = _total_s(data)
    ended = replace(
        event,
        event_type=EventType.ENDED,
        occurred_at=end_time(start, total_s) or event.occurred_at,
        hangup_cause=OUTCOMES[outcome],
        duration_s=0,
        # A caller in a menu has waited, too, which JustCall counts as neither of the two.
        wait_s=_queue_and_ring_s(data) or None,
    )
    if event.direction is Direction.INBOUND and VOICEMAIL in {outcome, spec.outcome}:
        voicemail = Voicemail(text(child(data, "call_info"), "recording"))
        return [
            *started,
            replace(event, event_type=EventType.VOICEMAIL, voicemail=voicemail),
            replace(ended, hangup_cause=HangupCause.NO_ANSWER),
        ]
    if outcome == BLOCKED and event.direction is Direction.INBOUND:
        # A caller who was turned away is not one whom nobody took.
        ended = replace(ended, result=Result.REJECTED)
    if _is_answered_by_machine(outcome, data):
        ended = replace(ended, hangup_cause=HangupCause.COMPLETED, answered_by=AnsweredBy.MACHINE)
    if ended.hangup_cause is HangupCause.COMPLETED:
        ended = replace(ended, duration_s=_talk_s(data))
    if ended.hangup_cause is HangupCause.COMPLETED and event.direction is None:
        # Whether a person was reached does not depend on who called.
        ended = replace(ended, result=Result.CONNECTED)
    return [*started, replace(ended, recording=_recording(data))]


def _is_answered_by_machine(outcome: str, data: Fields) -> bool:
    if outcome in {VOICEMAIL, MACHINE_ANSWERED}:
        return True
    answered_by = text(child(data, "call_info"), "call_answered_by") or ""
    return OUTCOMES[outcome] is HangupCause.COMPLETED and answered_by.lower().startswith(MACHINE)


def _total_s(data: Fields) -> int | None:
    """The seconds from the start of a call to its end."""
    total_s = whole_seconds(child(data, "call_duration"), "total_duration")
    if total_s is not None:
        return total_s
    return whole_seconds(child(data, "call_info"), "duration")


def _talk_s(data: Fields) -> int | None:
    """The stated talk time, else the whole time without what is stated of the waiting."""
    talk_s = whole_seconds(child(data, "call_duration"), "conversation_time")
    total_s = _total_s(data)
    if talk_s is not None or total_s is None:
        return talk_s
    return max(0, total_s - _queue_and_ring_s(data))


def _queue_and_ring_s(data: Fields) -> int:
    """How long a caller waited in a queue, and a telephone rang: of an outbound call theirs."""
    durations = child(data, "call_duration")
    times_s = [whole_seconds(durations, name) for name in ("queue_wait_time", "ring_time")]
    return sum(time_s for time_s in times_s if time_s is not None)


def _recording(data: Fields) -> Recording | None:
    info = child(data, "call_info")
    url = text(info, "recording")
    # Of a call that went to voicemail it is the caller's message.
    if url is None or outcome_name(text(info, "type")) == VOICEMAIL:
        return None
    return Recording(None, url)
