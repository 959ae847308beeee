"""
The calls of `make bench-million`, packed by the store's own functions.

Every call has its record and the events of two messages, as a worker leaves them. One in twenty is
unmatched, one in fifty has failed, one in a hundred waits for Buildr, one in a thousand has
stalled. Of the last week there are the raw messages too.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from service.errors import FailureCause
from service.events import CallEvent, Direction, EventType, HangupCause, Party, to_json
from service.sources.request import WebhookRequest
from service.store import script_calls
from service.store.call_parties import CallParties
from service.store.call_update import CallUpdate
from service.store.calls import Calls, _events_context, pack_record
from service.store.commit_arguments import commit_arguments
from service.store.compression import compress
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import Answer
from service.store.failed import Failed, to_text
from service.store.messages import Message, pack_message
from service.store.rate_limit.lanes import Lane
from service.store.refused import MOST as MOST_REFUSED
from service.store.refused import RefusedRequests
from service.store.script_runner import ScriptCall
from tests.benchmarks.finding import record_of

AT_ONCE: Final = 500
FAILED_EVERY: Final = 50
WAITING_EVERY: Final = 100
STALLED_EVERY: Final = 1000
FAILED_PLACE: Final = 1
WAITING_PLACE: Final = 2
STALLED_PLACE: Final = 3
LANE: Final = f"lane:{Lane.FINAL.value}"
MESSAGES_PER_CALL: Final = 2
WEEK: Final = timedelta(days=7)
REFUSAL: Final = '{"errors":["Call outcome is not available"]}'
CAUSES: Final = (
    FailureCause.BUILDR_REJECTED,
    FailureCause.UNKNOWN_OUTCOME,
    FailureCause.BUILDR_UNAVAILABLE,
)
BODY: Final = (
    b"AccountSid=AC00000000000000000000000000000001&ApiVersion=2010-04-01&CallSid=%s"
    b"&CallStatus=%s&Direction=outbound-api&From=%%2B15005550006&To=%%2B15005550001"
    b"&SequenceNumber=%d&CallDuration=49"
)


Batch = list[tuple[int, DeliveryRecord]]


def batch_of(first: int, total: int, now: datetime) -> Batch:
    """Some of so many calls, by their places; the same ones each time."""
    rng = random.Random(first)
    places = range(first, min(first + AT_ONCE, total))
    return [
        (place, in_its_state(place, record_of(place, total, now, rng), now)) for place in places
    ]


async def commit(store: Store, batch: Batch, now: datetime) -> None:
    """Write calls as jobs do. Four milliseconds each on a busy machine: for a few of them."""
    pipe = store.redis.pipeline(transaction=False)
    for place, record in batch:
        # Before the commit, which wakes a waiting call that is in no lane.
        if (at_ms := lane_ms(place, record)) is not None:
            pipe.zadd(store.keys.named(LANE), {record.ref: at_ms})
    await pipe.execute()
    calls = [_commit(store.calls, place, record, now) for place, record in batch]
    errors = [answer for answer in await store.scripts.run_batch(calls) if answer != 0]
    if errors:
        raise RuntimeError(f"{len(errors)} calls were not written")
    pipe = store.redis.pipeline(transaction=False)
    for _, record in batch:
        for message in messages_of(record, now):
            key = store.keys.message(message.message_id)
            value = f"{record.ref}\n".encode() + pack_message(message)
            pipe.set(key, value, px=store.calls.retention.messages_ms)
    await pipe.execute()


def lane_ms(place: int, record: DeliveryRecord) -> int | None:
    """Since when a call waits in the lane, ms since the epoch; None for one that does not."""
    if place % WAITING_EVERY != WAITING_PLACE or record.first_received_at is None:
        return None
    return int(record.first_received_at.timestamp() * 1000)


def in_its_state(index: int, record: DeliveryRecord, now: datetime) -> DeliveryRecord:
    """The record in the state that its place gives it."""
    record = replace(record, message_id=_message_id(record, 1))
    if index % FAILED_EVERY == FAILED_PLACE:
        answer = Answer(at=now, cause="buildr_rejected", status_code=422, text=REFUSAL)
        return record.with_answer(answer).to_given_up(now, "Buildr answered 422")
    if index % WAITING_EVERY == WAITING_PLACE:
        return record.to_waiting("waits for a permit")
    if index % STALLED_EVERY == STALLED_PLACE:
        return record.to_stalled("the final event is overdue")
    return record


def _commit(calls: Calls, index: int, record: DeliveryRecord, now: datetime) -> ScriptCall[int]:
    failed = {}
    if (entry := entry_of(index, record, now)) is not None:
        failed = {record.ref: to_text(entry)}
    update = CallUpdate(record=record, version=0, failed=failed)
    return script_calls.commit(
        update=commit_arguments(update, calls.retention, worker_id=None, ends_job=False),
        compressed_record=pack_record(record),
        messages={message_id: (events, b"") for message_id, events in packed_events(record)},
    )


def packed_events(record: DeliveryRecord) -> list[tuple[str, bytes]]:
    """The events of a call by the messages that brought them."""
    return [
        (
            event.message_id,
            compress(
                to_json([event]).encode(), context=_events_context(record.ref, event.message_id)
            ),
        )
        for event in _events(record)
    ]


def entry_of(index: int, record: DeliveryRecord, now: datetime) -> Failed | None:
    """The failed entry of a call; None for one that has not failed."""
    if index % FAILED_EVERY != FAILED_PLACE:
        return None
    source, _, source_call_id = record.ref.partition(":")
    return Failed(
        entry_id=record.ref,
        kind="call",
        source=source,
        source_call_id=source_call_id,
        cause=CAUSES[index // FAILED_EVERY % len(CAUSES)],
        detail="Buildr answered 422: Call outcome is not available",
        failed_at=record.last_received_at or now,
        message_ids=tuple(_message_id(record, place) for place in range(MESSAGES_PER_CALL)),
        buildr_call_id=record.buildr_call_id,
        attempts=1,
        answers=record.answers,
    )


def _message_id(record: DeliveryRecord, place: int) -> str:
    return f"m{record.ref[-23:]}{place}"


def _events(record: DeliveryRecord) -> Iterator[CallEvent]:
    source, _, source_call_id = record.ref.partition(":")
    parties = record.parties or CallParties()
    steps = (("initiated", EventType.RINGING, None), ("busy", EventType.ENDED, HangupCause.BUSY))
    for place, (status, event_type, cause) in enumerate(steps):
        yield CallEvent(
            source=source,
            message_id=_message_id(record, place),
            source_call_id=source_call_id,
            leg_id=source_call_id,
            event_type=event_type,
            occurred_at=record.first_received_at,
            sequence=place,
            direction=Direction.OUTBOUND,
            party=Party.CUSTOMER,
            from_number=parties.line,
            to_number=parties.customer,
            hangup_cause=cause,
            agent=parties.agent,
            vendor_status=status,
            buildr_call_id=record.buildr_call_id,
        )


def messages_of(record: DeliveryRecord, now: datetime) -> Iterator[Message]:
    """The raw messages of a call, while they are kept."""
    at = record.first_received_at or now
    if now - at > WEEK:
        return
    source, _, source_call_id = record.ref.partition(":")
    for place, status in enumerate((b"initiated", b"busy")):
        yield Message(
            message_id=_message_id(record, place),
            source=source,
            source_call_id=source_call_id,
            received_at=at,
            request=WebhookRequest(
                method="POST",
                url="https://hooks.example.test/webhooks/twilio",
                headers={"content-type": ("application/x-www-form-urlencoded",)},
                body=BODY % (source_call_id.encode(), status, place),
            ),
        )


def refused_of(now: datetime) -> Iterator[RefusedRequests]:
    """As many refused requests as the list of these can hold."""
    for minute in range(MOST_REFUSED):
        at = now - timedelta(minutes=minute)
        yield RefusedRequests(
            first_at=at,
            last_at=at,
            count=5,
            source="twilio",
            path="/webhooks/twilio",
            reason="no token gives this signature",
            status_code=401,
            network="203.0.113.0/24",
            hint="the address that was signed differs from PUBLIC_URL",
        )
