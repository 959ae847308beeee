"""
Vonage Voice API: event webhooks, one for each change of a leg; the legs of a call share a
conversation.

Signatures are in `service.sources.vonage_signature`. Words and fields:
https://developer.vonage.com/en/voice/voice-api/webhook-reference.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
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
    iso_moment,
    text,
    whole_seconds,
)
from service.sources.common.forms import query_values
from service.sources.common.ids import call_id
from service.sources.common.json_body import read_json_object
from service.sources.common.phone_numbers import bare_to_e164
from service.sources.common.signatures import digest
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.settings import Secrets, SourceSetting
from service.sources.vonage import signature as vonage_signature

RECORD: Final = "record"
VOICEMAIL: Final = "voicemail"
TRANSFER: Final = "transfer"
COMPLETED: Final = "completed"
CLIENT: Final = "client:"
WEBSOCKET: Final = ("ws:", "wss:")
NUMBER_SIGNS: Final = frozenset("+0123456789-. ()")


@dataclass(frozen=True, slots=True)
class _Status:
    """
    What a status says of its leg; `sequence` is its place among those of the leg.

    Every call that was not rejected gets a `completed` beside its failure, in either order.
    """

    event_type: EventType
    sequence: int
    cause: HangupCause | None = None
    answered_by: AnsweredBy | None = None


STATUSES: Final[Mapping[str, _Status]] = {
    "started": _Status(EventType.CREATED, 0),
    "ringing": _Status(EventType.RINGING, 1),
    "answered": _Status(EventType.ANSWERED, 2),
    "human": _Status(EventType.ANSWERED_BY, 3, answered_by=AnsweredBy.HUMAN),
    "machine": _Status(EventType.ANSWERED_BY, 3, answered_by=AnsweredBy.MACHINE),
    "busy": _Status(EventType.ENDED, 4, HangupCause.BUSY),
    "timeout": _Status(EventType.ENDED, 4, HangupCause.NO_ANSWER),
    "unanswered": _Status(EventType.ENDED, 4, HangupCause.NO_ANSWER),
    "cancelled": _Status(EventType.ENDED, 4, HangupCause.CANCELLED),
    # By Vonage or the carrier, before it reached anybody, unless the detail says that the callee
    # did.
    "rejected": _Status(EventType.ENDED, 4, HangupCause.FAILED),
    "failed": _Status(EventType.ENDED, 4, HangupCause.FAILED),
    # Its cause is read from how long the leg lasted; the last of all, so that talk is never taken
    # back.
    COMPLETED: _Status(EventType.ENDED, 5),
}
# A WebSocket was closed; keys or words were taken in.
IGNORED_STATUSES: Final = frozenset({"disconnected", "input"})
# `detail` of a leg that nobody answered says more than its status.
DETAILS: Final[Mapping[str, HangupCause]] = {
    "unavailable": HangupCause.NO_ANSWER,
    "timeout": HangupCause.NO_ANSWER,
    "carrier_timeout": HangupCause.NO_ANSWER,
    "declined": HangupCause.REJECTED,
    "restricted": HangupCause.REJECTED,
    "invalid_number": HangupCause.INVALID_NUMBER,
    "number_out_of_service": HangupCause.INVALID_NUMBER,
    "cannot_route": HangupCause.FAILED,
    "internal_error": HangupCause.FAILED,
}
# https://developer.vonage.com/en/voice/voice-api/concepts/advanced-machine-detection
SUB_STATES: Final = frozenset({"beep_start", "beep_timeout"})
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# Which words these fields may hold beside the status; any other is reported as unknown.
KNOWN_WORDS: Final[Mapping[str, Collection[str]]] = {
    "direction": DIRECTIONS,
    "sub_state": SUB_STATES,
}


class Vonage(Source):
    """The source `vonage`."""

    slug = "vonage"
    title = "Vonage"
    settings = (
        SourceSetting(
            name="vonage_signature_secret",
            description="Vonage signature secret; several, separated by commas, while rotating and for several accounts.",
        ),
    )
    # It tries once more when no answer came in time; after an error answer it does not.
    retry_policy = RetryPolicy(response_timeout_s=10)
    proof = "HMAC-SHA256 token (JWT) over time and hash of the body, with the signature secret"
    call_id_carrier = "the address, signed by us"
    has_address_per_call = True

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """Prove the message; raises `InvalidSignature`."""
        vonage_signature.verify(request, secrets, now)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by what its body says: the token differs with each try, and blanks between
        the fields are not proved.
        """
        fields = request.body_as(read_json_object)
        _refuse_ignored(fields)
        return MessageKeys(digest(vonage_signature.compact(request.body)), _source_call_id(fields))

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into its event; what else in it is not understood becomes events of type
        `UNKNOWN` beside it.
        """
        fields = request.body_as(read_json_object)
        _refuse_ignored(fields)
        common = _common(fields, message_id)
        if _is_recording(fields):
            # Nothing in a message tells one that was left from a recording of the talk; whoever
            # writes the NCCO can, in the address. It is not signed, and decides no more than this.
            return _record_events(common, fields, query_values(request, RECORD))
        words = {name: text(fields, name) for name in KNOWN_WORDS}
        strange = [
            unknown_event(common, word)
            for name, word in words.items()
            if word is not None and word not in KNOWN_WORDS[name]
        ]
        status = text(fields, "status")
        if "conversation_uuid_to" in fields:
            return [replace(common, vendor_status=TRANSFER), *strange]
        if status is None:
            raise MalformedPayload(
                "neither status, recording nor transfer: no event of a call; is this address an answer URL?"
            )
        if status not in STATUSES:
            return [unknown_event(common, status), *strange]
        return [*_status_events(common, fields, status), *strange]

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request, signed with the first secret. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        return vonage_signature.sign(request, secrets.values[0], now)


def _refuse_ignored(fields: Fields) -> None:
    if (text(fields, "to") or "").startswith(WEBSOCKET):
        raise IgnoredEvent("a leg to a WebSocket, where nobody picks up")
    if _is_recording(fields):
        if "recording_url" not in fields:
            raise IgnoredEvent("the transcript of a recording")
    elif text(fields, "status") in IGNORED_STATUSES or "dtmf" in fields or "speech" in fields:
        raise IgnoredEvent("a WebSocket that was closed, or keys and words that were taken in")
    elif "status" not in fields and ("reason" in fields or "payload" in fields):
        raise IgnoredEvent("an error in an NCCO, or a message that it sends itself")


def _is_recording(fields: Fields) -> bool:
    return "recording_url" in fields or "recording_uuid" in fields


def _source_call_id(fields: Fields) -> str:
    return call_id(
        text(fields, "conversation_uuid", "conversation_uuid_from"), name="conversation_uuid"
    )


def _common(fields: Fields, message_id: str) -> CallEvent:
    source_call_id = _source_call_id(fields)
    is_recording = _is_recording(fields)
    # A recording names no leg. It gets one of its own, that of whoever records: never the first
    # leg, nor the customer's.
    leg_id = (
        f"{source_call_id}:{RECORD}"
        if is_recording
        else call_id(text(fields, "uuid", "call_uuid"), name="uuid")
    )
    direction = DIRECTIONS.get(text(fields, "direction") or "")
    user = text(fields, "from_user")
    called = None if direction is Direction.INBOUND else _client(text(fields, "to"))
    return CallEvent(
        source="vonage",
        message_id=message_id,
        source_call_id=source_call_id,
        leg_id=leg_id,
        event_type=EventType.UPDATED,
        parent_leg_id=source_call_id if is_recording else None,
        party=Party.AGENT if is_recording else None,
        occurred_at=iso_moment(text(fields, "timestamp")),
        direction=direction,
        from_number=bare_to_e164(text(fields, "from")) if user is None else f"{CLIENT}{user}",
        to_number=bare_to_e164(text(fields, "to")) if called is None else f"{CLIENT}{called}",
        agent=user or called,
    )


def _client(address: str | None) -> str | None:
    """
    The user of the Client SDK that a leg calls: what is neither a number nor has a scheme is a
    user's name.
    """
    is_name = (
        address is not None
        and ":" not in address
        and "@" not in address
        and not NUMBER_SIGNS.issuperset(address)
    )
    return address if is_name else None


def _status_events(common: CallEvent, fields: Fields, word: str) -> list[CallEvent]:
    status = STATUSES[word]
    event = replace(
        common,
        event_type=status.event_type,
        sequence=status.sequence,
        vendor_status=word,
        hangup_cause=status.cause,
        answered_by=status.answered_by,
    )
    if word == COMPLETED:
        return [_completed(event, fields)]
    detail = text(fields, "detail")
    if status.event_type is not EventType.ENDED or detail is None:
        return [event]
    if detail not in DETAILS:
        return [event, unknown_event(common, detail)]
    return [replace(event, hangup_cause=DETAILS[detail], vendor_status=f"{word} {detail}")]


def _completed(event: CallEvent, fields: Fields) -> CallEvent:
    duration_s = whole_seconds(fields, "duration")
    # Without talk it says only that the leg is over: the failure beside it says why, and `answered`
    # whether somebody picked up. The caller's own leg is always completed.
    is_told = bool(duration_s) or event.direction is Direction.INBOUND
    return replace(
        event,
        occurred_at=iso_moment(text(fields, "end_time")) or event.occurred_at,
        hangup_cause=HangupCause.COMPLETED if is_told else None,
        duration_s=duration_s,
    )


def _record_events(common: CallEvent, fields: Fields, uses: Collection[str]) -> list[CallEvent]:
    started_at, ended_at = (
        iso_moment(text(fields, "start_time")),
        iso_moment(text(fields, "end_time")),
    )
    duration_s = (
        None
        if started_at is None or ended_at is None
        else max(0, round((ended_at - started_at).total_seconds()))
    )
    url = text(fields, "recording_url")
    event = replace(common, occurred_at=ended_at or common.occurred_at, vendor_status=RECORD)
    if VOICEMAIL in uses:
        told = replace(event, event_type=EventType.VOICEMAIL, voicemail=Voicemail(url, duration_s))
    else:
        recording = Recording(text(fields, "recording_uuid"), url, duration_s)
        told = replace(event, event_type=EventType.RECORDING, recording=recording)
    # Who records has done so. As long as that leg was open, a fault that is reported of it would
    # keep the whole call open.
    over = replace(event, event_type=EventType.ENDED)
    return [
        told,
        over,
        *(unknown_event(common, kind) for kind in sorted(uses) if kind != VOICEMAIL),
    ]
