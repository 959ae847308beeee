"""
Reading the messages of Quo, formerly OpenPhone, of both generations: what a message is about, which
call it names, and who is in it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.errors import IgnoredEvent, MalformedPayload
from service.events import Direction
from service.sources.common.fields import (
    Fields,
    child,
    iso_moment,
    text,
    texts,
)
from service.sources.common.ids import call_id
from service.sources.common.json_body import read_json_object
from service.sources.openphone.vocabulary import IGNORED_FAMILIES, NAME_NO_CALL, SYSTEM_ACTOR

CALLER_AND_CALLED: Final = 2


@dataclass(frozen=True, slots=True)
class Message:
    """
    A message of either generation: `resource` is what it is about, `context` what stands beside
    that in versioned ones.
    """

    name: str
    event_id: str | None
    is_legacy: bool
    created_at: datetime | None
    resource: Fields
    context: Fields


def read_message(body: bytes) -> Message:
    """
    Read a body; raises `IgnoredEvent` for what is about no call, `MalformedPayload` for what cannot
    be read or has no type.
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
        resource=legacy if is_legacy else resource,
        context=child(data, "context") or child(fields, "context"),
    )


def source_call_id(message: Message) -> str:
    """The id of the call that a message is about; raises `MalformedPayload` where it names none."""
    # A voicemail has an id of its own, which is not its call's.
    names = ("callId",) if message.name in NAME_NO_CALL else ("callId", "id")
    return call_id(text(message.resource, *names), name=names[-1])


def numbers(message: Message, direction: Direction | None) -> tuple[str | None, str | None]:
    """The numbers of who called and who was called, as they are written."""
    caller, called = text(message.resource, "from"), text(message.resource, "to")
    if caller is not None or called is not None or direction is None:
        return caller, called
    people = texts(message.resource, "participants")
    if len(people) == CALLER_AND_CALLED:
        return people[0], people[1]
    sides = child(message.context, "participants")
    # Of more than two, which is not said to be the other side's cannot be told.
    theirs = next(iter(texts(sides, "external")), people[0] if len(people) == 1 else None)
    ours = next(iter(texts(sides, "workspace")), None)
    return (ours, theirs) if direction is Direction.OUTBOUND else (theirs, ours)


def user(fields: Fields, *names: str) -> str | None:
    """The first of the fields that names a user, who is a person."""
    users = (each for each in (text(fields, name) for name in names) if each is not None)
    return next((each for each in users if not each.startswith(SYSTEM_ACTOR)), None)
