"""
The events of Telnyx Call Control, also called Voice API: one JSON object for each thing that
happened to one leg.

Events and fields: https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks.
Legs that belong together share `call_session_id`. Only `call.initiated` holds the direction, and no
event how long the leg was talked on.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from service.errors import IgnoredEvent, MalformedPayload
from service.events import CallEvent, EventType, Recording, Voicemail
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common.fields import EMPTY, Fields, child, iso_moment, text
from service.sources.common.ids import MAX_ECHO, call_id, echoed_id
from service.sources.common.json_body import read_json_object
from service.sources.common.leg_events import (
    earlier_events,
    hung_up_by,
    recording_event,
    seconds_between,
    unrecognised,
)
from service.sources.common.signatures import digest, read_base64
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.telnyx.addresses import to_address, to_agent
from service.sources.telnyx.hangup_causes import CAUSES, read_cause
from service.sources.telnyx.vocabulary import (
    DETECTION_RESULTS,
    DIRECTIONS,
    EVENTS,
    HANGUP,
    HANGUP_SIDES,
    IGNORED,
    IGNORED_FAMILIES,
    MEMBER_EVENTS,
    PARTIES,
    PARTY,
    RECORD,
    TRANSCRIBED,
    VOICEMAIL,
)


def keys(request: WebhookRequest) -> MessageKeys:
    """
    Name the event by its id, which is the same on every try and at every URL; without one, as
    offline, by its body.
    """
    data = request.body_as(read_event)
    event_id = text(data, "id")
    name = ("body", request.body) if event_id is None else ("id", event_id)
    return MessageKeys(digest(*name), _source_call_id(data))


def parse(request: WebhookRequest, message_id: str) -> list[CallEvent]:
    """
    Turn an event into ours; what else in it is not understood becomes events of type `UNKNOWN`
    beside it.

    Raises `IgnoredEvent` and `MalformedPayload`.
    """
    data = request.body_as(read_event)
    payload = child(data, "payload")
    event_name = text(data, "event_type") or ""
    event_type = EVENTS.get(event_name)
    client_state = text(payload, "client_state")
    if event_type in MEMBER_EVENTS:
        client_state = None
    buildr_call_id, id_fault = echoed_id(client_state)
    common = CallEvent(
        source="telnyx",
        message_id=message_id,
        source_call_id=_source_call_id(data),
        leg_id=call_id(text(payload, "call_leg_id", "call_control_id"), name="call_leg_id"),
        event_type=EventType.UPDATED,
        occurred_at=iso_moment(text(data, "occurred_at")),
        direction=DIRECTIONS.get(text(payload, "direction") or ""),
        party=PARTIES.get(text(_read_state(client_state), PARTY) or ""),
        from_number=to_address(text(payload, "from")),
        to_number=to_address(text(payload, "to")),
        agent=to_agent(text(payload, "from")) or to_agent(text(payload, "to")),
        buildr_call_id=buildr_call_id,
        vendor_status=event_name[:MAX_WORD_LENGTH],
    )
    if event_type is None:
        events = [unknown_event(common, event_name)]
    else:
        events = READERS[event_type](replace(common, event_type=event_type), payload)
    if id_fault is not None:
        events.append(unknown_event(common, id_fault))
    return events


def read_event(body: bytes) -> Fields:
    """
    The event in a body, a `payload.CallControlEvent`.

    Raises `MalformedPayload` if there is none, `IgnoredEvent` for a kind that is not wanted.
    """
    message = read_json_object(body)
    data = child(message, "data")
    if data is EMPTY and "event_type" in message:
        raise MalformedPayload(
            "an event of Telnyx's webhook API version 1: "
            "set the application's webhook API version to 2"
        )
    event_name = text(data, "event_type")
    if event_name is None:
        raise MalformedPayload(
            "data.event_type is not there: no event of Telnyx's webhook API version 2"
        )
    if event_name not in EVENTS and _is_ignored(event_name):
        raise IgnoredEvent("an event that says nothing about how a call ends")
    if event_name == TRANSCRIBED and not _is_voicemail(child(data, "payload")):
        raise IgnoredEvent("the transcript of a recording that is no voicemail")
    return data


def _is_ignored(event_name: str) -> bool:
    return event_name in IGNORED or event_name.startswith(IGNORED_FAMILIES)


def _source_call_id(data: Fields) -> str:
    return call_id(
        text(child(data, "payload"), "call_session_id"), name="data.payload.call_session_id"
    )


def _read_state(encoded: str | None) -> Fields:
    """What `client_state` holds if it is a JSON object of ours; empty for anybody else's."""
    if encoded is None:
        return EMPTY
    raw = read_base64(encoded[:MAX_ECHO])
    try:
        return read_json_object(raw or b"{}")
    except MalformedPayload:
        return EMPTY


def _is_voicemail(payload: Fields) -> bool:
    return text(_read_state(text(payload, "client_state")), RECORD) == VOICEMAIL


def _plain_events(event: CallEvent, payload: Fields) -> list[CallEvent]:
    directions = unrecognised([(text(payload, "direction"), DIRECTIONS)])
    return [event, *(unknown_event(event, direction) for direction in directions)]


def _queue_events(event: CallEvent, payload: Fields) -> list[CallEvent]:
    return [replace(event, queue=text(payload, "queue"))]


def _member_events(event: CallEvent, payload: Fields) -> list[CallEvent]:
    return [replace(event, conference_id=text(payload, "conference_id"))]


def _detection_events(event: CallEvent, payload: Fields) -> list[CallEvent]:
    result = text(payload, "result")
    if result is None:
        return [event]
    if result not in DETECTION_RESULTS:
        return [unknown_event(event, result)]
    return [replace(event, answered_by=DETECTION_RESULTS[result])]


def _hangup_events(event: CallEvent, payload: Fields) -> list[CallEvent]:
    hangup_cause = text(payload, "hangup_cause")
    ended = replace(
        event,
        hangup_cause=read_cause(hangup_cause, text(payload, "sip_hangup_cause")),
        vendor_status=(hangup_cause or HANGUP)[:MAX_WORD_LENGTH],
        hung_up_by=hung_up_by(event, HANGUP_SIDES.get(text(payload, "hangup_source") or "")),
    )
    # When dialling began, not when somebody answered. Where `call.initiated` is still to come, it
    # puts the leg in its place among the others.
    started = earlier_events(
        event, [("start_time", EventType.CREATED, iso_moment(text(payload, "start_time")))]
    )
    # The leg is gone for whatever cause; one that no table lists takes nothing away from that.
    causes = unrecognised([(hangup_cause, CAUSES)])
    return [*started, ended, *(unknown_event(event, cause) for cause in causes)]


def _recording_events(event: CallEvent, payload: Fields) -> list[CallEvent]:
    recording = Recording(
        text(payload, "recording_id"),
        _recording_url(payload),
        seconds_between(
            iso_moment(text(payload, "recording_started_at")),
            iso_moment(text(payload, "recording_ended_at")),
        ),
    )
    return [recording_event(event, recording, is_voicemail=_is_voicemail(payload))]


def _recording_url(payload: Fields) -> str | None:
    # The public URL, which an account has only on request, lasts; the other one is good for ten
    # minutes.
    public_url = text(child(payload, "public_recording_urls"), "mp3", "wav")
    return public_url or text(child(payload, "recording_urls"), "mp3", "wav")


def _transcript_events(event: CallEvent, payload: Fields) -> list[CallEvent]:
    return [replace(event, voicemail=Voicemail(transcript=text(payload, "transcription_text")))]


READERS: Final[Mapping[EventType, Callable[[CallEvent, Fields], list[CallEvent]]]] = {
    EventType.CREATED: _plain_events,
    EventType.ANSWERED: _plain_events,
    EventType.BRIDGED: _plain_events,
    EventType.ENDED: _hangup_events,
    EventType.ANSWERED_BY: _detection_events,
    EventType.RECORDING: _recording_events,
    EventType.VOICEMAIL: _transcript_events,
    EventType.UPDATED: _queue_events,
    EventType.JOINED: _member_events,
    EventType.LEFT: _member_events,
}
