"""
The shape of RingCentral's messages of telephony sessions, as far as it is read here, and the
readers of the envelope.

Fields: https://developers.ringcentral.com/guide/voice/telephony-session-notifications. The types
are what RingCentral documents; the readers accept any value.
"""

from typing import Final, TypedDict

from service.errors import IgnoredEvent
from service.sources.common.fields import Fields, child, children, text
from service.sources.common.ids import call_id
from service.sources.ringcentral.parties import Member, is_internal, read_member
from service.sources.ringcentral.vocabulary import (
    IGNORED_EVENTS,
    IGNORED_ORIGINS,
    REMINDER,
    SESSIONS,
)

# What identifies a change of a session: the rest of a message differs between subscriptions.
CHANGE_FIELDS: Final = ("telephonySessionId", "sequence", "eventTime", "parties")


class EndData(TypedDict, total=False):
    """Who calls or is called; `extensionId` is one of our account."""

    phoneNumber: str
    extensionId: str
    name: str


class StatusData(TypedDict, total=False):
    """What a party does: a `code` of `CODES`, at times with a `reason` of `REASONS`."""

    code: str
    reason: str


class RecordingData(TypedDict, total=False):
    """A recording; its URL would need an access token of RingCentral's API."""

    id: str


# One party of a session, with its own view of it. `id` ends with the party's number in the session,
# counted from 1; only a party of our account has an `extensionId`.
PartyData = TypedDict(
    "PartyData",
    {
        "id": str,
        "extensionId": str,
        "direction": str,
        "from": EndData,
        "to": EndData,
        "status": StatusData,
        "missedCall": bool,
        "queueCall": bool,
        "recordings": list[RecordingData],
    },
    total=False,
)


class OriginData(TypedDict, total=False):
    """How a session began: a `type` of `ORIGINS` or `IGNORED_ORIGINS`."""

    type: str


class SessionData(TypedDict, total=False):
    """
    A change of a session: the parties that changed. `eventTime` is in ISO 8601 (UTC), `sequence`
    counts the changes of the session.
    """

    telephonySessionId: str
    sequence: int
    eventTime: str
    origin: OriginData
    parties: list[PartyData]


class SessionMessage(TypedDict, total=False):
    """
    A notification. `event` is the path of the filter that it passed; `timestamp` in ISO 8601 is
    when it was sent.
    """

    event: str
    timestamp: str
    body: SessionData


def session_id(body: Fields) -> str:
    """The id of the session, which is that of the call; raises `MalformedPayload`."""
    return call_id(text(body, "telephonySessionId"), name="telephonySessionId")


def origin_type(body: Fields) -> str | None:
    """How the session began."""
    return text(child(body, "origin"), "type")


def event_path(fields: Fields) -> str | None:
    """The filter that a message passed, without its parameters; None if it names none."""
    event = text(fields, "event")
    if event is None:
        return None
    return event.partition("?")[0]


def is_about_session(path: str | None) -> bool:
    """Whether a message is about a session; one that names no filter is taken for one."""
    return path is None or path.endswith(SESSIONS)


def read_members(fields: Fields) -> list[tuple[Fields, Member | None]]:
    """
    The parties of a call with a customer, each with its role, None where that cannot be known.

    Raises `IgnoredEvent` for a message that is not about a session, and for a call between our own
    extensions.
    """
    _refuse_other_events(event_path(fields))
    body = child(fields, "body")
    origin = origin_type(body)
    if origin in IGNORED_ORIGINS:
        raise IgnoredEvent("a conference or a call of RingCentral's own")
    parties = children(body, "parties")
    members = [
        (party, read_member(party, origin)) for party in parties if not is_internal(party, origin)
    ]
    if parties and not members:
        raise IgnoredEvent("a call between our own extensions")
    return members


def _refuse_other_events(path: str | None) -> None:
    """
    Raises `IgnoredEvent` for an event of `IGNORED_EVENTS`; one that no table knows is reported
    later.
    """
    if path is None or is_about_session(path):
        return
    for ending, description in IGNORED_EVENTS.items():
        if path.endswith(ending):
            raise IgnoredEvent(description)
    if path.startswith(REMINDER):
        raise IgnoredEvent("a reminder that the subscription will end")
