"""
The shape of Aircall's messages, as far as it is read here, and the readers of it.

Fields: https://developer.aircall.io/docs/work-with-call-data. The types are what Aircall documents;
the readers accept any value and return None for one of another type.
"""

from typing import TypedDict

from service.errors import IgnoredEvent, MalformedPayload
from service.sources.aircall.vocabulary import AI_AGENT_EVENTS, CALL_PREFIX, SUMMARY
from service.sources.common.fields import Fields, child, children, text
from service.sources.common.ids import call_id


class UserData(TypedDict, total=False):
    """An agent."""

    name: str
    email: str


class TeamData(TypedDict, total=False):
    """A team that the number distributes its calls to."""

    name: str


class NumberData(TypedDict, total=False):
    """The number of ours that called or was called, like `+1 500-555-0006`."""

    digits: str


class TagData(TypedDict, total=False):
    """A tag that an agent chose for the call."""

    name: str


class CommentData(TypedDict, total=False):
    """A note that an agent wrote on the call."""

    content: str


class CallData(TypedDict, total=False):
    """
    A whole call as it was when the message was sent.

    `started_at`, `answered_at` and `ended_at` are seconds since 1970 (UTC). `raw_digits` is the
    customer's number, or `anonymous`. `recording` and `voicemail` are URLs that expire after ten
    minutes, `asset` is the page in Aircall that shows the same file and does not expire.
    """

    id: int
    direction: str
    started_at: int
    answered_at: int | None
    ended_at: int | None
    missed_call_reason: str | None
    raw_digits: str
    number: NumberData
    user: UserData | None
    teams: list[TeamData]
    tags: list[TagData]
    comments: list[CommentData]
    recording: str | None
    voicemail: str | None
    asset: str | None


class AIVoiceAgentData(TypedDict, total=False):
    """
    What Aircall's AI voice agent did in a call, whose id is `call_id`. `call_end_reason` is there
    once its part has ended.
    """

    call_id: int
    ai_voice_agent_name: str
    call_end_reason: str


class CallMessage(TypedDict, total=False):
    """
    A message about a call. `timestamp` is in seconds since 1970 (UTC), `token` that of the webhook.
    """

    event: str
    timestamp: int
    token: str
    data: CallData


def event_name(fields: Fields) -> str:
    """
    The name of the event, one of a call, `SUMMARY` or one of `AI_AGENT_EVENTS`.

    Raises `IgnoredEvent` for an event that is not about a call, `MalformedPayload` if the name is
    missing.
    """
    name = text(fields, "event")
    if name is None:
        # Callbacks of numbers that send text messages through the API have this field instead.
        if text(fields, "event_name") is not None:
            raise IgnoredEvent("a callback about a text message, not a call")
        raise MalformedPayload("event is missing or no text")
    if name not in {SUMMARY, *AI_AGENT_EVENTS} and not name.startswith(CALL_PREFIX):
        raise IgnoredEvent("about something else than a call, or an analysis of its talk")
    return name


def source_call_id(fields: Fields) -> str:
    """
    The id of the call that a message is about.

    Raises `IgnoredEvent` for a summary that has no text, and where a summary or an AI voice agent
    names no call, and as `event_name` does; `MalformedPayload` for a call without an id.
    """
    data = child(fields, "data")
    name = event_name(fields)
    if name in AI_AGENT_EVENTS:
        ai_call_id = text(data, "call_id")
        if ai_call_id is None:
            raise IgnoredEvent("an AI voice agent's part in no call")
        return call_id(ai_call_id, name="data.call_id")
    if name != SUMMARY:
        return call_id(text(data, "id"), name="data.id")
    summarised_call_id = text(data, "call_id") or text(child(data, "call"), "id")
    if summarised_call_id is None or summary_text(fields) is None:
        raise IgnoredEvent("a summary without a text or a call")
    return call_id(summarised_call_id, name="data.call_id")


def summary_text(fields: Fields) -> str | None:
    """What a summary says; None if it is empty."""
    data = child(fields, "data")
    return text(data, "content") or text(child(data, "summary"), "content")


def agent_name(data: Fields) -> str | None:
    """
    Email or name of the agent whose telephone rings, or who took or made the call.

    Whom the call was assigned to afterwards says nothing of that.
    """
    return text(child(data, "user"), "email", "name")


def team_name(data: Fields) -> str | None:
    """The name of the team that the call went to; None where there are several."""
    teams = children(data, "teams")
    if len(teams) != 1:
        return None
    return text(teams[0], "name")


def tag_names(data: Fields) -> tuple[str, ...]:
    """All tags that the call has by then."""
    names = (text(tag, "name") for tag in children(data, "tags"))
    return tuple(name for name in names if name is not None)


def comment_texts(data: Fields) -> tuple[str, ...]:
    """All comments that the call has by then, in order."""
    contents = (text(comment, "content") for comment in children(data, "comments"))
    return tuple(content for content in contents if content is not None)
