"""
The parameters of Twilio's requests, of which only those that are read are named, and the ids in
them.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypedDict

from service.errors import IgnoredEvent
from service.sources.common.fields import iso_moment, mail_moment
from service.sources.common.forms import query_value, read_form, values_by_name
from service.sources.common.ids import call_id
from service.sources.common.json_body import JsonValue, read_json_object
from service.sources.request import JSON, WebhookRequest
from service.sources.twilio.vocabulary import (
    IGNORED_CONFERENCE_EVENTS,
    IGNORED_RECORDING_STATUSES,
)

# The query parameter that names the parent leg where Twilio does not.
PARENT_CALL_SID: Final = "parent_call_sid"
# A `CallSid` in the name of a conference. SignalWire's ids are UUIDs, which names are made of too.
NAMED_CALL_SID: Final = re.compile(r"(?<![0-9A-Za-z])CA[0-9a-f]{32}(?![0-9A-Za-z])")


# https://www.twilio.com/docs/voice/api/call-resource#statuscallback, and for `Dial*`
# https://www.twilio.com/docs/voice/twiml/dial#action, for `Recording*`
# https://www.twilio.com/docs/voice/api/recording#recordingstatuscallback, for conferences
# https://www.twilio.com/docs/voice/twiml/conference#attributes-statusCallback, and for `Queue*`
# https://www.twilio.com/docs/voice/twiml/enqueue#action. `StartTime` and `EndTime` are those of the
# call resource; callbacks do not hold them, a message made of the resource does.
# All values are texts. `Timestamp` is in RFC 2822, UTC; `SequenceNumber` counts status callbacks
# of a leg from 0; durations are in seconds, except `Duration`, which is not read. The addresses are
# E.164, or begin with `client:` or `sip:`.
class TwilioRequest(TypedDict, total=False):
    """
    The parameters of a status, answering machine, recording, conference, `<Dial action>` or
    `<Enqueue action>` request.
    """

    CallSid: str
    ParentCallSid: str
    CallStatus: str
    CallDuration: str
    CallbackSource: str
    Direction: str
    From: str
    Caller: str
    To: str
    Called: str
    ForwardedFrom: str
    Timestamp: str
    StartTime: str
    EndTime: str
    SequenceNumber: str
    SipResponseCode: str
    SipResultCode: str
    AnsweredBy: str
    RecordingSid: str
    RecordingStatus: str
    RecordingSource: str
    RecordingUrl: str
    RecordingDuration: str
    DialCallSid: str
    DialCallStatus: str
    DialCallDuration: str
    DialBridged: str
    ConferenceSid: str
    FriendlyName: str
    StatusCallbackEvent: str
    ParticipantCallStatus: str
    QueueSid: str
    QueueResult: str
    QueueTime: str


Parameters = Mapping[str, str]


def read_parameters(request: WebhookRequest) -> Parameters:
    """
    The parameters of a `TwilioRequest` by name, without empty ones; of a JSON body its texts and
    numbers. Raises `MalformedPayload`.
    """
    if request.content_type == JSON:
        return request.body_via(read_json_object, _json_parameters)
    return request.body_via(read_form, values_by_name)


def refuse_ignored(request: WebhookRequest, parameters: Parameters) -> None:
    """Raises `IgnoredEvent` for a request that reports nothing of use."""
    if parameters.get("RecordingStatus") in IGNORED_RECORDING_STATUSES:
        raise IgnoredEvent("a recording that is not ready, was not made or failed")
    if "ConferenceSid" not in parameters:
        return
    if parameters.get("StatusCallbackEvent") in IGNORED_CONFERENCE_EVENTS:
        raise IgnoredEvent("an event of a conference that does not show who is in it")
    if "CallSid" not in parameters and query_value(request, PARENT_CALL_SID) is None:
        raise IgnoredEvent("a request about a conference that names no call")


def is_conference_event(parameters: Parameters) -> bool:
    """Whether it is a status callback of a conference, not of a call."""
    return "ConferenceSid" in parameters and "StatusCallbackEvent" in parameters


def leg_id(request: WebhookRequest, parameters: Parameters) -> str:
    """The id of the leg for which the request is made; raises `MalformedPayload`."""
    own_id = parameters.get("CallSid")
    if own_id is None and "ConferenceSid" in parameters:
        # A conference's recording names the conference alone.
        own_id = query_value(request, PARENT_CALL_SID)
    return call_id(own_id, name="CallSid")


def parent_leg_id(request: WebhookRequest, parameters: Parameters) -> str | None:
    """The leg that dialled this one, None for the first leg; raises `MalformedPayload`."""
    # `amdStatusCallback` of a dialled <Number> is not documented to name the parent; the author of
    # the TwiML can, in the URL.
    parent_id = parameters.get("ParentCallSid") or query_value(request, PARENT_CALL_SID)
    if parent_id is None and is_conference_event(parameters):
        return _named_call_id(parameters)
    if parent_id is None:
        return None
    return call_id(parent_id, name="ParentCallSid")


def source_call_id(request: WebhookRequest, parameters: Parameters) -> str:
    """The id of the call: that of its first leg. Raises `MalformedPayload`."""
    own_id = leg_id(request, parameters)
    return parent_leg_id(request, parameters) or own_id


def _named_call_id(parameters: Parameters) -> str | None:
    """The one `CallSid` in the name of a conference, which its author gave to the call's own."""
    call_ids: set[str] = set(NAMED_CALL_SID.findall(parameters.get("FriendlyName", "")))
    if len(call_ids) != 1:
        return None
    return call_ids.pop()


def _json_parameters(fields: Mapping[str, JsonValue]) -> dict[str, str]:
    pairs = [
        (name, str(value))
        for name, value in fields.items()
        if isinstance(value, str | int) and not isinstance(value, bool)
    ]
    return values_by_name(pairs)


def moment(text: str | None) -> datetime | None:
    """A time (UTC) in RFC 2822 or ISO 8601; None if it is neither."""
    return mail_moment(text) or iso_moment(text)
