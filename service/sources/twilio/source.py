"""
Twilio Programmable Voice: status, answering machine, recording and `<Dial action>` requests, and
all that speak like it.

Signatures are in `service.sources.twilio_signature`. Words and fields:
https://www.twilio.com/docs/voice/api/call-resource,
https://www.twilio.com/docs/voice/answering-machine-detection,
https://www.twilio.com/docs/voice/twiml/dial.
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from service.errors import IgnoredEvent, MalformedPayload
from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
    Voicemail,
)
from service.sources.base import RetryPolicy, Source, unknown_event
from service.sources.common import sip
from service.sources.common.fields import seconds
from service.sources.common.forms import query_value
from service.sources.common.ids import call_id, queried_buildr_call_id
from service.sources.common.phone_numbers import to_e164
from service.sources.common.setting_checks import check_pair
from service.sources.common.signatures import digest
from service.sources.request import (
    FORM,
    JSON,
    MessageKeys,
    Reply,
    WebhookRequest,
)
from service.sources.settings import Secrets, SettingKind, SourceSetting
from service.sources.twilio import signature as twilio_signature

PARENT_CALL_SID: Final = "parent_call_sid"
STATUS_CALLBACK: Final = "call-progress-events"
RECORD_VERB: Final = "RecordVerb"
CLIENT: Final = "client:"
EMPTY_TWIML: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'

# https://www.twilio.com/docs/voice/api/call-resource#call-status-values
CALL_STATUSES: Final[Mapping[str, EventType]] = {
    "queued": EventType.CREATED,
    "initiated": EventType.CREATED,
    "ringing": EventType.RINGING,
    "in-progress": EventType.ANSWERED,
    "completed": EventType.ENDED,
    "busy": EventType.ENDED,
    "no-answer": EventType.ENDED,
    "canceled": EventType.ENDED,
    "failed": EventType.ENDED,
}
# `answered` is what a dialled conference ends with:
# https://www.twilio.com/docs/voice/twiml/dial#dialcallstatus
HANGUP_CAUSES: Final[Mapping[str, HangupCause]] = {
    "completed": HangupCause.COMPLETED,
    "answered": HangupCause.COMPLETED,
    "busy": HangupCause.BUSY,
    "no-answer": HangupCause.NO_ANSWER,
    "canceled": HangupCause.CANCELLED,
    "failed": HangupCause.FAILED,
}
# Where the status is `failed` or `no-answer` for a declined call and for a wrong number alike.
# Twilio's name of it, and SignalWire's.
SIP_CODES: Final = ("SipResponseCode", "SipResultCode")
# https://www.twilio.com/docs/voice/answering-machine-detection#possible-values-for-answeredby
# The words for a machine say what it was doing, and there may be more of them.
MACHINE: Final = "machine"
ANSWERED_BY: Final[Mapping[str, AnsweredBy | None]] = {
    "human": AnsweredBy.HUMAN,
    "fax": AnsweredBy.FAX,
    "unknown": None,
    "machine_start": AnsweredBy.MACHINE,
    "machine_end_beep": AnsweredBy.MACHINE,
    "machine_end_silence": AnsweredBy.MACHINE,
    "machine_end_other": AnsweredBy.MACHINE,
}
# A trunk terminates at the telephone network what a PBX calls, and originates towards the PBX what comes from the telephone network:
# https://www.twilio.com/docs/sip-trunking
# The call is handed to the customer's own PBX, which reports it as answered only when it has taken it.
TRUNK_IN: Final = "trunking-originating"
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound-api": Direction.OUTBOUND,
    "outbound-dial": Direction.OUTBOUND,
    "trunking-terminating": Direction.OUTBOUND,
    TRUNK_IN: Direction.INBOUND,
}
# https://www.twilio.com/docs/voice/api/recording#recordingstatuscallback
RECORDING_STATUSES: Final = frozenset({"completed"})
IGNORED_RECORDING_STATUSES: Final = frozenset({"in-progress", "absent", "failed"})


# Which words each field may hold; any other is reported as unknown.
KNOWN_WORDS: Final[Mapping[str, Collection[str]]] = {
    "Direction": DIRECTIONS,
    "CallStatus": CALL_STATUSES,
    "AnsweredBy": ANSWERED_BY,
    "RecordingStatus": RECORDING_STATUSES,
}


class TwilioRequests(Source):
    """A source that tells of calls in Twilio's requests; how it signs them is its own."""

    content_types = frozenset({FORM, JSON})
    call_id_carrier = "query"
    signs_url = True
    has_address_per_call = True

    @abstractmethod
    def signed_text(self, request: WebhookRequest) -> bytes:
        """
        What a signature covers of a request, without scheme and host. Raises `MalformedPayload`.
        """

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message after what its signature covers.

        Twilio's own `I-Twilio-Idempotency-Token` is not signed: whoever could see one message could
        send it again under new tokens, or burn the token of a message to come. The signed text
        itself is the same on every retry, differs between two events (sequence number, status,
        recording id), and nobody can make another one for the same signature.
        """
        fields = _fields(request)
        if _is_ignored(fields):
            raise IgnoredEvent("a recording that is not ready, was not made or failed")
        return MessageKeys(
            digest("POST", self.signed_text(request)), _source_call_id(request, fields)
        )

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a request into events: one, or two where a `<Dial action>` tells of the caller's leg
        and of the dialled one.

        What else in it is not understood becomes events of type `UNKNOWN` beside them.
        """
        fields = _fields(request)
        if _is_ignored(fields):
            raise IgnoredEvent("a recording that is not ready, was not made or failed")
        common = _common(self.slug, request, fields, message_id)
        kind = next((name for name in READERS if name in fields), None)
        events = []
        if kind is not None:
            events.append(
                READERS[kind](common, fields)
                if _is_known(kind, fields[kind])
                else unknown_event(common, fields[kind])
            )
        if "DialCallStatus" in fields:
            events.append(_dial_event(common, fields))
        if not events:
            raise MalformedPayload(
                "none of CallStatus, AnsweredBy, RecordingStatus and DialCallStatus is there: no callback about a call"
            )
        # A strange word beside the one that says what happened takes nothing away from that.
        strange = (
            fields[name]
            for name in KNOWN_WORDS
            if name != kind and name in fields and not _is_known(name, fields[name])
        )
        id_fault = queried_buildr_call_id(request)[1]
        return events + [
            unknown_event(common, word) for word in (*strange, *([id_fault] if id_fault else []))
        ]


class Twilio(TwilioRequests):
    """The source `twilio`."""

    slug = "twilio"
    title = "Twilio"
    settings = (
        SourceSetting(
            name="twilio_auth_token",
            description="Twilio auth token; several, separated by commas, while rotating.",
        ),
        SourceSetting(
            name="twilio_shared_keys",
            description="Twilio shared keys as id:key pairs, separated by commas.",
            kind=SettingKind.KEY_PAIR,
            check=check_pair,
        ),
    )
    # Twilio sends once, and to the fallback URL if there is one; `#rc=5&rp=all` at the end of the
    # address asks for up to five tries more.
    retry_policy = RetryPolicy(response_timeout_s=15, retry_delays_s=(1, 2, 4, 8, 16))
    proof = "HMAC-SHA1 or SHA256 over address and form, with the auth token or a shared key"

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Prove the message; raises `InvalidSignature`."""
        twilio_signature.verify(request, secrets)

    def signed_text(self, request: WebhookRequest) -> bytes:
        """Path and query, and the form's parameters in Twilio's order."""
        return twilio_signature.signed_text(twilio_signature.target(request.url), request).encode()

    def reply(self, request: WebhookRequest) -> Reply:
        """
        Nothing, or an empty TwiML document where Twilio asks what to do next with the call; never
        raises.
        """
        try:
            fields = _fields(request)
        except MalformedPayload:
            return Reply(204)
        is_voice_url = (
            fields.get("CallStatus") == "ringing"
            and fields.get("Direction") == "inbound"
            and "CallbackSource" not in fields
        )
        if "DialCallStatus" in fields or is_voice_url:
            return Reply(200, EMPTY_TWIML, "text/xml")
        return Reply(204)

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request, signed with the first auth token, or with the first shared key if there is
        no token.
        """
        return twilio_signature.sign(request, secrets)


def _fields(request: WebhookRequest) -> dict[str, str]:
    # Of a repeated name the signature fixes the values but not their order, so that the order may
    # not decide anything.
    fields: dict[str, str] = {}
    for name, value in sorted(set(twilio_signature.parameters(request))):
        if value:
            fields.setdefault(name, value)
    return fields


def _is_ignored(fields: Mapping[str, str]) -> bool:
    return fields.get("RecordingStatus") in IGNORED_RECORDING_STATUSES


def _parent_leg_id(request: WebhookRequest, fields: Mapping[str, str]) -> str | None:
    # `amdStatusCallback` of a dialled <Number> is not documented to name the parent; whoever writes
    # the TwiML can, in the URL.
    parent = fields.get("ParentCallSid") or query_value(request, PARENT_CALL_SID)
    return None if parent is None else call_id(parent, name="ParentCallSid")


def _source_call_id(request: WebhookRequest, fields: Mapping[str, str]) -> str:
    own = call_id(fields.get("CallSid"), name="CallSid")
    return _parent_leg_id(request, fields) or own


def _common(
    source: str, request: WebhookRequest, fields: Mapping[str, str], message_id: str
) -> CallEvent:
    own = call_id(fields.get("CallSid"), name="CallSid")
    parent = _parent_leg_id(request, fields)
    from_address, to_address = (
        fields.get("From") or fields.get("Caller"),
        fields.get("To") or fields.get("Called"),
    )
    return CallEvent(
        source=source,
        message_id=message_id,
        source_call_id=parent or own,
        leg_id=own,
        event_type=EventType.UPDATED,
        parent_leg_id=None if parent == own else parent,
        occurred_at=_moment(fields.get("Timestamp")),
        sequence=seconds(fields.get("SequenceNumber")),
        direction=DIRECTIONS.get(fields.get("Direction", "")),
        party=Party.CUSTOMER if fields.get("Direction") == TRUNK_IN else None,
        from_number=to_e164(from_address),
        to_number=to_e164(to_address),
        agent=_agent(from_address) or _agent(to_address),
        buildr_call_id=queried_buildr_call_id(request)[0],
    )


def _is_known(field: str, word: str) -> bool:
    return word in KNOWN_WORDS[field] or (field == "AnsweredBy" and word.startswith(MACHINE))


def _answerer(word: str | None) -> AnsweredBy | None:
    if word is not None and word.startswith(MACHINE):
        return AnsweredBy.MACHINE
    return ANSWERED_BY.get(word or "")


def _status_event(common: CallEvent, fields: Mapping[str, str]) -> CallEvent:
    word = fields["CallStatus"]
    event = replace(
        common,
        event_type=CALL_STATUSES[word],
        vendor_status=word,
        answered_by=_answerer(fields.get("AnsweredBy")),
    )
    if event.event_type is not EventType.ENDED:
        return event
    # CallDuration is in seconds; Duration beside it is in billed minutes.
    return replace(
        event,
        hangup_cause=_cause(word, _sip_code(fields)),
        duration_s=seconds(fields.get("CallDuration")),
    )


def _answered_by_event(common: CallEvent, fields: Mapping[str, str]) -> CallEvent:
    word = fields["AnsweredBy"]
    return replace(
        common, event_type=EventType.ANSWERED_BY, vendor_status=word, answered_by=_answerer(word)
    )


def _recording_event(common: CallEvent, fields: Mapping[str, str]) -> CallEvent:
    word, url, duration_s = (
        fields["RecordingStatus"],
        fields.get("RecordingUrl"),
        seconds(fields.get("RecordingDuration")),
    )
    if fields.get("RecordingSource") == RECORD_VERB:
        return replace(
            common,
            event_type=EventType.VOICEMAIL,
            vendor_status=word,
            voicemail=Voicemail(url, duration_s),
        )
    return replace(
        common,
        event_type=EventType.RECORDING,
        vendor_status=word,
        recording=Recording(fields.get("RecordingSid"), url, duration_s),
    )


# Which field says what kind of request it is, the most telling first: a status callback may carry
# AnsweredBy too.
READERS: Final[Mapping[str, Callable[[CallEvent, Mapping[str, str]], CallEvent]]] = {
    "RecordingStatus": _recording_event,
    "CallStatus": _status_event,
    "AnsweredBy": _answered_by_event,
}


def _dial_event(common: CallEvent, fields: Mapping[str, str]) -> CallEvent:
    # The addresses and the number in the request are the caller's leg's; of the dialled leg only
    # its id and its end are told. A dialled conference has no id of its own:
    # https://www.twilio.com/docs/voice/twiml/dial#dialcallsid
    word = fields["DialCallStatus"]
    dialled = fields.get("DialCallSid")
    event = replace(
        common,
        event_type=EventType.ENDED,
        leg_id=f"{common.leg_id}:dial" if dialled is None else call_id(dialled, name="DialCallSid"),
        parent_leg_id=common.leg_id,
        occurred_at=None,
        sequence=None,
        direction=Direction.OUTBOUND,
        from_number=None,
        to_number=None,
        agent=None,
    )
    if word not in HANGUP_CAUSES:
        return unknown_event(event, word)
    return replace(
        event,
        vendor_status=word,
        hangup_cause=HANGUP_CAUSES[word],
        duration_s=seconds(fields.get("DialCallDuration")),
    )


def _sip_code(fields: Mapping[str, str]) -> str | None:
    return next((fields[name] for name in SIP_CODES if name in fields), None)


def _cause(word: str, sip_code: str | None) -> HangupCause:
    cause = HANGUP_CAUSES[word]
    if cause is HangupCause.COMPLETED or sip_code is None:
        return cause
    if cause is HangupCause.FAILED and sip_code in sip.NOT_REACHED:
        return HangupCause.NO_ANSWER
    return sip.DECISIVE.get(sip_code, cause)


def _agent(address: str | None) -> str | None:
    return (
        address.removeprefix(CLIENT) or None
        if address is not None and address.startswith(CLIENT)
        else None
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
