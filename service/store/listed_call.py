"""
What people ask of calls, and what a list shows of each.
"""

import json
import re
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from service.counts import counted
from service.errors import MalformedPayload
from service.store.call_parties import CallParties
from service.store.compression import decompress
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState

# A call of which no worker has read a message yet.
UNREAD: Final = "unread"
# A call whose record is damaged, or was written by a newer version.
UNREADABLE: Final = "unreadable"
PLAIN: Final = re.compile(r"[^\x00-\x1f\"\\\x7f]+")
# Time in ms since the epoch, and name: the order of all lists.
Place = tuple[int, str]


class CallQuery(Struct, frozen=True, kw_only=True):
    """
    Which calls are meant; what is None does not matter. `number` is E.164; `agent` may be a part of
    a name. `state` is one of `DeliveryState`, or `UNREAD`. A call is as old as its last message;
    `until` is not part of the span.
    """

    number: str | None = None
    agent: str | None = None
    buildr_call_id: str | None = None
    source: str | None = None
    result: str | None = None
    outcome: str | None = None
    state: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class ListedCall(Struct, frozen=True, kw_only=True):
    """One call of a list. `last_at` is when its last message came; times are UTC."""

    ref: str
    last_at: datetime
    state: str
    reason: str
    started_at: datetime | None = None
    direction: str | None = None
    customer: str | None = None
    line: str | None = None
    agent: str | None = None
    result: str | None = None
    outcome: str | None = None
    buildr_call_id: str | None = None

    @property
    def source(self) -> str:
        """Its source."""
        return self.ref.partition(":")[0]


def fits(query: CallQuery, call: ListedCall) -> bool:
    """Whether a call is meant, its time apart."""
    exact = (
        (query.source, call.source),
        (query.result, call.result),
        (query.state, call.state),
        (query.buildr_call_id, call.buildr_call_id),
    )
    if any(asked_for not in (None, value) for asked_for, value in exact):
        return False
    if query.number is not None and query.number not in (call.customer, call.line):
        return False
    if query.outcome is not None and query.outcome.casefold() != (call.outcome or "").casefold():
        return False
    return query.agent is None or query.agent.casefold() in (call.agent or "").casefold()


def phrases_of(query: CallQuery) -> tuple[str, ...]:
    """
    What the stored record of every call that fits contains, in whatever case. To look for it takes
    a fifth of the time that reading a record takes.
    """
    values = (query.agent, query.outcome, query.result)
    # JSON writes other characters as escape sequences.
    return tuple(value.casefold() for value in values if value and PLAIN.fullmatch(value))


def listed_at(
    last_ms: int, ref: str, packed: bytes | int, *, phrases: tuple[str, ...] = ()
) -> ListedCall | None:
    """
    A call whose last message came at that time (ms since the epoch), from its packed record, or the
    number of its unread messages where it has none; None if there is neither, or if the record does
    not contain all phrases.
    """
    last_at = datetime.fromtimestamp(last_ms / 1000, UTC)
    if isinstance(packed, bytes):
        return _of_record(ref, last_at, packed, phrases)
    if not packed:
        return None
    reason = counted(packed, "message waits for a worker", "messages wait for a worker")
    return ListedCall(ref=ref, last_at=last_at, state=UNREAD, reason=reason)


def _of_record(
    ref: str, last_at: datetime, packed: bytes, phrases: tuple[str, ...]
) -> ListedCall | None:
    # Without pydantic's model of a record, which would take most of the time of a page.
    try:
        text = decompress(packed, context=ref.encode()).decode()
        if phrases and not _contains(text.casefold(), phrases):
            return None
        facts = json.loads(text)
        parties = facts.get("parties") or {}
        started_at = parties.get("started_at") or facts.get("first_received_at")
        return ListedCall(
            ref=ref,
            last_at=last_at,
            state=facts.get("state", DeliveryState.OPEN.value),
            reason=facts.get("reason", ""),
            started_at=_moment(started_at),
            direction=parties.get("direction"),
            customer=parties.get("customer"),
            line=parties.get("line"),
            agent=parties.get("agent"),
            result=facts.get("result"),
            outcome=facts.get("outcome"),
            buildr_call_id=facts.get("buildr_call_id"),
        )
    except (MalformedPayload, ValueError, AttributeError, TypeError) as err:
        return ListedCall(ref=ref, last_at=last_at, state=UNREADABLE, reason=str(err))


def _contains(text: str, phrases: tuple[str, ...]) -> bool:
    return all(phrase in text for phrase in phrases)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    return datetime.fromisoformat(text)


def listed_call(record: DeliveryRecord, *, last_at: datetime) -> ListedCall:
    """A call of a list, from its record."""
    parties = record.parties or CallParties()
    return ListedCall(
        ref=record.ref,
        last_at=last_at,
        state=record.state.value,
        reason=record.reason,
        started_at=parties.started_at or record.first_received_at,
        direction=parties.direction,
        customer=parties.customer,
        line=parties.line,
        agent=parties.agent,
        result=record.result,
        outcome=record.outcome,
        buildr_call_id=record.buildr_call_id,
    )
