"""
Calls in the terms of this project: the one event that every source's messages are turned into.

A `CallEvent` is what one telephony system reported about one leg of one call, in our vocabulary. It
holds nothing of Buildr's outcomes; how several events make a call is in `workers.calls`.
"""

from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Annotated, Final

import msgspec
from msgspec import DecodeError, Meta, Struct, field
from msgspec.structs import fields, replace

from service.errors import MalformedPayload
from service.plain_values import plain_fields

VERSION: Final = 1


class EventType(StrEnum):
    """
    What happened to a leg of a call.

    `bridged` says that it was joined with one other leg, `joined` and `left` that it came into a
    conference and went out of it: that alone does not show that somebody else was there.
    """

    CREATED = "created"
    RINGING = "ringing"
    ANSWERED = "answered"
    BRIDGED = "bridged"
    ENDED = "ended"
    ANSWERED_BY = "answered_by"
    RECORDING = "recording"
    VOICEMAIL = "voicemail"
    JOINED = "joined"
    LEFT = "left"
    UPDATED = "updated"
    UNKNOWN = "unknown"


class Direction(StrEnum):
    """
    Who called whom, seen from the customer of this service: `outbound` is a rep calling somebody.
    """

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class AnsweredBy(StrEnum):
    """Who or what picked up, where the source is sure of it."""

    HUMAN = "human"
    MACHINE = "machine"
    FAX = "fax"


class HangupCause(StrEnum):
    """
    Why a leg ended; `completed` means that it had been answered.

    `hung_up` is for a source that does not say which of the two it was: `completed` where an answer
    was reported, else `cancelled`. It counts only where no other end of the leg says more.
    """

    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INVALID_NUMBER = "invalid_number"
    HUNG_UP = "hung_up"


class Party(StrEnum):
    """The role of a leg's party: the customer at the other company, or an agent of our own."""

    CUSTOMER = "customer"
    AGENT = "agent"


class Result(StrEnum):
    """
    How the telephone call as a whole ended.

    No source states `unknown_end`: it is the result of a call whose end never came, after the time
    that the operator set.
    """

    CONNECTED = "connected"
    LEFT_VOICEMAIL = "left_voicemail"
    VOICEMAIL_RECEIVED = "voicemail_received"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INVALID_NUMBER = "invalid_number"
    MISSED_INBOUND = "missed_inbound"
    ABANDONED = "abandoned"
    UNKNOWN_END = "unknown_end"


# The results that a source may state.
STATED_RESULTS: Final = tuple(result for result in Result if result is not Result.UNKNOWN_END)


# A time that is stored: read back, it has a time zone; all that is written here is in UTC.
UtcDatetime = Annotated[datetime, Meta(tz=True)]


class Recording(Struct, frozen=True, omit_defaults=True):
    """A recording of a call; `duration_s` in seconds."""

    recording_id: str | None = None
    url: str | None = None
    duration_s: int | None = None


class Voicemail(Struct, frozen=True, omit_defaults=True):
    """A message that a caller left for us; `duration_s` in seconds."""

    url: str | None = None
    duration_s: int | None = None
    transcript: str | None = None


class CallEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One thing that a source reported about one leg of a call.

    `source_call_id` is the call that the event belongs to (the parent leg's id where legs have ids
    of their own), `leg_id` the leg it is about. `from_number` and `to_number` are E.164 where the
    source named a telephone number, else the address as it came (`client:alice`, `sip:...`).
    `duration_s` is the leg's talk time in seconds. `occurred_at` is the vendor's time of the event
    (UTC), not when its message came. `sequence` orders the events of one leg where their times
    cannot; it is the vendor's number, or one that the source makes from the order of its events.
    `tags` are those that agents gave the call, in the vendor's order. `vendor_status` is the
    vendor's own name for what happened, for an operator. `result` is set only by a source that
    states the outcome of the whole call. A field that the message does not carry is None, never a
    guess.

    `conference_id` names the conference of a `JOINED` or `LEFT` event. `wait_s` is how long the
    other side waited until the call was taken or given up, in seconds, where the vendor states it.
    `queue` and `team` are the names under which a call was distributed to agents, `hung_up_by` who
    hung up first. `is_transferred`: an agent passed the call on to somebody else; `is_forwarded`:
    it went to another number by a setting, before anybody took it; `is_answered_elsewhere`: it was
    picked up at a telephone other than this leg's. `is_bridged` is False where the vendor states
    that the leg was never joined with the other side, although somebody or something picked up.
    `continues_as` is the id of the call under which the leg's later events come, where it moves.
    `is_logged` is True where the event was read from the vendor's call log, and not from a webhook.
    """

    source: str
    message_id: str
    source_call_id: str
    leg_id: str
    event_type: EventType
    parent_leg_id: str | None = None
    occurred_at: UtcDatetime | None = None
    sequence: int | None = None
    direction: Direction | None = None
    party: Party | None = None
    from_number: str | None = None
    to_number: str | None = None
    duration_s: int | None = None
    answered_by: AnsweredBy | None = None
    hangup_cause: HangupCause | None = None
    result: Result | None = None
    recording: Recording | None = None
    voicemail: Voicemail | None = None
    agent: str | None = None
    disposition: str | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None
    buildr_call_id: str | None = None
    conference_id: str | None = None
    wait_s: int | None = None
    queue: str | None = None
    team: str | None = None
    hung_up_by: Party | None = None
    is_transferred: bool | None = None
    is_forwarded: bool | None = None
    is_answered_elsewhere: bool | None = None
    is_bridged: bool | None = None
    continues_as: str | None = None
    is_logged: bool | None = None
    # The name under which stored events and `--json` hold it.
    vendor_status: str | None = field(default=None, name="word")


class _Envelope(Struct, frozen=True):
    v: int
    events: tuple[CallEvent, ...]


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
NO_IDENTITY: Final = {"message_id"}
# What `identity` returns, in this order.
IDENTITY_FIELDS: Final = tuple(
    item.name for item in fields(CallEvent) if item.name not in NO_IDENTITY
)
_read_identity: Final = attrgetter(*IDENTITY_FIELDS)


def to_json(events: tuple[CallEvent, ...] | list[CallEvent]) -> str:
    """Write events down, with the version of their form."""
    return msgspec.json.encode(_Envelope(VERSION, tuple(events))).decode()


def in_utc(event: CallEvent) -> CallEvent:
    """The event with its time in UTC, in whatever zone it was written."""
    occurred_at = event.occurred_at
    if occurred_at is None or occurred_at.tzinfo is UTC:
        return event
    return replace(event, occurred_at=occurred_at.astimezone(UTC))


def identity(event: CallEvent) -> tuple[object, ...]:
    """
    What two events with times in UTC share exactly if they report the same: the message that
    brought one of them does not count.
    """
    return _read_identity(event)


def identity_text(event: CallEvent) -> bytes:
    """The same as a text, by which events can be ordered."""
    return msgspec.json.encode(replace(event, message_id=""))


def from_json(text: str | bytes) -> tuple[CallEvent, ...]:
    """
    Read events back; the inverse of `to_json`.

    Raises `MalformedPayload` if the text is not ours or was written by a newer version.
    """
    try:
        envelope = _ENVELOPE.decode(text)
    except DecodeError as err:
        raise MalformedPayload("stored events cannot be read") from err
    if envelope.v > VERSION:
        raise MalformedPayload(
            f"stored events have version {envelope.v}, this program knows up to {VERSION}: "
            "upgrade the workers first"
        )
    return tuple(map(in_utc, envelope.events))


def as_dict(event: CallEvent) -> dict[str, object]:
    """
    An event as plain JSON values for the CLI: every field present, times in ISO 8601,
    `vendor_status` under its stored name `word`.
    """
    return plain_fields(event)
