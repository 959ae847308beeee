"""
Quo, formerly OpenPhone: call webhooks of both generations, which describe the call as a whole.

Versioned (`data.resource`, `data.context`):
https://www.quo.com/docs/2026-03-30/webhooks-event-payloads. Legacy (`data.object`):
https://www.quo.com/docs/mdx/guides/webhooks for those made by the API,
https://support.quo.com/core-concepts/integrations/webhooks for those made in the app. Signatures
are in `service.sources.openphone_signature`, words in `service.sources.openphone_words`, and how a
message of either is laid out in `service.sources.openphone_message`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from service.errors import MalformedPayload
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
from service.sources.common import standard_webhooks as standard_signature
from service.sources.common.fields import (
    Fields,
    child,
    children,
    flag,
    iso_moment,
    text,
    texts,
    whole_seconds,
)
from service.sources.common.json_body import read_json_object
from service.sources.common.phone_numbers import to_e164
from service.sources.common.signatures import digest
from service.sources.openphone import signature as openphone_signature
from service.sources.openphone.payload import (
    Message,
    numbers,
    read_message,
    source_call_id,
    user,
)
from service.sources.openphone.vocabulary import (
    AI_AGENT,
    AI_HANDLED,
    CAUSES,
    COMPLETED,
    DIRECTIONS,
    INBOUND_ONLY,
    PROCESSED,
    STATUSES,
    SYSTEM_ACTOR,
    UNDECIDED,
    WORDS_OF_CALLS,
    WORDS_OF_WRITTEN,
    WRITTEN,
)
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.settings import Secrets, SourceSetting

# An end that says how the call ended counts before one that only says that nobody answered,
# whichever came first.
MISSED_SEQUENCE: Final = 1
COMPLETED_SEQUENCE: Final = 2


class OpenPhone(Source):
    """The source `openphone`."""

    slug = "openphone"
    title = "Quo (formerly OpenPhone)"
    settings = (
        SourceSetting(
            name="openphone_webhook_secret",
            description="Secrets of all Quo webhooks: `whsec_...` of versioned ones, plain base64 of legacy ones; more while rotating.",
            check=openphone_signature.check_secret,
            generate=standard_signature.make_secret,
        ),
    )
    # Versioned, eight tries within 27.6 hours, as public software has it; legacy ones are retried
    # at times that are not published. How long Quo waits is not published either.
    retry_policy = RetryPolicy(
        response_timeout_s=10, retry_delays_s=(5, 300, 1800, 7200, 18_000, 36_000, 36_000)
    )
    proof = (
        "HMAC-SHA256 over id, time and body (Standard Webhooks); of legacy ones over time and body"
    )

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if a secret of the message's own generation signed it within the last, or next, 300
        seconds.

        Raises `WrongMethod`, `UnsupportedContentType`, else `InvalidSignature`.
        """
        self.check_request(request)
        openphone_signature.verify(request, secrets, now)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by the id of its event, which retries keep and which all webhooks that are
        told of it share.

        The generation counts too, and the names of the fields, since one webhook may tell what
        another does not (legacy ones made in the app tell of voicemails, those made by the API do
        not); and the kind, since all of Quo's test events have one id.
        """
        message = read_message(request.body)
        name = source_call_id(message)
        if message.event_id is None:
            return MessageKeys(digest(request.body), name)
        told = json.dumps(sorted(message.resource))
        return MessageKeys(
            digest(
                "legacy" if message.is_legacy else "versioned", message.event_id, message.name, told
            ),
            name,
        )

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into events: one, or more where the end of a call also tells when it began
        and was answered, and what was recorded.

        A strange word beside what is understood becomes an event of type `UNKNOWN`.
        """
        message = read_message(request.body)
        common = _common(message, message_id)
        reader = READERS.get(message.name)
        direction = text(message.resource, "direction")
        if reader is None:
            return [unknown_event(common, message.name)]
        # Of a call that went neither way, no end says anything.
        if direction is not None and direction not in DIRECTIONS:
            return [unknown_event(common, direction)]
        return [
            *reader(common, message),
            *(unknown_event(common, word) for word in _strange(message)),
        ]

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request, signed with the first secret of its generation, or of the other where it
        has none. Raises ValueError.
        """
        if not secrets.values:
            raise self.no_secret()
        try:
            is_legacy = bool(child(request.body_as(read_json_object), "data", "object"))
        except MalformedPayload:
            is_legacy = False
        return openphone_signature.sign(request, secrets, now, is_legacy=is_legacy)


def _common(message: Message, message_id: str) -> CallEvent:
    own = source_call_id(message)
    direction = DIRECTIONS.get(text(message.resource, "direction") or "")
    if direction is None and message.name in INBOUND_ONLY:
        direction = Direction.INBOUND
    from_number, to_number = numbers(message, direction)
    return CallEvent(
        source="openphone",
        message_id=message_id,
        source_call_id=own,
        leg_id=own,
        event_type=EventType.UPDATED,
        occurred_at=message.created_at,
        direction=direction,
        # A message is about the call as a whole: it was answered if the two sides could talk.
        party=Party.CUSTOMER,
        from_number=to_e164(from_number),
        to_number=to_e164(to_number),
        agent=user(message.resource, "answeredByUserId", "answeredBy", "initiatedBy"),
        vendor_status=message.name,
    )


def _beginning(common: CallEvent, message: Message) -> CallEvent:
    # Whose number it is says who has the call only until it is known who took it.
    owner = user(message.resource, "userId") or user(message.context, "userId")
    return replace(common, agent=common.agent or owner)


def _strange(message: Message) -> list[str]:
    """
    The words beside the event's own that no table knows; a strange status of the call's end is
    reported by itself.
    """
    known = WORDS_OF_WRITTEN if message.name in WRITTEN else WORDS_OF_CALLS
    found = (
        (text(message.resource, name), table)
        for name, table in known.items()
        if (message.name, name) != (ENDED, "status")
    )
    return [word for word, table in found if word is not None and word not in table]


def _ringing(common: CallEvent, message: Message) -> list[CallEvent]:
    began_at = iso_moment(text(message.resource, "createdAt"))
    return [
        replace(
            _beginning(common, message),
            event_type=EventType.RINGING,
            occurred_at=began_at or common.occurred_at,
        )
    ]


def _answered(common: CallEvent, message: Message) -> list[CallEvent]:
    answered_at = iso_moment(text(message.resource, "answeredAt"))
    return [
        replace(
            _beginning(common, message),
            event_type=EventType.ANSWERED,
            occurred_at=answered_at or common.occurred_at,
        )
    ]


def _missed(common: CallEvent, message: Message) -> list[CallEvent]:
    begun = _beginning(common, message)
    return [
        replace(
            begun,
            event_type=EventType.ENDED,
            hangup_cause=HangupCause.NO_ANSWER,
            sequence=MISSED_SEQUENCE,
        )
    ]


def _updated(common: CallEvent, message: Message) -> list[CallEvent]:
    return [common]


def _completed(common: CallEvent, message: Message) -> list[CallEvent]:
    status = text(message.resource, "status")
    kept = _kept(common, message)
    if status is not None and status not in STATUSES:
        return [unknown_event(common, status), *kept]
    if status in UNDECIDED:
        return [replace(common, vendor_status=status), *kept]
    fields = message.resource
    began_at, answered_at, ended_at = (
        iso_moment(text(fields, name)) for name in ("createdAt", "answeredAt", "completedAt")
    )
    created = replace(
        _beginning(common, message),
        event_type=EventType.CREATED,
        vendor_status="createdAt",
        occurred_at=began_at,
    )
    answered = replace(
        common, event_type=EventType.ANSWERED, vendor_status="answeredAt", occurred_at=answered_at
    )
    cause = _cause(status, fields)
    ended = replace(
        common,
        event_type=EventType.ENDED,
        vendor_status=status or common.vendor_status,
        sequence=COMPLETED_SEQUENCE,
        occurred_at=ended_at or common.occurred_at,
        hangup_cause=cause,
        answered_by=AnsweredBy.MACHINE
        if common.direction is Direction.INBOUND and _is_by_ai(status, fields)
        else None,
        duration_s=_talk_s(
            answered_at,
            ended_at,
            whole_seconds(fields, "duration") if cause is HangupCause.COMPLETED else None,
        ),
    )
    return [*([created] if began_at else []), *([answered] if answered_at else []), *kept, ended]


def _cause(status: str | None, fields: Fields) -> HangupCause | None:
    if status != COMPLETED:
        return CAUSES.get(status or "")
    # Legacy messages write null where nobody answered; without the field it is not told.
    if "answeredAt" in fields and fields["answeredAt"] is None:
        return HangupCause.NO_ANSWER
    return None if text(fields, "answeredAt") is None else HangupCause.COMPLETED


def _is_by_ai(status: str | None, fields: Fields) -> bool:
    actor = text(fields, "answeredBy") or ""
    return (
        status == AI_HANDLED
        or text(fields, "aiHandled") == AI_AGENT
        or actor.startswith(SYSTEM_ACTOR)
    )


def _talk_s(
    answered_at: datetime | None, ended_at: datetime | None, stated_s: int | None
) -> int | None:
    # The stated duration of legacy calls has been seen to hold the ringing too.
    if answered_at is None or ended_at is None:
        return stated_s
    return max(0, round((ended_at - answered_at).total_seconds()))


def _kept(common: CallEvent, message: Message) -> list[CallEvent]:
    """What was recorded of a call: a caller's voicemail, the talk."""
    fields = message.resource
    voicemail = child(fields, "voicemail")
    left = (
        _voicemail_of(voicemail)
        if voicemail
        else Voicemail()
        if flag(fields, "hasVoicemail")
        else None
    )
    first = (
        [] if left is None else [replace(common, event_type=EventType.VOICEMAIL, voicemail=left)]
    )
    return [*first, *_recordings(common, fields)]


def _recordings(common: CallEvent, fields: Fields) -> list[CallEvent]:
    # A call that was paused has one for each part; webhooks made in the app call them media.
    found = children(fields, "recordings") or children(fields, "media")
    return [
        replace(
            common,
            event_type=EventType.RECORDING,
            occurred_at=iso_moment(text(each, "startTime")) or common.occurred_at,
            recording=Recording(
                text(each, "id"), text(each, "url"), whole_seconds(each, "duration")
            ),
        )
        for each in found
        if text(each, "id", "url") is not None
    ]


def _recorded(common: CallEvent, message: Message) -> list[CallEvent]:
    return _recordings(common, message.resource) or [common]


def _left(common: CallEvent, message: Message) -> list[CallEvent]:
    return [
        replace(common, event_type=EventType.VOICEMAIL, voicemail=_voicemail_of(message.resource))
    ]


def _voicemail_of(fields: Fields) -> Voicemail:
    return Voicemail(
        text(fields, "recordingUrl", "url"),
        whole_seconds(fields, "duration"),
        text(fields, "transcript"),
    )


def _summarised(common: CallEvent, message: Message) -> list[CallEvent]:
    fields = message.resource
    if text(fields, "processingStatus", "status") not in {None, PROCESSED}:
        return [common]
    lines = [
        *texts(fields, "summary"),
        *(f"Next step: {each}" for each in texts(fields, "nextSteps")),
    ]
    return [replace(common, note="\n".join(lines) or None)]


ENDED: Final = "call.completed"
READERS: Final[Mapping[str, Callable[[CallEvent, Message], list[CallEvent]]]] = {
    "call.ringing": _ringing,
    "call.answered": _answered,
    "call.missed": _missed,
    ENDED: _completed,
    # Only one that has completed a call ends it: what was recorded and written of it has its own.
    "call.forwarded": _updated,
    "call.menu.selected": _updated,
    "call.recording.completed": _recorded,
    "call.voicemail.completed": _left,
    "call.summary.completed": _summarised,
    "call.transcript.completed": _updated,
}
