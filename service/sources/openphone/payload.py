"""
The messages of Quo, formerly OpenPhone, of both generations: their shape, the call that one names,
and who is in it.

A field may be absent or of another type than documented: each is read by `common.fields`.
"""

from datetime import datetime
from typing import Final, TypedDict

from msgspec import Struct

from service.errors import IgnoredEvent, MalformedPayload
from service.events import Direction
from service.sources.common.fields import Fields, child, iso_moment, text, texts
from service.sources.common.ids import call_id
from service.sources.common.json_body import read_json_object
from service.sources.common.leg_events import from_and_to
from service.sources.openphone.vocabulary import IGNORED_FAMILIES, NAME_NO_CALL, SYSTEM_ACTOR

CALLER_AND_CALLED: Final = 2


class Recording(TypedDict, total=False):
    """A part of a call's recording, or a voicemail; `duration` in seconds."""

    id: str
    url: str
    recordingUrl: str
    startTime: str
    duration: int
    transcript: str


# Of both generations.
# Versioned: https://www.quo.com/docs/2026-03-30/webhooks-event-payloads
# Legacy, with `from`, `to` and `media`: https://www.quo.com/docs/mdx/guides/webhooks
# Times are in ISO 8601, UTC; users are ids that start with US, Quo's own actors start with SY.
Resource = TypedDict(
    "Resource",
    {
        "id": str,
        "callId": str,
        "status": str,
        "processingStatus": str,
        "direction": str,
        "from": str,
        "to": str,
        "participants": list[str],
        "createdAt": str,
        "answeredAt": str | None,
        "completedAt": str,
        "duration": int,
        "userId": str,
        "answeredByUserId": str,
        "answeredBy": str,
        "initiatedBy": str,
        "aiHandled": str,
        "hasVoicemail": bool,
        "voicemail": Recording,
        "recordings": list[Recording],
        "media": list[Recording],
        "summary": list[str],
        "nextSteps": list[str],
    },
    total=False,
)


class Participants(TypedDict, total=False):
    """The numbers of the two sides of a call."""

    external: list[str]
    workspace: list[str]


class Context(TypedDict, total=False):
    """What a versioned message holds beside its resource."""

    userId: str
    participants: Participants


class Data(TypedDict, total=False):
    """`resource` and `context` of a versioned message, `object` of a legacy one."""

    resource: Resource
    context: Context
    object: Resource


class Webhook(TypedDict, total=False):
    """The body of a message of either generation."""

    id: str
    type: str
    createdAt: str
    data: Data


class Message(Struct, frozen=True):
    """
    A message of either generation: `name` is its `type`, `resource` the call, recording or text
    that it is about, `context` what versioned ones hold beside that.
    """

    name: str
    event_id: str | None
    is_legacy: bool
    created_at: datetime | None
    resource: Fields
    context: Fields


def read_message(body: bytes) -> Message:
    """
    Read a body; for `request.body_as`.

    Raises `IgnoredEvent` for what is about no call, `MalformedPayload` for what cannot be read or
    has no type.
    """
    fields = read_json_object(body)
    name = text(fields, "type")
    if name is None:
        raise MalformedPayload("type is missing")
    if name.partition(".")[0] in IGNORED_FAMILIES:
        raise IgnoredEvent("a text message, a contact or a task, not a call")
    data = child(fields, "data")
    # Some of Quo's own examples have the two beside the id.
    resource = child(data, "resource") or child(fields, "resource")
    legacy = child(data, "object")
    is_legacy = bool(legacy) and not resource
    return Message(
        name=name,
        event_id=text(fields, "id"),
        is_legacy=is_legacy,
        created_at=iso_moment(text(fields, "createdAt")),
        resource=resource or legacy,
        context=child(data, "context") or child(fields, "context"),
    )


def source_call_id(message: Message) -> str:
    """The id of the call that a message is about; raises `MalformedPayload` where it names none."""
    # A voicemail has an id of its own, which is not its call's.
    if message.name in NAME_NO_CALL:
        return call_id(text(message.resource, "callId"), name="callId")
    return call_id(text(message.resource, "callId", "id"), name="id")


def numbers(message: Message, direction: Direction | None) -> tuple[str | None, str | None]:
    """The numbers of who called and who was called, in this order, as they are written."""
    caller = text(message.resource, "from")
    called = text(message.resource, "to")
    if caller is not None or called is not None or direction is None:
        return caller, called
    participants = texts(message.resource, "participants")
    if len(participants) == CALLER_AND_CALLED:
        return participants[0], participants[1]
    sides = child(message.context, "participants")
    customers = texts(sides, "external")
    if not customers and len(participants) == 1:
        # Of more than two it is not known which is the customer.
        customers = participants
    return from_and_to(
        direction,
        customer=next(iter(customers), None),
        ours=next(iter(texts(sides, "workspace")), None),
    )


def user(fields: Fields, *names: str) -> str | None:
    """The first of the fields that names a user, who is a person; None if none does."""
    for name in names:
        actor = text(fields, name)
        if actor is not None and not actor.startswith(SYSTEM_ACTOR):
            return actor
    return None
