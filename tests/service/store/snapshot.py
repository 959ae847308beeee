"""
The snapshot of Redis in `stored_forms/`: put back key by key, and read as plain JSON values.

Every value is read by the store's own functions and turned into plain values field by field, by the
names that `expected.json` has. A field that is renamed in the code keeps its name there.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from msgspec.structs import asdict
from redis.asyncio.client import Pipeline

from service.events import CallEvent
from service.events import as_dict as event_as_dict
from service.store.call_search import CallFilter
from service.store.calls import StoredCall
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import Answer, ReplayRequest
from service.store.expectations import ExpectedCall
from service.store.expectations import as_dict as expected_as_dict
from service.store.failed import FailedFilter
from service.store.failed import as_dict as failed_as_dict
from service.store.links import Link
from service.store.messages import Message
from service.store.rate_limit.backlog import Backlog, read_backlog
from service.store.redis_client import Client
from service.store.subscriptions import UpkeepState

Plain = dict[str, object]
FOLDER: Final = Path(__file__).parent / "stored_forms"
ACCOUNTS: Final = ("default", "outage", "limited")
SOURCES_WITH_HOURS: Final = ("twilio", "zoom")
EMPTY: Final[tuple[object, ...]] = (None, "", [], {})
PASS_TIME: Final = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 then
    redis.call('PEXPIRE', key, math.max(0, left - ARGV[1]))
  end
end
"""
PLAIN_TEXT: Final = "base64:"
# A lease of a few seconds must not expire before a slow machine has read it.
SHORTEST_TTL_MS: Final = 60_000


def load(name: str) -> Any:
    """One of the JSON files of the snapshot."""
    content: object = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return content


def encode(value: bytes) -> str:
    """Bytes as a JSON string: text as it is, anything else after `base64:`."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    if text.replace("\n", "").isprintable() and text.encode() == value:
        return text
    return PLAIN_TEXT + base64.b64encode(value).decode()


def decode(text: str) -> bytes:
    """The inverse of `encode`."""
    if text.startswith(PLAIN_TEXT):
        return base64.b64decode(text.removeprefix(PLAIN_TEXT))
    return text.encode()


async def capture(redis: Client) -> dict[str, Plain]:
    """Every key with its type, its value and, if it expires, its remaining time in milliseconds."""
    keys = await _all_keys(redis)
    pipe = redis.pipeline(transaction=True)
    for key in keys:
        pipe.type(key)
        pipe.pttl(key)
    answers = await pipe.execute()
    types = [kind.decode() for kind in answers[::2]]
    for key, kind in zip(keys, types, strict=True):
        _read_value(pipe, key, kind)
    values = await pipe.execute()
    entries: dict[str, Plain] = {}
    for key, kind, value, ttl_ms in zip(keys, types, values, answers[1::2], strict=True):
        entries[key] = {"type": kind, "value": _plain_value(kind, value)}
        if ttl_ms >= 0:
            entries[key]["ttl_ms"] = ttl_ms
    return entries


def _read_value(pipe: Pipeline, key: str, kind: str) -> None:
    if kind == "string":
        pipe.get(key)
    elif kind == "hash":
        pipe.hgetall(key)
    elif kind == "list":
        pipe.lrange(key, 0, -1)
    elif kind == "set":
        pipe.smembers(key)
    else:
        pipe.zrange(key, 0, -1, withscores=True)


def _plain_value(kind: str, value: Any) -> object:
    if kind == "string":
        return encode(value)
    if kind == "hash":
        return {encode(name): encode(value[name]) for name in sorted(value)}
    if kind == "zset":
        return {encode(member): score for member, score in value}
    members = [encode(member) for member in value]
    return members if kind == "list" else sorted(members)


async def restore(redis: Client, keys: Mapping[str, Plain]) -> None:
    """Write every key of a snapshot with the plain command of its type."""
    pipe = redis.pipeline(transaction=True)
    for key, entry in keys.items():
        _write_value(pipe, key, entry)
        ttl_ms = entry.get("ttl_ms")
        if isinstance(ttl_ms, int):
            pipe.pexpire(key, max(SHORTEST_TTL_MS, ttl_ms))
    await pipe.execute()


def _write_value(pipe: Pipeline, key: str, entry: Plain) -> None:
    kind: Any = entry["type"]
    value: Any = entry["value"]
    if kind == "string":
        pipe.set(key, decode(value))
    elif kind == "hash":
        pipe.hset(key, mapping={decode(name): decode(text) for name, text in value.items()})
    elif kind == "list":
        pipe.rpush(key, *(decode(item) for item in value))
    elif kind == "set":
        pipe.sadd(key, *(decode(member) for member in value))
    else:
        pipe.zadd(key, {decode(member): score for member, score in value.items()})


async def pass_time(redis: Client, ms: int) -> None:
    """Shorten the remaining time of all keys, as time that passes would."""
    await redis.eval(PASS_TIME, 0, ms)


async def _all_keys(redis: Client) -> list[str]:
    return sorted([key.decode() async for key in redis.scan_iter(match="*", count=1000)])


async def read_account(store: Store) -> Plain:
    """Everything that the store's functions read of one account."""
    refs = await store.search.select(CallFilter())
    pending_only = await _refs_with_only_messages(store, refs)
    backlog = await read_backlog(store.redis, store.keys)
    return {
        "calls": {ref: await _read_call(store, ref) for ref in [*refs, *pending_only]},
        "messages": await _read_messages(store),
        "failed": [failed_as_dict(entry) async for entry in store.failed.select(FailedFilter())],
        "links": [
            [*names, plain_link(link)]
            async for *names, link in store.links.scan()
            if isinstance(link, Link)
        ],
        "expected_calls": [plain_expected(call) for call in await store.expected.newest()],
        "unmatched": [
            record.ref for record in await store.search.indexed_records("unmatched", limit=1000)
        ],
        "stalled": [
            record.ref for record in await store.search.indexed_records("stalled", limit=1000)
        ],
        "backlog": plain_backlog(backlog),
        "waiting_messages": list(await store.messages.waiting()),
        "alarms": await store.schedule.due_count(),
        "workers_alive": await store.workers.count(),
        "counters": await store.counters.all(),
        **await _read_account_records(store),
    }


def plain_link(link: Link) -> Plain:
    """A link as the file has it: without what the version that wrote it did not know."""
    plain = asdict(link)
    for name in ("replaces", "is_test"):
        if not plain[name]:
            del plain[name]
    return plain


async def _read_account_records(store: Store) -> Plain:
    outcomes = await store.outcomes.load()
    token = await store.tokens.load()
    activity = await store.source_activity.last()
    upkeep = await store.upkeep.all()
    return {
        "outcomes": outcomes and [[list(pair) for pair in outcomes.names], iso(outcomes.read_at)],
        "token": token and [token.access_token, iso(token.expires_at), iso(token.obtained_at)],
        "activity": {":".join(name): iso(at) for name, at in sorted(activity.items())},
        "hours": {
            source: {
                str(hour): count
                for hour, count in (await store.source_activity.hours(source)).items()
            }
            for source in SOURCES_WITH_HOURS
        },
        "subscriptions": {slug: plain_upkeep(state) for slug, state in sorted(upkeep.items())},
    }


async def _refs_with_only_messages(store: Store, refs: Sequence[str]) -> list[str]:
    """Calls of which there are messages that no worker has read, and nothing else."""
    prefix = store.keys.pending("")
    keys = [key.decode() async for key in store.redis.scan_iter(match=f"{prefix}*", count=1000)]
    return sorted({key.removeprefix(prefix) for key in keys} - set(refs))


async def _read_call(store: Store, ref: str) -> Plain:
    loaded = await store.calls.load(ref)
    return {**plain_call(loaded.stored), "pending": list(loaded.pending)}


async def _read_messages(store: Store) -> dict[str, Plain]:
    prefix = store.keys.message("")
    keys = [key.decode() async for key in store.redis.scan_iter(match=f"{prefix}*", count=1000)]
    messages = await store.messages.get_many(sorted(key.removeprefix(prefix) for key in keys))
    return {message_id: plain_message(message) for message_id, message in messages.items()}


def plain_message(message: Message) -> Plain:
    """A raw message as plain values."""
    incoming = message.request
    return {
        "message_id": message.message_id,
        "source": message.source,
        "source_call_id": message.source_call_id,
        "received_at": iso(message.received_at),
        "method": incoming.method,
        "url": incoming.url,
        "headers": {name: list(values) for name, values in incoming.headers.items()},
        "body": encode(incoming.body),
        "buildr_call_id": incoming.buildr_call_id,
    }


def plain_call(stored: StoredCall) -> Plain:
    """A call as plain values, its events as they are written down."""
    return {
        "version": stored.version,
        "record": without_empty(plain_record(stored.record)),
        "events": {
            message_id: plain_events(events) for message_id, events in sorted(stored.events.items())
        },
        "replay_request": plain_replay_request(stored.replay_request),
    }


def plain_events(events: Sequence[CallEvent]) -> list[Plain]:
    """Events as plain values, without the fields that hold nothing."""
    return [without_empty(event_as_dict(event)) for event in events]


def without_empty(fields: Plain) -> Plain:
    """The fields that hold something."""
    return {name: value for name, value in fields.items() if value not in EMPTY}


def plain_record(record: DeliveryRecord) -> Plain:
    """A call's record as plain values."""
    return {
        "ref": record.ref,
        "state": record.state.value,
        "reason": record.reason,
        "first_received_at": iso(record.first_received_at),
        "last_received_at": iso(record.last_received_at),
        "message_id": record.message_id,
        "unsettled_since": iso(record.unsettled_since),
        "buildr_call_id": record.buildr_call_id,
        "result": record.result,
        "outcome": record.outcome,
        "rule": record.rule,
        "written": dict(record.written),
        "written_to": record.written_to,
        "written_at": iso(record.written_at),
        "in_doubt": {call_id: list(ids) for call_id, ids in record.in_doubt.items()},
        "note_block": record.note_block,
        "attempts": record.attempts,
        "unauthorized": record.unauthorized,
        "first_failed_at": iso(record.first_failed_at),
        "retry_at": iso(record.retry_at),
        "answers": [plain_answer(answer) for answer in record.answers],
        "due_at": iso(record.due_at),
        "replay_request": plain_replay_request(record.replay_request),
        "history": [[iso(step.at), step.summary, step.detail] for step in record.history],
    }


def plain_answer(answer: Answer) -> list[object]:
    """An answer of Buildr's as plain values."""
    return [iso(answer.at), answer.cause, answer.status_code, answer.text]


def plain_replay_request(request: ReplayRequest | None) -> list[object] | None:
    """The request of an operator to send a call again, as plain values."""
    if request is None:
        return None
    return [request.lane.value, iso(request.at), request.is_forced]


def plain_expected(call: ExpectedCall) -> Plain:
    """An expected call as plain values: what the CLI shows, and the rest."""
    return {
        **expected_as_dict(call),
        "stated_not_before": iso(call.not_before),
        "stated_not_after": iso(call.not_after),
        "revision": call.revision,
        "is_certain": call.is_certain,
    }


def plain_upkeep(state: UpkeepState) -> Plain:
    """The state of a source's subscription as plain values."""
    return {
        "checked_at": iso(state.checked_at),
        "state": state.state,
        "expires_at": iso(state.expires_at),
        "detail": state.detail,
        "settings": state.settings,
        "digests": dict(state.given),
        "unseen_since": iso(state.unseen_since),
    }


def plain_backlog(backlog: Backlog) -> Plain:
    """What waits for Buildr, as plain values; without what depends on the time of the reading."""
    outage = backlog.outage
    return {
        "lanes": [[load.lane.value, load.calls, iso(load.oldest_at)] for load in backlog.lanes],
        "requests": backlog.requests,
        "counted": list(backlog.counted),
        "allowance": backlog.allowance,
        "outage": outage and [iso(outage.since), outage.cause, iso(outage.next_try_at)],
    }


def iso(moment: datetime | None) -> str | None:
    """A moment as text, in UTC; every moment that is read back must be aware and in UTC."""
    if moment is None:
        return None
    assert moment.tzinfo is UTC or moment.utcoffset() == UTC.utcoffset(None)
    return moment.isoformat()
