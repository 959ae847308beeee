"""
The texts that a call of `make bench-million` is stored as, filled into those of one call of its
kind: the models of a million calls would take most of the time.

Each text is made by the store's own functions once, of a call whose values are placeholders.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from service.store.calls import _events_context, pack_record, read_record
from service.store.compression import compress, decompress
from service.store.delivery_record import DeliveryRecord
from service.store.failed import to_text
from service.store.messages import pack_message
from tests.benchmarks.finding import (
    AGENTS,
    DAYS,
    FIRST_NUMBER,
    LINES,
    RARE,
    RESULTS,
    UNMATCHED_EVERY,
    call_of,
)
from tests.benchmarks.million_calls import (
    CAUSES,
    FAILED_EVERY,
    FAILED_PLACE,
    STALLED_EVERY,
    STALLED_PLACE,
    WAITING_EVERY,
    WAITING_PLACE,
    WEEK,
    entry_of,
    in_its_state,
    messages_of,
    packed_events,
)

# Of message ids, which are the end of the call's.
TAIL_LENGTH: Final = 23
SID: Final = "CA" + "#" * 9 + "@" * TAIL_LENGTH
AT: Final = datetime(1999, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CallTexts:
    """What is stored of one call, packed; `message_ids` are those of its two messages."""

    ref: str
    last_ms: int
    place: int
    record: bytes
    events: list[tuple[str, bytes]]
    entry: str
    messages: list[tuple[str, bytes]]
    customer: str
    line: str
    agent: str
    buildr_call_id: str


@dataclass(frozen=True, slots=True)
class _Templates:
    record: str
    events: tuple[str, ...]
    entry: str
    messages: tuple[str, ...]


def calls_of(first: int, last: int, total: int, now: datetime) -> Iterator[CallTexts]:
    """The calls of these places: the same ones as `batch_of`."""
    rng = random.Random(first)
    for place in range(first, last):
        at = now - timedelta(days=DAYS) * (1 - place / total)
        number = place
        # In the order of `record_of`.
        if rng.random() > 0.7:
            number = rng.randrange(total // 10)
        agent = f"agent-{rng.randrange(AGENTS)}@example.com"
        if place % (total // 10) == 0:
            agent = RARE
        line = f"+1500555{rng.randrange(LINES):04}"
        sid = f"CA{rng.getrandbits(128):032x}"
        values = {
            "sid": sid,
            "tail": sid[-TAIL_LENGTH:],
            "at": _iso(at),
            "customer": f"+{FIRST_NUMBER + number * 7919}",
            "line": line,
            "agent": agent,
            "result": rng.choice(RESULTS),
            "buildr": str(1_000_000 + place),
        }
        yield _filled(_templates(kind_of(place), now), values, place, at, has_raw=now - at <= WEEK)


def kind_of(place: int) -> int:
    """The place of the first call that has the same state."""
    if place % UNMATCHED_EVERY == 0:
        return 0
    if place % FAILED_EVERY == FAILED_PLACE:
        return FAILED_PLACE + FAILED_EVERY * (place // FAILED_EVERY % len(CAUSES))
    if place % WAITING_EVERY == WAITING_PLACE:
        return WAITING_PLACE
    if place % STALLED_EVERY == STALLED_PLACE:
        return STALLED_PLACE
    return STALLED_PLACE + 1


def _filled(
    templates: _Templates, values: Values, place: int, at: datetime, *, has_raw: bool
) -> CallTexts:
    sid = values["sid"]
    ref = f"twilio:{sid}"
    events = []
    for number, template in enumerate(templates.events):
        message_id = f"m{values['tail']}{number}"
        text = (template % values).encode()
        events.append((message_id, compress(text, context=_events_context(ref, message_id))))
    messages = []
    if has_raw:
        for number, template in enumerate(templates.messages):
            text = (template % values).encode()
            messages.append((f"m{values['tail']}{number}", compress(text, is_fast=True)))
    return CallTexts(
        ref=ref,
        last_ms=int(at.timestamp() * 1000),
        place=place,
        record=compress((templates.record % values).encode(), context=ref.encode()),
        events=events,
        entry=templates.entry % values,
        messages=messages,
        customer=values["customer"],
        line=values["line"],
        agent=values["agent"],
        buildr_call_id=values["buildr"] if place % UNMATCHED_EVERY else "",
    )


@cache
def _templates(place: int, now: datetime) -> _Templates:
    """Of the call of a place, whose values are placeholders."""
    record = in_its_state(
        place,
        call_of(
            place,
            at=AT,
            ref=f"twilio:{SID}",
            customer="@customer@",
            line="@line@",
            agent="@agent@",
            result="@result@",
            buildr_call_id="@buildr@",
        ),
        now,
    )
    entry = entry_of(place, record, now)
    entry_text = ""
    if entry is not None:
        entry_text = to_text(entry)
    return _Templates(
        record=_template(decompress(pack_record(record), context=record.ref.encode())),
        events=tuple(
            _template(decompress(packed, context=_events_context(record.ref, message_id)))
            for message_id, packed in packed_events(record)
        ),
        entry=_template(entry_text.encode()),
        messages=tuple(
            # Of any age: whether it is kept is seen by each call's own.
            _template(decompress(pack_message(message)))
            for message in messages_of(record, AT)
        ),
    )


def _template(text: bytes) -> str:
    template = text.decode().replace("%", "%%")
    for placeholder, name in (
        (SID, "sid"),
        ("@" * TAIL_LENGTH, "tail"),
        (_iso(AT), "at"),
        ("@customer@", "customer"),
        ("@line@", "line"),
        ("@agent@", "agent"),
        ("@result@", "result"),
        ("@buildr@", "buildr"),
    ):
        template = template.replace(placeholder, f"%({name})s")
    return template


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def record_at(call: CallTexts) -> DeliveryRecord:
    """The record of a call."""
    return read_record(call.ref, call.record)
