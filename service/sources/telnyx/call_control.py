"""
The events of Telnyx Call Control, also called Voice API: one JSON object for each thing that
happened to one leg.

Events and fields: https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks.
Legs that belong together share `call_session_id`. Only `call.initiated` tells the direction, and no
event how long the leg was talked on.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from service.errors import IgnoredEvent, MalformedPayload
from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    Party,
    Recording,
    Voicemail,
)
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common.fields import (
    EMPTY,
    Fields,
    child,
    iso_moment,
    text,
)
from service.sources.common.ids import MAX_ECHO, call_id, echoed_id
from service.sources.common.json_body import read_json_object
from service.sources.common.phone_numbers import to_e164
from service.sources.common.signatures import digest, read_base64
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.telnyx.hangup_causes import CAUSES, read_cause

SIP: Final = "sip:"
# One for each region: https://sipdev.telnyx.com/
SIP_HOSTS: Final = (
    "sip.telnyx.com",
    "sip.telnyx.eu",
    "sip.telnyx.com.au",
    "sip.telnyx.ca",
    "sip.telnyx.asia",
)
HANGUP: Final = "call.hangup"
SAVED: Final = "call.recording.saved"
TRANSCRIBED: Final = "call.recording.transcription.saved"

EVENTS: Final[Mapping[str, EventType]] = {
    "call.initiated": EventType.CREATED,
    "call.answered": EventType.ANSWERED,
    "call.bridged": EventType.BRIDGED,
    HANGUP: EventType.ENDED,
    "call.machine.detection.ended": EventType.ANSWERED_BY,
    "call.machine.greeting.ended": EventType.ANSWERED_BY,
    "call.machine.premium.detection.ended": EventType.ANSWERED_BY,
    "call.machine.premium.greeting.ended": EventType.ANSWERED_BY,
    "call.machine.premium.call_screening.detected": EventType.ANSWERED_BY,
    SAVED: EventType.RECORDING,
    TRANSCRIBED: EventType.VOICEMAIL,
}
# What was played, said, typed, streamed, charged: nothing of it says how the call ended.
IGNORED: Final = frozenset(
    {
        "call.analyzed",
        "call.cost",
        "call.dequeued",
        "call.enqueued",
        "call.hold",
        "call.machine.premium.detection.started",
        "call.recording.error",
        "call.transcription",
        "call.unhold",
    }
)
IGNORED_FAMILIES: Final = (
    "call.ai_gather.",
    "call.conversation.",
    "call.conversation_insights.",
    "call.deepfake_detection.",
    "call.dtmf.",
    "call.fork.",
    "call.gather.",
    "call.payment.",
    "call.playback.",
    "call.refer.",
    "call.speak.",
    "conference.",
    "fax.",
    "message.",
    "siprec.",
    "streaming.",
)
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "incoming": Direction.INBOUND,
    "outgoing": Direction.OUTBOUND,
}
# https://developers.telnyx.com/docs/voice/programmable-voice/answering-machine-detection
# A beep is a machine's; how a greeting ended otherwise proves nothing more, and detection itself has told before who it was.
RESULTS: Final[Mapping[str, AnsweredBy | None]] = {
    "human": AnsweredBy.HUMAN,
    "human_residence": AnsweredBy.HUMAN,
    "human_business": AnsweredBy.HUMAN,
    "machine": AnsweredBy.MACHINE,
    "beep_detected": AnsweredBy.MACHINE,
    "fax_detected": AnsweredBy.FAX,
    "silence": None,
    "not_sure": None,
    "ended": None,
    "no_beep_detected": None,
    "prompt_ended": None,
    # A telephone asks the caller for a name first; detection begins anew when somebody takes the
    # call.
    "screening": None,
}
# What may stand in `client_state` beside the Buildr call id: that the leg is one of our own
# people's, that a recording is a voicemail.
PARTY: Final = "party"
PARTIES: Final[Mapping[str, Party]] = {"agent": Party.AGENT}
RECORD: Final = "record"
VOICEMAIL: Final = "voicemail"


def keys(request: WebhookRequest) -> MessageKeys:
    """
    Name the event by its id, which is the same on every try and at every address; without one, as
    offline, by its body.
    """
    data = _data(request)
    name = text(data, "id")
    return MessageKeys(
        digest("body", request.body) if name is None else digest("id", name), _source_call_id(data)
    )


def parse(request: WebhookRequest, message_id: str) -> list[CallEvent]:
    """
    Turn an event into ours; what else in it is not understood becomes events of type `UNKNOWN`
    beside it.
    """
    data = _data(request)
    payload = child(data, "payload")
    word = text(data, "event_type") or ""
    named, fault = echoed_id(text(payload, "client_state"))
    common = CallEvent(
        source="telnyx",
        message_id=message_id,
        source_call_id=_source_call_id(data),
        leg_id=call_id(text(payload, "call_leg_id", "call_control_id"), name="call_leg_id"),
        event_type=EventType.UPDATED,
        occurred_at=iso_moment(text(data, "occurred_at")),
        direction=DIRECTIONS.get(text(payload, "direction") or ""),
        party=PARTIES.get(text(_client_state(payload), PARTY) or ""),
        from_number=to_address(text(payload, "from")),
        to_number=to_address(text(payload, "to")),
        agent=to_agent(text(payload, "from")) or to_agent(text(payload, "to")),
        buildr_call_id=named,
        vendor_status=word[:MAX_WORD_LENGTH],
    )
    kind = EVENTS.get(word)
    events = (
        [unknown_event(common, word)]
        if kind is None
        else READERS[kind](replace(common, event_type=kind), payload)
    )
    return events if fault is None else [*events, unknown_event(common, fault)]


def to_address(address: str | None) -> str | None:
    """A telephone number in E.164; a SIP address always with its scheme."""
    return (
        f"{SIP}{address}"
        if address is not None and "@" in address and ":" not in address.partition("@")[0]
        else to_e164(address)
    )


def to_agent(address: str | None) -> str | None:
    """
    The user of one of Telnyx's own SIP addresses, which are our people's telephones; None for any
    other address.
    """
    user, _, host = (address or "").removeprefix(SIP).partition("@")
    host = host.partition(";")[0].partition(":")[0].lower()
    return (
        user or None if any(host == own or host.endswith(f".{own}") for own in SIP_HOSTS) else None
    )


def _data(request: WebhookRequest) -> Fields:
    """
    The event itself. Raises `MalformedPayload` if there is none, `IgnoredEvent` for a kind that is
    not wanted.
    """
    message = request.body_as(read_json_object)
    data = child(message, "data")
    if data is EMPTY and "event_type" in message:
        raise MalformedPayload(
            "an event of Telnyx's webhook API version 1: set the application's webhook API version to 2"
        )
    word = text(data, "event_type")
    if word is None:
        raise MalformedPayload(
            "data.event_type is not there: no event of Telnyx's webhook API version 2"
        )
    if word in IGNORED or word.startswith(IGNORED_FAMILIES):
        raise IgnoredEvent("an event that says nothing about how a call ends")
    if word == TRANSCRIBED and not _is_voicemail(_client_state(child(data, "payload"))):
        raise IgnoredEvent("the transcript of a recording that is no voicemail")
    return data


def _source_call_id(data: Fields) -> str:
    return call_id(
        text(child(data, "payload"), "call_session_id"), name="data.payload.call_session_id"
    )


def _client_state(payload: Fields) -> Fields:
    """What `client_state` holds if it is a JSON object of ours; empty for anybody else's."""
    raw = read_base64((text(payload, "client_state") or "")[:MAX_ECHO])
    try:
        return read_json_object(raw or b"{}")
    except MalformedPayload:
        return EMPTY


def _is_voicemail(state: Fields) -> bool:
    return text(state, RECORD) == VOICEMAIL


def _plain_events(event: CallEvent, payload: Fields) -> list[CallEvent]:
    word = text(payload, "direction")
    return [event] if word is None or word in DIRECTIONS else [event, unknown_event(event, word)]


def _detection_events(event: CallEvent, payload: Fields) -> list[CallEvent]:
    word = text(payload, "result")
    if word is not None and word not in RESULTS:
        return [unknown_event(event, word)]
    return [replace(event, answered_by=RESULTS[word] if word is not None else None)]


def _hangup_events(event: CallEvent, payload: Fields) -> list[CallEvent]:
    word, started_at = text(payload, "hangup_cause"), iso_moment(text(payload, "start_time"))
    ended = replace(
        event,
        hangup_cause=read_cause(word, text(payload, "sip_hangup_cause")),
        vendor_status=(word or HANGUP)[:MAX_WORD_LENGTH],
    )
    # When dialling began, not when somebody answered. Of a leg whose `call.initiated` is still to
    # come it gives the place among the others.
    began = (
        []
        if started_at is None
        else [
            replace(
                event,
                event_type=EventType.CREATED,
                vendor_status="start_time",
                occurred_at=started_at,
            )
        ]
    )
    # The leg is gone for whatever cause; a strange word takes nothing away from that.
    return [
        *began,
        ended,
        *([unknown_event(event, word)] if word is not None and word not in CAUSES else []),
    ]


def _recording_events(event: CallEvent, payload: Fields) -> list[CallEvent]:
    begun_at, ended_at = (
        iso_moment(text(payload, name)) for name in ("recording_started_at", "recording_ended_at")
    )
    length_s = (
        None
        if begun_at is None or ended_at is None
        else max(0, round((ended_at - begun_at).total_seconds()))
    )
    # The public address, which an account has only on request, lasts; the other one is good for ten
    # minutes.
    lasting, passing = child(payload, "public_recording_urls"), child(payload, "recording_urls")
    url = text(lasting, "mp3", "wav") or text(passing, "mp3", "wav")
    if _is_voicemail(_client_state(payload)):
        return [replace(event, event_type=EventType.VOICEMAIL, voicemail=Voicemail(url, length_s))]
    return [replace(event, recording=Recording(text(payload, "recording_id"), url, length_s))]


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
}
