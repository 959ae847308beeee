"""
Plivo Voice: ring, answer, hangup, machine detection, `<Dial>` and `<Record>` requests.

Signatures are in `service.sources.plivo_signature`, hangup causes in
`service.sources.plivo_causes`. Words and fields: https://www.plivo.com/docs/voice/xml/request,
https://www.plivo.com/docs/voice/xml/dial,
https://www.plivo.com/docs/voice/api/call/machine-detection.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from service.errors import IgnoredEvent, MalformedPayload
from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Recording,
    Voicemail,
)
from service.sources.base import (
    MAX_WORD_LENGTH,
    RetryPolicy,
    Source,
    unknown_event,
)
from service.sources.common.fields import seconds
from service.sources.common.forms import query_value, read_form
from service.sources.common.ids import call_id, queried_buildr_call_id
from service.sources.common.phone_numbers import bare_to_e164
from service.sources.common.signatures import digest
from service.sources.plivo import signature as plivo_signature
from service.sources.plivo.hangup_causes import (
    ENDS_TALK,
    MACHINE_HUNG_UP,
    STATUS_CAUSES,
    is_known_code,
    read_cause,
)
from service.sources.request import (
    FORM,
    MessageKeys,
    Reply,
    WebhookRequest,
)
from service.sources.settings import Secrets, SourceSetting

RECORD: Final = "record"
VOICEMAIL: Final = "voicemail"
HANGUP: Final = "Hangup"
MACHINE_DETECTION: Final = "MachineDetection"
TRUE: Final = "true"
ENDPOINT: Final = "sip:"
ENDPOINT_HOST: Final = "phone.plivo.com"
EMPTY_XML: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>'

# https://www.plivo.com/docs/voice/use-cases/dial-status-reporting
CALL_STATUSES: Final[Mapping[str, EventType]] = {
    "ringing": EventType.RINGING,
    "in-progress": EventType.ANSWERED,
    "completed": EventType.ENDED,
    "busy": EventType.ENDED,
    "failed": EventType.ENDED,
    "timeout": EventType.ENDED,
    "no-answer": EventType.ENDED,
    "cancel": EventType.ENDED,
}
# What `<Dial callbackUrl>` reports of the dialled leg.
DIAL_ACTIONS: Final[Mapping[str, EventType]] = {
    "answer": EventType.ANSWERED,
    "connected": EventType.ANSWERED,
    "hangup": EventType.ENDED,
}
IGNORED_DIAL_ACTIONS: Final = frozenset({"digits"})
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# Which words each field may hold; any other is reported as unknown.
KNOWN_WORDS: Final[Mapping[str, Collection[str]]] = {
    "Direction": DIRECTIONS,
    "CallStatus": CALL_STATUSES,
    "DialAction": DIAL_ACTIONS,
    "DialStatus": STATUS_CAUSES,
    RECORD: frozenset({VOICEMAIL}),
}
CODE_FIELDS: Final = ("HangupCauseCode", "DialBLegHangupCauseCode")


class Plivo(Source):
    """The source `plivo`."""

    slug = "plivo"
    title = "Plivo"
    content_types = frozenset({FORM})
    settings = (
        SourceSetting(
            name="plivo_auth_token",
            description="Plivo auth token; several, separated by commas, while rotating and for subaccounts.",
        ),
    )
    # With `#rc=5&rp=all` at the end of the address; all tries fall within 55 seconds.
    retry_policy = RetryPolicy(response_timeout_s=15, retry_delays_s=(1, 2, 4, 8, 16))
    proof = "HMAC-SHA256 (V3) over address, query and form, with the auth token"
    call_id_carrier = "query"
    signs_url = True
    has_address_per_call = True

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Prove the message; raises `InvalidSignature`."""
        plivo_signature.verify(request, secrets)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message after what its signature covers, without the nonce.

        A retry has a nonce of its own. The rest of the signed text differs between two events of a
        call (status, cause, leg, recording).
        """
        fields = _fields(request)
        _refuse_ignored(fields)
        source_call_id = _ids(request, fields)[0]
        try:
            text = plivo_signature.signed_text(request, with_host=False)
        except ValueError as err:
            raise MalformedPayload("the query cannot be decoded") from err
        return MessageKeys(digest("POST", text), source_call_id)

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a request into events: one, or more where a hangup also tells when the call began and
        was answered.

        What else in it is not understood becomes events of type `UNKNOWN` beside them.
        """
        fields = _fields(request)
        _refuse_ignored(fields)
        common = _common(request, fields, message_id)
        kind = _kind(fields)
        if kind is None:
            raise MalformedPayload(
                "none of CallStatus, DialAction, DialStatus, RecordUrl and Machine is there: no callback about a call"
            )
        is_known = kind not in KNOWN_WORDS or fields[kind] in KNOWN_WORDS[kind]
        events = (
            READERS[kind](common, fields)
            if is_known
            else [unknown_event(_of_kind(kind, common, fields), fields[kind])]
        )
        # A strange word beside the one that says what happened takes nothing away from that.
        strange = [
            fields[name]
            for name, known in KNOWN_WORDS.items()
            if name != kind and name in fields and fields[name] not in known
        ]
        codes = [
            f"{name} {fields[name]}"
            for name in CODE_FIELDS
            if name in fields and not is_known_code(fields[name])
        ]
        id_fault = queried_buildr_call_id(request)[1]
        return events + [
            unknown_event(common, word)
            for word in (*strange, *codes, *([id_fault] if id_fault else []))
        ]

    def reply(self, request: WebhookRequest) -> Reply:
        """
        An empty XML document: Plivo counts 200 as success, and asks some of its URLs what to do
        next with the call.
        """
        return Reply(200, EMPTY_XML, "text/xml")

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request, signed with the first auth token. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        return plivo_signature.sign(request, secrets.values[0])


def _fields(request: WebhookRequest) -> dict[str, str]:
    # Of a repeated name the signature fixes the values but not their order, so that the order may
    # not decide anything.
    fields: dict[str, str] = {}
    for name, value in sorted(request.body_as(read_form)):
        if value:
            fields.setdefault(name, value)
    # Nothing in a request tells a message that was left from a recording of the talk; whoever
    # writes the XML can, in the URL.
    record = query_value(request, RECORD)
    return fields if record is None else fields | {RECORD: record}


def _refuse_ignored(fields: Mapping[str, str]) -> None:
    if fields.get("DialAction") in IGNORED_DIAL_ACTIONS:
        raise IgnoredEvent("keys that were pressed")


def _ids(request: WebhookRequest, fields: Mapping[str, str]) -> tuple[str, str, str | None]:
    """The ids of the call, of the leg that the request is made for, and of that leg's parent."""
    # `<Record callbackUrl>` is not documented to name the call; whoever writes the XML can, in the
    # URL.
    own = call_id(
        fields.get("CallUUID") or fields.get("DialALegUUID") or query_value(request, "CallUUID"),
        name="CallUUID",
    )
    parent = fields.get("DialALegUUID") or fields.get("ALegUUID")
    if parent is None or parent == own:
        return own, own, None
    return call_id(parent, name="ALegUUID"), own, parent


def _common(request: WebhookRequest, fields: Mapping[str, str], message_id: str) -> CallEvent:
    source_call_id, own, parent = _ids(request, fields)
    from_address, to_address = fields.get("From"), fields.get("To")
    return CallEvent(
        source="plivo",
        message_id=message_id,
        source_call_id=source_call_id,
        leg_id=own,
        event_type=EventType.UPDATED,
        parent_leg_id=parent,
        direction=DIRECTIONS.get(fields.get("Direction", "")),
        from_number=bare_to_e164(from_address),
        to_number=bare_to_e164(to_address),
        agent=_agent(from_address) or _agent(to_address),
        buildr_call_id=queried_buildr_call_id(request)[0],
    )


def _kind(fields: Mapping[str, str]) -> str | None:
    # The most telling field first: nearly every request repeats the CallStatus of the leg that it
    # is made for.
    if dialled := next((name for name in ("DialAction", "DialStatus") if name in fields), None):
        return dialled
    if fields.get("Event") == HANGUP or "HangupCauseCode" in fields:
        return HANGUP
    names = (
        "RecordUrl",
        *(("Machine",) if fields.get("Event") == MACHINE_DETECTION else ()),
        "CallStatus",
        "Machine",
    )
    return next((name for name in names if name in fields), None)


def _of_kind(kind: str, common: CallEvent, fields: Mapping[str, str]) -> CallEvent:
    return _dialled(common, fields) if kind in ("DialAction", "DialStatus") else common


def _status_events(common: CallEvent, fields: Mapping[str, str]) -> list[CallEvent]:
    word = fields["CallStatus"]
    if CALL_STATUSES[word] is EventType.ENDED:
        return _hangup_events(common, fields)
    return [
        replace(
            common,
            event_type=CALL_STATUSES[word],
            vendor_status=word,
            answered_by=_answerer(fields),
        )
    ]


def _hangup_events(common: CallEvent, fields: Mapping[str, str]) -> list[CallEvent]:
    code, status, duration_s = (
        fields.get("HangupCauseCode"),
        fields.get("CallStatus", ""),
        seconds(fields.get("Duration")),
    )
    cause = read_cause(code, STATUS_CAUSES.get(status), is_answered=duration_s != 0)
    ended = replace(
        common,
        event_type=EventType.ENDED,
        vendor_status=(code or status or HANGUP)[:MAX_WORD_LENGTH],
        hangup_cause=cause,
        occurred_at=_moment(fields.get("EndTime")),
        duration_s=duration_s,
        answered_by=AnsweredBy.MACHINE if code == MACHINE_HUNG_UP else _answerer(fields),
    )
    told = {"StartTime": EventType.CREATED} | (
        {"AnswerTime": EventType.ANSWERED} if cause is HangupCause.COMPLETED else {}
    )
    moments = {name: _moment(fields.get(name)) for name in told}
    before = [
        replace(common, event_type=told[name], vendor_status=name, occurred_at=moment)
        for name, moment in moments.items()
        if moment
    ]
    return [*before, *(_record_events(common, fields) if "RecordUrl" in fields else []), ended]


def _machine_events(common: CallEvent, fields: Mapping[str, str]) -> list[CallEvent]:
    return [
        replace(
            common,
            event_type=EventType.ANSWERED_BY,
            vendor_status=MACHINE_DETECTION,
            answered_by=_answerer(fields),
        )
    ]


def _record_events(common: CallEvent, fields: Mapping[str, str]) -> list[CallEvent]:
    url, duration_s = fields["RecordUrl"], seconds(fields.get("RecordingDuration"))
    word = fields.get("Event", "RecordUrl")[:MAX_WORD_LENGTH]
    if fields.get(RECORD) == VOICEMAIL:
        return [
            replace(
                common,
                event_type=EventType.VOICEMAIL,
                vendor_status=word,
                voicemail=Voicemail(url, duration_s),
            )
        ]
    return [
        replace(
            common,
            event_type=EventType.RECORDING,
            vendor_status=word,
            recording=Recording(fields.get("RecordingID"), url, duration_s),
        )
    ]


def _dialled(common: CallEvent, fields: Mapping[str, str]) -> CallEvent:
    # Of the dialled leg only what the request says of it: addresses and direction are otherwise
    # those of the first leg.
    leg_id, to_address = fields.get("DialBLegUUID"), fields.get("DialBLegTo")
    return replace(
        common,
        leg_id=f"{common.source_call_id}:dial"
        if leg_id is None
        else call_id(leg_id, name="DialBLegUUID"),
        parent_leg_id=common.source_call_id,
        direction=Direction.OUTBOUND,
        from_number=bare_to_e164(fields.get("DialBLegFrom")),
        to_number=bare_to_e164(to_address),
        agent=_agent(to_address),
    )


def _dial_action_events(common: CallEvent, fields: Mapping[str, str]) -> list[CallEvent]:
    word, code = fields["DialAction"], fields.get("DialBLegHangupCauseCode")
    event = replace(_dialled(common, fields), event_type=DIAL_ACTIONS[word], vendor_status=word)
    if event.event_type is not EventType.ENDED:
        return [event]
    # Normal clearing of a telephone that was never picked up: whoever was calling hung up while it
    # rang.
    duration_s = seconds(fields.get("DialBLegDuration"))
    by_status = (
        HangupCause.CANCELLED
        if code in ENDS_TALK
        else None
        if duration_s is None
        else HangupCause.COMPLETED
    )
    cause = read_cause(code, by_status, is_answered=duration_s != 0)
    return [
        replace(
            event,
            hangup_cause=cause,
            duration_s=duration_s,
            vendor_status=(code or word)[:MAX_WORD_LENGTH],
        )
    ]


def _dial_status_events(common: CallEvent, fields: Mapping[str, str]) -> list[CallEvent]:
    word = fields["DialStatus"]
    return [
        replace(
            _dialled(common, fields),
            event_type=EventType.ENDED,
            vendor_status=word,
            hangup_cause=STATUS_CAUSES[word],
        )
    ]


READERS: Final[Mapping[str, Callable[[CallEvent, Mapping[str, str]], list[CallEvent]]]] = {
    "DialAction": _dial_action_events,
    "DialStatus": _dial_status_events,
    "RecordUrl": _record_events,
    HANGUP: _hangup_events,
    "CallStatus": _status_events,
    "Machine": _machine_events,
}


def _answerer(fields: Mapping[str, str]) -> AnsweredBy | None:
    # Plivo says so when it has found a machine, and nothing for a person or where it cannot tell.
    return AnsweredBy.MACHINE if fields.get("Machine", "").lower() == TRUE else None


def _agent(address: str | None) -> str | None:
    if address is None or not address.startswith(ENDPOINT):
        return None
    user, _, host = address.removeprefix(ENDPOINT).partition("@")
    return user or None if host.partition(";")[0] == ENDPOINT_HOST else None


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
