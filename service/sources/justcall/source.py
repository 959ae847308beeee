"""
JustCall: call events of webhooks of version 2, of the dialer and of the Sales Dialer, each of which
describes the whole call.

Events: https://developer.justcall.io/docs/call-events. Signatures, which do not cover the call's
data, are in `service.sources.justcall_signature`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
from service.sources.common.fields import (
    Fields,
    child,
    children,
    iso_moment,
    text,
    texts,
    whole_seconds,
)
from service.sources.common.ids import call_id, echoed_id
from service.sources.common.json_body import read_json_object
from service.sources.common.phone_numbers import bare_to_e164
from service.sources.common.signatures import digest
from service.sources.justcall import signature as justcall_signature
from service.sources.request import MessageKeys, Reply, WebhookRequest
from service.sources.settings import Secrets, SourceSetting

PROBE: Final = "url.validation"
# `call_sid` is in all events of a call, of the dialer and of the Sales Dialer; `id` is JustCall's
# own number of the call.
CALL_IDS: Final = ("call_sid", "id")


@dataclass(frozen=True, slots=True)
class _Kind:
    """
    What an event tells; the direction of its calls where it has only one, and the outcome that its
    name says.
    """

    event_type: EventType
    direction: Direction | None = None
    outcome: str | None = None

    @property
    def is_end(self) -> bool:
        return self.event_type is EventType.ENDED


MISSED: Final = "missed"
VOICEMAIL: Final = "voicemail"
# https://developer.justcall.io/docs/call-events; the names are those of the API:
# https://developer.justcall.io/reference/webhook_list_v21
KINDS: Final[Mapping[str, _Kind]] = {
    "call.incoming": _Kind(EventType.RINGING, Direction.INBOUND),
    "call.enters_queue": _Kind(EventType.RINGING, Direction.INBOUND),
    "call.exits_queue": _Kind(EventType.UPDATED, Direction.INBOUND),
    "call.answered": _Kind(EventType.ANSWERED, Direction.INBOUND),
    "call.initiated": _Kind(EventType.CREATED, Direction.OUTBOUND),
    "call.completed": _Kind(EventType.ENDED),
    "call.missed": _Kind(EventType.ENDED, Direction.INBOUND, MISSED),
    "call.voicemail": _Kind(EventType.ENDED, Direction.INBOUND, VOICEMAIL),
    "call.updated": _Kind(EventType.UPDATED),
    "call.ai_voice_agent": _Kind(EventType.UPDATED),
    "jc.call_ai_generated": _Kind(EventType.UPDATED),
    "sd.call_completed": _Kind(EventType.ENDED),
    "sd.call_updated": _Kind(EventType.UPDATED),
    "sd.call_ai_generated": _Kind(EventType.UPDATED),
}
IGNORED: Final = frozenset(
    {
        "sms.sent_received",
        "sms.sent",
        "sms.received",
        "sms.status_updated",
        "whatsapp.message_sent",
        "whatsapp.message_received",
        "whatsapp.message_status_updated",
        "jc.contact_status_updated",
        "appointment.scheduled",
    }
)
# https://developer.justcall.io/reference/call_list_v21 names them with the direction before them.
# Case plays no part.
OUTCOMES: Final[Mapping[str, HangupCause]] = {
    "answered": HangupCause.COMPLETED,
    "unanswered": HangupCause.NO_ANSWER,
    MISSED: HangupCause.NO_ANSWER,
    # A caller's message; of an outbound call, one that a rep dropped.
    VOICEMAIL: HangupCause.NO_ANSWER,
    "abandoned": HangupCause.CANCELLED,
    "busy": HangupCause.BUSY,
    "failed": HangupCause.FAILED,
    "restricted": HangupCause.FAILED,
    "blocked": HangupCause.REJECTED,
    "cancelled": HangupCause.CANCELLED,
}
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "incoming": Direction.INBOUND,
    "outgoing": Direction.OUTBOUND,
}


class JustCall(Source):
    """The source `justcall`."""

    slug = "justcall"
    title = "JustCall"
    settings = (
        SourceSetting(
            name="justcall_api_secret",
            description="JustCall API secrets; the old and the new one while renewing.",
        ),
    )
    # The time is needed to tell which of two changes is the later one. JustCall does not say how
    # long it waits.
    kept_headers = frozenset({"content-type", justcall_signature.TIME})
    # Five tries in all, 30 to 90 seconds apart:
    # https://developer.justcall.io/docs/auto-retry-on-delivery-failure
    retry_policy = RetryPolicy(response_timeout_s=15, retry_delays_s=(60, 60, 60, 60))
    proof = "HMAC-SHA256 over address, type and time, **not the call's data**, with the API secret"
    call_id_carrier = "`metadata` of the dialer's link"
    signs_url = True

    def handshake(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> Reply | None:
        """Answer the probe of a new address, which tells nothing and of which nothing is kept."""
        try:
            fields = read_json_object(request.body or b"{}")
        except MalformedPayload:
            return None
        if any(text(each, *CALL_IDS) is not None for each in (fields, child(fields, "data"))):
            # It may be an event of an older webhook, said to be flat and unsigned: it is refused
            # and logged, not taken for a probe.
            return None
        is_empty = text(fields, "type") is None and text(fields, "request_id") is None
        return Reply(200) if is_empty or fields.get("type") == PROBE else None

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Prove address, type and time; raises `InvalidSignature`."""
        justcall_signature.verify(request, secrets, now)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by its type, which is signed, and its `request_id`, which a retry keeps;
        one without that by its body.
        """
        fields = request.body_as(read_json_object)
        _refuse_ignored(fields)
        request_id = text(fields, "request_id")
        parts = (
            ("body", request.body)
            if request_id is None
            else ("id", text(fields, "type") or "", request_id)
        )
        return MessageKeys(digest(*parts), _source_call_id(fields))

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into its events; a strange word beside them becomes one of type `UNKNOWN`.
        """
        fields = request.body_as(read_json_object)
        _refuse_ignored(fields)
        name, data = text(fields, "type") or "", child(fields, "data")
        kind, info = KINDS.get(name), child(data, "call_info")
        told = text(info, "direction")
        direction = DIRECTIONS.get((told or "").lower())
        named, fault = _echoed(fields, data)
        event = replace(
            _common(fields, data, direction or (kind.direction if kind is not None else None)),
            message_id=message_id,
            occurred_at=justcall_signature.read_time(request.header(justcall_signature.TIME)),
            buildr_call_id=named,
            vendor_status=name,
        )
        events, strange = (
            ([], name)
            if kind is None
            else _ended(kind, event, data)
            if kind.is_end
            else (_under_way(kind, event, data), None)
        )
        faults = (strange, told if direction is None else None, fault)
        return events + [unknown_event(event, word) for word in faults if word is not None]

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request with its address in its body, signed with the first secret. Raises
        ValueError without one.
        """
        if not secrets.values:
            raise self.no_secret()
        return justcall_signature.sign(request, secrets.values[0], now)


def _refuse_ignored(fields: Fields) -> None:
    if text(fields, "type") in IGNORED:
        raise IgnoredEvent("a text message, a contact or an appointment, not a call")


def _source_call_id(fields: Fields) -> str:
    return call_id(text(child(fields, "data"), *CALL_IDS), name="call_sid")


def _echoed(fields: Fields, data: Fields) -> tuple[str | None, str | None]:
    """
    The Buildr call id in `metadata`, which comes as an object or as the text of one, and what is
    wrong with it, if anything is.
    """
    found = data.get("metadata") or fields.get("metadata")
    return echoed_id(
        json.dumps(found) if isinstance(found, dict) else found if isinstance(found, str) else None
    )


def _common(fields: Fields, data: Fields, direction: Direction | None) -> CallEvent:
    own, info = _source_call_id(fields), child(data, "call_info")
    customer, ours = (
        bare_to_e164(text(data, "contact_number")),
        bare_to_e164(text(data, "justcall_number", "sales_dialer_number")),
    )
    sides = {
        Direction.OUTBOUND: (ours, customer),
        Direction.INBOUND: (customer, ours),
        None: (None, None),
    }[direction]
    return CallEvent(
        source="justcall",
        message_id="",
        source_call_id=own,
        leg_id=own,
        event_type=EventType.UPDATED,
        direction=direction,
        # An event is about the call as a whole: it is answered once a person, or JustCall's voice
        # agent, has taken it.
        party=Party.CUSTOMER,
        from_number=sides[0],
        to_number=sides[1],
        agent=text(data, "agent_email", "agent_name", "agent_id"),
        disposition=text(info, "disposition"),
        tags=(
            *texts(data, "tags"),
            *(name for tag in children(data, "tags") if (name := text(tag, "name"))),
        ),
        note=text(info, "notes"),
    )


def _under_way(kind: _Kind, event: CallEvent, data: Fields) -> list[CallEvent]:
    began = kind.event_type in (EventType.CREATED, EventType.RINGING)
    occurred_at = (_started_at(data) if began else None) or event.occurred_at
    return [
        replace(
            event, event_type=kind.event_type, occurred_at=occurred_at, recording=_recording(data)
        )
    ]


def _ended(kind: _Kind, event: CallEvent, data: Fields) -> tuple[list[CallEvent], str | None]:
    """
    The beginning and the end of a call, and the message if the caller left one; and what of it is
    strange, if anything is.
    """
    told = text(child(data, "call_info"), "type")
    outcome = told.lower() if told is not None and told.lower() in OUTCOMES else kind.outcome
    strange = told if told is not None and told.lower() not in OUTCOMES else None
    if outcome is None:
        return [], strange or f"{event.vendor_status} without call_info.type"
    if event.direction is None and OUTCOMES[outcome] is not HangupCause.COMPLETED:
        # A call that was not answered cannot be read without its direction; an unknown word for it
        # is told beside this.
        return [], strange or f"{event.vendor_status} without a known call_info.direction"
    total_s, started_at = (
        whole_seconds(child(data, "call_duration"), "total_duration"),
        _started_at(data),
    )
    bare = replace(event, disposition=None, tags=(), note=None)
    began = (
        []
        if started_at is None
        else [replace(bare, event_type=EventType.CREATED, occurred_at=started_at)]
    )
    ended = replace(
        event,
        event_type=EventType.ENDED,
        occurred_at=event.occurred_at if started_at is None else _later(started_at, total_s),
        hangup_cause=OUTCOMES[outcome],
        duration_s=0,
    )
    if VOICEMAIL in (outcome, kind.outcome) and event.direction is Direction.INBOUND:
        message = Voicemail(text(child(data, "call_info"), "recording"))
        untaken = replace(ended, hangup_cause=HangupCause.NO_ANSWER)
        return [
            *began,
            replace(event, event_type=EventType.VOICEMAIL, voicemail=message),
            untaken,
        ], strange
    if outcome == VOICEMAIL:
        ended = replace(ended, hangup_cause=HangupCause.COMPLETED, answered_by=AnsweredBy.MACHINE)
    if ended.hangup_cause is HangupCause.COMPLETED:
        talk_s = whole_seconds(child(data, "call_duration"), "conversation_time")
        ended = replace(ended, duration_s=total_s if talk_s is None else talk_s)
    return [*began, replace(ended, recording=_recording(data))], strange


def _recording(data: Fields) -> Recording | None:
    info = child(data, "call_info")
    url = text(info, "recording")
    # Of a call that went to voicemail it is the caller's message.
    return (
        None
        if url is None or (text(info, "type") or "").lower() == VOICEMAIL
        else Recording(None, url)
    )


def _started_at(data: Fields) -> datetime | None:
    # These two are in UTC and do not say so; `call_user_date` and `call_user_time` beside them are
    # in the agent's own time.
    date, time = text(data, "call_date"), text(data, "call_time")
    return None if date is None or time is None else iso_moment(f"{date} {time}")


def _later(moment: datetime, by_s: int | None) -> datetime:
    try:
        return moment + timedelta(seconds=by_s or 0)
    except OverflowError:
        return moment
