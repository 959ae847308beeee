"""
The calls that are measured with: five events each, seven ways to end, in an order of chance that is
the same in every run.
"""

import asyncio
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from service.errors import FailureCause
from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import load_installation
from service.sources.request import WebhookRequest
from service.store.connection import open_store
from service.store.messages import Message, message_id

EVENTS_PER_CALL: Final = 5
FIRST_BUILDR_CALL: Final = 5000
AT_ONCE: Final = 500
URL: Final = "https://hooks.example.test/webhooks/standard"
CONNECTED = "786"
LEFT_VOICEMAIL = "787"
VOICEMAIL_RECEIVED = "788"
NO_ANSWER = "789"
BUSY = "790"
WRONG_NUMBER = "791"
MISSED = "792"

Event = Mapping[str, object]
_AGENT: Final[Event] = {"type": "call.updated", "agent": "rep-7"}
_NOTE: Final[Event] = {"type": "call.updated", "note": "asked for the site plan"}
_CREATED: Final[Event] = {"type": "call.created"}
_RINGING: Final[Event] = {"type": "call.ringing"}
_ANSWERED: Final[Event] = {"type": "call.answered"}


def _ended(cause: str, **more: object) -> Event:
    return {"type": "call.ended", "hangup_cause": cause, **more}


# Each way to end: the direction, what happens in this order, and what Buildr shall hold in the end.
CALL_KINDS: Final[Sequence[tuple[str, Sequence[Event], str]]] = (
    (
        "outbound",
        (
            _CREATED,
            _RINGING,
            _ANSWERED,
            {"type": "call.answered_by", "answered_by": "human"},
            _ended("completed", duration_s=49),
        ),
        CONNECTED,
    ),
    (
        "outbound",
        (
            _CREATED,
            _RINGING,
            _ANSWERED,
            {"type": "call.answered_by", "answered_by": "machine"},
            _ended("completed", duration_s=21),
        ),
        LEFT_VOICEMAIL,
    ),
    (
        "inbound",
        (
            _CREATED,
            _RINGING,
            _AGENT,
            _ended("no_answer"),
            {"type": "call.voicemail", "voicemail": {"duration_s": 12}},
        ),
        VOICEMAIL_RECEIVED,
    ),
    ("outbound", (_CREATED, _RINGING, _AGENT, _NOTE, _ended("no_answer")), NO_ANSWER),
    ("outbound", (_CREATED, _RINGING, _AGENT, _NOTE, _ended("busy")), BUSY),
    ("outbound", (_CREATED, _RINGING, _AGENT, _NOTE, _ended("invalid_number")), WRONG_NUMBER),
    ("inbound", (_CREATED, _RINGING, _AGENT, _NOTE, _ended("no_answer")), MISSED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    One call: its events in the order in which they happened, and the id of the outcome that is
    right.
    """

    source_call_id: str
    buildr_call_id: str
    outcome_id: str
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """One event on its way in; `number` is its place within the call."""

    case: Case
    number: int

    @property
    def event(self) -> Event:
        """What it says."""
        return self.case.events[self.number]


def make_cases(count: int, *, seed: int = 1) -> list[Case]:
    """So many calls, each ending in a way that chance chooses."""
    rng = random.Random(seed)
    began_at = datetime.now(UTC) - timedelta(minutes=10)
    return [_case(place, rng.choice(CALL_KINDS), began_at) for place in range(count)]


def _case(place: int, call_kind: tuple[str, Sequence[Event], str], began_at: datetime) -> Case:
    direction, events, outcome_id = call_kind
    buildr_call_id = str(FIRST_BUILDR_CALL + place)
    common = {
        "version": "1",
        "call_id": f"bench-{place}",
        "direction": direction,
        "buildr_call_id": buildr_call_id,
    }
    dated = tuple(
        {
            **common,
            "sequence": number,
            "occurred_at": (began_at + timedelta(seconds=number)).isoformat(timespec="seconds"),
            **event,
        }
        for number, event in enumerate(events)
    )
    return Case(
        source_call_id=f"bench-{place}",
        buildr_call_id=buildr_call_id,
        outcome_id=outcome_id,
        events=dated,
    )


def shuffled(cases: Sequence[Case], *, seed: int = 2) -> list[Put]:
    """Every event of all calls, in an order of chance."""
    puts = [Put(case=case, number=number) for case in cases for number in range(len(case.events))]
    random.Random(seed).shuffle(puts)
    return puts


def patch_of(event: Event) -> dict[str, str]:
    """
    What a project without state writes to Buildr when it sees this event alone.

    Chosen in its favour: a call whose events come in their order ends with the right outcome.
    """
    match event["type"]:
        case "call.answered":
            return {"call_outcome_id": CONNECTED}
        case "call.answered_by":
            return {
                "call_outcome_id": LEFT_VOICEMAIL
                if event["answered_by"] == "machine"
                else CONNECTED
            }
        case "call.voicemail":
            return {"call_outcome_id": VOICEMAIL_RECEIVED}
        case "call.ended" if event["hangup_cause"] != "completed":
            unanswered = MISSED if event["direction"] == "inbound" else NO_ANSWER
            causes = {"no_answer": unanswered, "busy": BUSY, "invalid_number": WRONG_NUMBER}
            return {"call_outcome_id": causes[str(event["hangup_cause"])]}
        case "call.created":
            return {
                "recorded_at": datetime.fromisoformat(str(event["occurred_at"])).strftime(
                    "%Y-%m-%dT%H:%M:%SZ"
                )
            }
        case _:
            detail = event.get("agent") or event.get("note") or event.get("duration_s") or ""
            return {"notes": f"{event['type']} {detail}".strip()}


def message_of(put: Put) -> Message:
    """The raw message that the receiver would have kept of an event."""
    name = f"{put.case.source_call_id}-{put.number}"
    headers = {"content-type": ("application/json",), "webhook-id": (name,)}
    request = WebhookRequest(
        method="POST", url=URL, headers=headers, body=json.dumps(put.event).encode()
    )
    return Message(
        message_id=message_id("standard", name),
        source="standard",
        source_call_id=put.case.source_call_id,
        received_at=datetime.now(UTC),
        request=request,
    )


def short_cases(count: int, *, unmatched: int) -> Iterator[Case]:
    """
    So many calls of two events each that nobody answered; the last `unmatched` of them name no
    Buildr call.
    """
    for place in range(count):
        event = {
            "version": "1",
            "call_id": f"bench-{place}",
            "direction": "outbound",
            "from": "+15005550006",
            "to": "+15005550001",
        }
        if place < count - unmatched:
            event["buildr_call_id"] = str(FIRST_BUILDR_CALL + place)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        events = (
            {**event, **_RINGING, "occurred_at": at},
            {**event, **_ended("no_answer"), "agent": "rep-7", "occurred_at": at},
        )
        yield Case(
            source_call_id=f"bench-{place}",
            buildr_call_id=event.get("buildr_call_id", ""),
            outcome_id=NO_ANSWER,
            events=events,
        )


async def put_in(redis_url: str, puts: Iterable[Put], *, unreadable: int = 0) -> None:
    """Put events in by the real way in, without HTTP; `unreadable` more are kept as failed."""
    limits = InboxLimits(
        dedupe_h=96, keep_messages_d=7, keep_failed_d=30, max_pending=10**8, accept_timeout_s=14
    )
    async with open_store(
        load_installation({"REDIS_URL": redis_url}, cwd=Path("/")).default, role="worker"
    ) as store:
        inbox = Inbox(store, limits)
        try:
            for batch in _batches(puts):
                await asyncio.gather(*(inbox.accept(message_of(put)) for put in batch))
            for number in range(unreadable):
                case = Case(
                    source_call_id=f"unreadable-{number}",
                    buildr_call_id="",
                    outcome_id="",
                    events=({"type": "?"},),
                )
                await inbox.keep_failed(
                    message_of(Put(case=case, number=0)),
                    cause=FailureCause.MALFORMED_PAYLOAD,
                    detail="made for a benchmark",
                )
        finally:
            await inbox.close()


def _batches(puts: Iterable[Put]) -> Iterator[list[Put]]:
    rest = iter(puts)
    while batch := list(islice(rest, AT_ONCE)):
        yield batch
