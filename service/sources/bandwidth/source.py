"""
Bandwidth Voice: the webhooks of calls, transfers and recordings.

Nothing is signed: HTTP Basic credentials prove who sends, and no more. Events and fields:
https://dev.bandwidth.com/docs/voice/webhooks.
"""

import hmac
import re
import secrets as random_secrets
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from service.errors import IgnoredEvent, InvalidSignature, MalformedPayload
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
from service.sources.common import sip
from service.sources.common.fields import (
    Fields,
    child,
    iso_moment,
    text,
)
from service.sources.common.forms import query_values
from service.sources.common.ids import call_id, echoed_id
from service.sources.common.json_body import read_json_object
from service.sources.common.phone_numbers import to_e164
from service.sources.common.signatures import digest, one_header, read_base64
from service.sources.request import MessageKeys, Reply, WebhookRequest
from service.sources.settings import Secrets, SourceSetting

AUTHORIZATION: Final = "authorization"
SCHEME: Final = "Basic "
RECORD: Final = "record"
VOICEMAIL: Final = "voicemail"
HANGUP: Final = "hangup"
DISCONNECT: Final = "disconnect"
TRANSFER_ANSWER: Final = "transferAnswer"
TRANSFER_COMPLETE: Final = "transferComplete"
TRANSFER_DISCONNECT: Final = "transferDisconnect"
# A leg that a transfer made is told of under its own id, beside that of the call.
OF_A_NEW_LEG: Final = frozenset({TRANSFER_ANSWER, TRANSFER_DISCONNECT})
IGNORED_EVENTS: Final = frozenset(
    {
        "bridgeComplete",
        "bridgeTargetComplete",
        "dtmf",
        "gather",
        "redirect",
        "referComplete",
        "conferenceCreated",
        "conferenceRedirect",
        "conferenceMemberJoin",
        "conferenceMemberExit",
        "conferenceCompleted",
        "conferenceRecordingAvailable",
        "transcriptionAvailable",
    }
)
IGNORED_GROUPS: Final = ("conference", "stream", "transcription")
# The answer to these is not read; the answer to all others is BXML, which says how the live call
# goes on.
ASYNCHRONOUS: Final = frozenset(
    {
        DISCONNECT,
        TRANSFER_DISCONNECT,
        "machineDetectionComplete",
        "recordingAvailable",
        "dtmf",
        "transcriptionAvailable",
    }
)
EMPTY_BXML: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# https://dev.bandwidth.com/docs/voice/webhooks/disconnect: others may be added.
CAUSES: Final[Mapping[str, HangupCause]] = {
    HANGUP: HangupCause.COMPLETED,
    "busy": HangupCause.BUSY,
    "timeout": HangupCause.NO_ANSWER,
    "cancel": HangupCause.CANCELLED,
    "rejected": HangupCause.REJECTED,
    "callback-error": HangupCause.FAILED,
    "invalid-bxml": HangupCause.FAILED,
    "application-error": HangupCause.FAILED,
    "account-limit": HangupCause.FAILED,
    "node-capacity-exceeded": HangupCause.FAILED,
    "error": HangupCause.FAILED,
    "unknown": HangupCause.FAILED,
}
# Beside these a SIP code says more.
VAGUE_CAUSES: Final = frozenset({"error", "unknown", "rejected"})
# https://dev.bandwidth.com/docs/voice/webhooks/machineDetectionComplete
ANSWERERS: Final[Mapping[str, AnsweredBy | None]] = {
    "human": AnsweredBy.HUMAN,
    "answering-machine": AnsweredBy.MACHINE,
    "tone-detected": AnsweredBy.MACHINE,
    "silence": None,
    "timeout": None,
    "error": None,
}
# Whether there is something to hear.
RECORDING_STATUSES: Final[Mapping[str, bool]] = {
    "complete": True,
    "partial": True,
    "processing": False,
    "error": False,
    "deleted": False,
}
DURATION: Final = re.compile(
    r"PT(?:(\d{1,4})H)?(?:(\d{1,6})M)?(?:(\d{1,8}(?:\.\d{1,9})?)S)?", re.ASCII
)


def _check(text: str) -> str | None:
    return (
        None
        if all(text.partition(":")[::2])
        else "must be user and password with a colon between them, like hookuser:THEPASSWORD"
    )


class Bandwidth(Source):
    """The source `bandwidth`."""

    slug = "bandwidth"
    title = "Bandwidth"
    settings = (
        SourceSetting(
            name="bandwidth_credentials",
            description="User and password that Bandwidth sends, like `hookuser:THEPASSWORD`; several, separated by commas, while rotating.",
            check=_check,
            generate=lambda: f"demo:{random_secrets.token_hex(16)}",
        ),
    )
    # It tries once more when there was no connection; after an error answer it does not.
    retry_policy = RetryPolicy(response_timeout_s=15)
    proof = "HTTP Basic user and password; nothing is signed"
    call_id_carrier = "`tag` of the call; the address, signed by us"
    has_address_per_call = True
    requires_path_token = True
    challenge = 'Basic realm="buildr-calls", charset="UTF-8"'

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if user and password are one of the pairs that are set here.

        Raises `WrongMethod`, `UnsupportedContentType`, else `InvalidSignature`.
        """
        self.check_request(request)
        value = one_header(request, AUTHORIZATION)
        given = read_base64(value.removeprefix(SCHEME)) if value.startswith(SCHEME) else None
        if not given:
            raise InvalidSignature(f"{AUTHORIZATION} holds no user and password")
        matches = [hmac.compare_digest(pair.encode(), given) for pair in secrets.values]
        if not any(matches):
            raise InvalidSignature("user and password are not those that are set here")

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """Name the message by its body: Bandwidth numbers no events, and sends the same again."""
        fields = _fields(request)
        return MessageKeys(digest(request.body), _source_call_id(fields))

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into its events; what in it is not understood becomes events of type
        `UNKNOWN` beside them.
        """
        fields = _fields(request)
        common, id_fault = _common(fields, message_id)
        word, direction = _event_type(fields), text(fields, "direction")
        if word in RECORD_EVENTS:
            events = _record_events(common, fields, query_values(request, RECORD))
        elif word in READERS:
            events = READERS[word](replace(common, vendor_status=word), fields)
        else:
            events = [unknown_event(common, word)]
        strange = [each for each in (direction,) if each is not None and each not in DIRECTIONS] + (
            [id_fault] if id_fault else []
        )
        return events + [unknown_event(common, each) for each in strange]

    def reply(self, request: WebhookRequest) -> Reply:
        """
        Nothing where the answer is not read; else a BXML document without verbs, with which a live
        call does nothing more.
        """
        try:
            word = text(request.body_as(read_json_object), "eventType")
        except MalformedPayload:
            word = None
        return Reply(204) if word in ASYNCHRONOUS else Reply(200, EMPTY_BXML, "application/xml")

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request with the first user and password. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        pair = b64encode(secrets.values[0].encode()).decode()
        return replace(request, headers={**request.headers, AUTHORIZATION: (f"{SCHEME}{pair}",)})


def _fields(request: WebhookRequest) -> Fields:
    fields = request.body_as(read_json_object)
    word = _event_type(fields)
    if word in IGNORED_EVENTS or word.startswith(IGNORED_GROUPS):
        raise IgnoredEvent(
            "a step of a call that decides nothing, a conference, a stream or a transcript"
        )
    return fields


def _event_type(fields: Fields) -> str:
    word = text(fields, "eventType")
    if word is None:
        raise MalformedPayload("eventType is missing: no webhook of a call")
    return word


def _source_call_id(fields: Fields) -> str:
    parent = text(fields, "parentCallId")
    if parent is None and _event_type(fields) in OF_A_NEW_LEG:
        raise MalformedPayload(
            "parentCallId is missing: which call the transferred leg belongs to cannot be known"
        )
    return call_id(parent or text(fields, "callId"), name="callId")


def _common(fields: Fields, message_id: str) -> tuple[CallEvent, str | None]:
    source_call_id = _source_call_id(fields)
    own = call_id(text(fields, "callId"), name="callId")
    named, fault = echoed_id(text(fields, "tag"))
    direction = DIRECTIONS.get(text(fields, "direction") or "")
    event = CallEvent(
        source="bandwidth",
        message_id=message_id,
        source_call_id=source_call_id,
        leg_id=own,
        event_type=EventType.UPDATED,
        parent_leg_id=None if own == source_call_id else source_call_id,
        occurred_at=iso_moment(text(fields, "eventTime")),
        # A transferred leg always goes outwards, to an agent as to a customer. Only the first leg
        # tells which of them it calls.
        direction=direction if own == source_call_id else None,
        from_number=to_e164(text(fields, "from")),
        to_number=to_e164(text(fields, "to")),
        buildr_call_id=named,
    )
    return event, fault


def _begun(event: CallEvent, fields: Fields) -> list[CallEvent]:
    """When the leg began."""
    started_at = iso_moment(text(fields, "startTime"))
    return (
        []
        if started_at is None
        else [
            replace(
                event,
                event_type=EventType.CREATED,
                vendor_status="startTime",
                occurred_at=started_at,
            )
        ]
    )


def _initiate_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    return [
        replace(
            event,
            event_type=EventType.RINGING,
            occurred_at=iso_moment(text(fields, "startTime")) or event.occurred_at,
        )
    ]


def _answer_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    value = text(child(fields, "machineDetectionResult"), "value")
    answered = replace(
        event,
        event_type=EventType.ANSWERED,
        occurred_at=iso_moment(text(fields, "answerTime")) or event.occurred_at,
        answered_by=ANSWERERS.get(value or ""),
    )
    strange = [unknown_event(event, value)] if value is not None and value not in ANSWERERS else []
    return [*_begun(event, fields), answered, *strange]


def _machine_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    value = text(child(fields, "machineDetectionResult"), "value") or ""
    if value not in ANSWERERS:
        return [unknown_event(event, value)]
    return [
        replace(
            event,
            event_type=EventType.ANSWERED_BY,
            vendor_status=value,
            answered_by=ANSWERERS[value],
        )
    ]


def _disconnect_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    cause, answered_at = text(fields, "cause"), iso_moment(text(fields, "answerTime"))
    before = _begun(event, fields)
    if answered_at is not None:
        before.append(
            replace(
                event,
                event_type=EventType.ANSWERED,
                vendor_status="answerTime",
                occurred_at=answered_at,
            )
        )
    strange = [unknown_event(event, cause)] if cause is not None and cause not in CAUSES else []
    if strange and answered_at is None and event.parent_leg_id is not None:
        # Whether an agent's telephone was not reached, or the caller gave up first, only the cause
        # could say.
        return [*before, *strange]
    ended = replace(
        event,
        event_type=EventType.ENDED,
        vendor_status=(cause or event.vendor_status or "")[:MAX_WORD_LENGTH],
        occurred_at=iso_moment(text(fields, "endTime")) or event.occurred_at,
        hangup_cause=_cause(event, fields, cause),
    )
    # The leg is over for whatever cause; a strange word takes nothing away from that.
    return [*before, ended, *strange]


def _cause(event: CallEvent, fields: Fields, cause: str | None) -> HangupCause | None:
    if cause is None or cause not in CAUSES:
        return None
    if cause == HANGUP and text(fields, "answerTime") is None:
        # Our side put down what nobody had answered: gave up a call that rang, or turned a caller
        # away.
        return (
            HangupCause.REJECTED if event.direction is Direction.INBOUND else HangupCause.CANCELLED
        )
    is_invalid = cause in VAGUE_CAUSES and text(fields, "sipResponseCode") in sip.INVALID_NUMBER
    return HangupCause.INVALID_NUMBER if is_invalid else CAUSES[cause]


def _transfer_complete_events(event: CallEvent, fields: Fields) -> list[CallEvent]:
    # The id and the times are those of the leg that was transferred, the cause is that of the leg
    # that was called, whose own id is not given. Without a time, the message of that leg itself, if
    # it comes too, is believed before this one.
    cause = text(fields, "cause")
    called = replace(
        event,
        leg_id=f"{event.source_call_id}:transfer",
        parent_leg_id=event.source_call_id,
        occurred_at=None,
        direction=None,
        from_number=to_e164(text(fields, "transferCallerId")),
        to_number=to_e164(text(fields, "transferTo")),
    )
    if cause is None:
        return [event]
    if cause not in CAUSES:
        return [event, unknown_event(called, cause)]
    return [
        event,
        replace(
            called, event_type=EventType.ENDED, vendor_status=cause, hangup_cause=CAUSES[cause]
        ),
    ]


def _record_events(common: CallEvent, fields: Fields, uses: Collection[str]) -> list[CallEvent]:
    status, url, word = text(fields, "status"), text(fields, "mediaUrl"), text(fields, "eventType")
    duration_s = _seconds(text(fields, "duration"))
    strange = [unknown_event(common, kind) for kind in sorted(uses) if kind != VOICEMAIL]
    event = replace(
        common,
        vendor_status=word,
        occurred_at=iso_moment(text(fields, "endTime")) or common.occurred_at,
    )
    if status is not None and status not in RECORDING_STATUSES:
        return [unknown_event(common, status), *strange]
    if status is not None and not RECORDING_STATUSES[status]:
        return [replace(event, vendor_status=f"{word} {status}"), *strange]
    if VOICEMAIL in uses:
        return [
            replace(event, event_type=EventType.VOICEMAIL, voicemail=Voicemail(url, duration_s)),
            *strange,
        ]
    return [
        replace(
            event,
            event_type=EventType.RECORDING,
            recording=Recording(text(fields, "recordingId"), url, duration_s),
        ),
        *strange,
    ]


def _seconds(duration: str | None) -> int | None:
    """Whole seconds from a duration in ISO 8601, like PT1M20.056S; None if it is none."""
    found = DURATION.fullmatch(duration or "")
    if found is None or not any(found.groups()):
        return None
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return round(hours * 3600 + minutes * 60 + seconds)


READERS: Final[Mapping[str, Callable[[CallEvent, Fields], list[CallEvent]]]] = {
    "initiate": _initiate_events,
    "answer": _answer_events,
    "machineDetectionComplete": _machine_events,
    TRANSFER_ANSWER: _answer_events,
    TRANSFER_COMPLETE: _transfer_complete_events,
    TRANSFER_DISCONNECT: _disconnect_events,
    DISCONNECT: _disconnect_events,
}
# The page calls it one way and Bandwidth's own library another.
RECORD_EVENTS: Final = frozenset({"recordComplete", "recordingComplete", "recordingAvailable"})
