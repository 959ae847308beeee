"""
Fills Redis with the calls of `make bench-million`: the keys that `commit.lua` writes for a call
that is new, as plain commands, which all processors of the machine prepare.

A test holds that both ways leave the same in Redis. Commits take ten times as long, since each
reads and checks what a new call has not got.
"""

import multiprocessing
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from service.store import index_scripts
from service.store.call_index import (
    ALL_CALLS,
    MOST,
    agent_bucket,
    buildr_bucket,
    customer_bucket,
    line_bucket,
)
from service.store.call_update import Retention
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from service.store.keys import Keys
from service.store.policy import HOUR_MS
from service.store.script_runner import source_of
from tests.benchmarks.million_calls import (
    AT_ONCE,
    CAUSES,
    FAILED_EVERY,
    FAILED_PLACE,
    LANE,
    STALLED_PLACE,
    WAITING_PLACE,
    refused_of,
)
from tests.benchmarks.million_texts import CallTexts, calls_of, kind_of, record_at

# Steps between the records that are returned; of each step a failed and a delivered one.
SAMPLES: Final = 50
LEAST_STEP: Final = 10
SAMPLED: Final = frozenset({1, 7})
# Batches that are prepared ahead, for each process: a batch is some MB.
AHEAD: Final = 3
CRLF: Final = b"\r\n"
UNFINISHED: Final = frozenset(
    {DeliveryState.UNMATCHED, DeliveryState.WAITING, DeliveryState.FAILED}
)
# Of the states that have an index under their own name.
INDEXED: Final = frozenset({DeliveryState.UNMATCHED, DeliveryState.STALLED})

# By the kind of a call; those that have failed are of as many kinds as there are causes.
STATES: Final = {
    0: DeliveryState.UNMATCHED,
    **{FAILED_PLACE + FAILED_EVERY * cause: DeliveryState.FAILED for cause in range(len(CAUSES))},
    WAITING_PLACE: DeliveryState.WAITING,
    STALLED_PLACE: DeliveryState.STALLED,
}

Word = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Work:
    """What a process prepares: the calls from `first` on."""

    first: int
    total: int
    now: datetime
    keys: Keys
    retention: Retention


@dataclass(slots=True)
class Prepared:
    """
    Commands for Redis, how many they are and of how many calls, how long the index's buckets live,
    and some of the records.
    """

    calls: int
    samples: list[DeliveryRecord]
    text: bytes = b""
    commands: int = 0
    bucket_ms: dict[str, int] = field(default_factory=dict)


async def fill(
    store: Store, path: Path, total: int, now: datetime, *, progress: Callable[[int], None]
) -> list[DeliveryRecord]:
    """
    Write so many calls to the Redis behind a socket, and as many refused requests as it keeps.
    Returns some of the records, for questions.
    """
    samples = write(store.keys, path, _in_order(works_of(store, total, now)), progress=progress)
    await store.refused.add(refused_of(now))
    return samples


def works_of(store: Store, total: int, now: datetime) -> Iterator[Work]:
    """So many calls in batches."""
    for first in range(0, total, AT_ONCE):
        yield Work(first, total, now, store.keys, store.calls.retention)


def write(
    keys: Keys, path: Path, batches: Iterable[Prepared], *, progress: Callable[[int], None]
) -> list[DeliveryRecord]:
    """Send batches to Redis, and end with the buckets of the index. Returns their samples."""
    samples: list[DeliveryRecord] = []
    bucket_ms: dict[str, int] = {}
    written = 0
    with Sink(path) as sink:
        for prepared in batches:
            sink.send(prepared.text, prepared.commands)
            for name, keep_ms in prepared.bucket_ms.items():
                bucket_ms[name] = max(bucket_ms.get(name, 0), keep_ms)
            samples += prepared.samples
            written += prepared.calls
            progress(written)
        commands = list(_bucket_commands(keys, bucket_ms))
        for start in range(0, len(commands), AT_ONCE):
            some = commands[start : start + AT_ONCE]
            sink.send(b"".join(map(_packed, some)), len(some))
    return samples


def _in_order(works: Iterable[Work]) -> Iterator[Prepared]:
    """Have all processors prepare, a bounded number of batches ahead."""
    count = os.cpu_count() or 1
    waiting: deque[Future[Prepared]] = deque()
    # A fork of a process with an event loop and connections would share these.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        for work in works:
            waiting.append(pool.submit(prepare, work))
            if len(waiting) > AHEAD * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def prepare(work: Work) -> Prepared:
    """The commands of a batch."""
    last = min(work.first + AT_ONCE, work.total)
    every = max(LEAST_STEP, work.total // SAMPLES)
    prepared = Prepared(last - work.first, [])
    commands: list[bytes] = []
    refs: list[str] = []
    for call in calls_of(work.first, last, work.total, work.now):
        state = STATES.get(kind_of(call.place))
        keep_ms = work.retention.calls_ms
        if state in UNFINISHED:
            keep_ms = work.retention.open_ms
        buckets = _buckets_of(call)
        refs.append(call.ref)
        commands += map(_packed, _call_commands(work, call, state, buckets, keep_ms=keep_ms))
        for name in buckets:
            prepared.bucket_ms[name] = max(prepared.bucket_ms.get(name, 0), keep_ms)
        if call.place % every in SAMPLED:
            prepared.samples.append(record_at(call))
    commands.append(_packed(_ids_command(work.keys, refs)))
    prepared.text = b"".join(commands)
    prepared.commands = len(commands)
    return prepared


def _buckets_of(call: CallTexts) -> list[str]:
    names = [customer_bucket(call.customer), line_bucket(call.line), agent_bucket(call.agent)]
    if call.buildr_call_id:
        names.append(buildr_bucket(call.buildr_call_id))
    return names


def _call_commands(
    work: Work,
    call: CallTexts,
    state: DeliveryState | None,
    buckets: Iterable[str],
    *,
    keep_ms: int,
) -> Iterator[tuple[Word, ...]]:
    """What `commit.lua` writes for a new call, and its messages as `accept.lua` keeps them."""
    keys = work.keys
    ref = call.ref
    key = keys.call(ref)
    now_ms = time.time_ns() // 1_000_000
    pairs = (part for pair in call.events for part in (f"e:{pair[0]}", pair[1]))
    yield ("HSET", key, "v", 1, "rec", call.record, *pairs)
    yield ("PEXPIRE", key, keep_ms)
    if state is DeliveryState.WAITING:
        yield ("ZADD", keys.named(LANE), call.last_ms, ref)
    if call.entry:
        yield ("SET", keys.failed_entry(ref), call.entry, "PX", work.retention.open_ms)
        yield ("ZADD", keys.named("failed"), now_ms, ref)
    if state in INDEXED:
        yield ("ZADD", keys.named(state.value), now_ms, ref)
    for name in (ALL_CALLS, *buckets):
        yield ("ZADD", keys.named(name), call.last_ms, ref)
    for message_id, packed in call.messages:
        value = f"{ref}\n".encode() + packed
        yield ("SET", keys.message(message_id), value, "PX", work.retention.messages_ms)


def _ids_command(keys: Keys, refs: Iterable[str]) -> tuple[Word, ...]:
    """The names of new calls, which a commit adds by the same functions of Lua."""
    call = index_scripts.add_ids(refs=refs)
    script = source_of(call.script)
    return ("EVAL", script, 0, keys.prefix, keys.queue, keys.account, 0, *call.arguments)


def _bucket_commands(keys: Keys, bucket_ms: dict[str, int]) -> Iterator[tuple[Word, ...]]:
    """As `call_index.lua` leaves a bucket: its newest calls, and a day more than the longest."""
    for name, keep_ms in bucket_ms.items():
        yield ("ZREMRANGEBYRANK", keys.named(name), 0, -1 - MOST)
        yield ("PEXPIRE", keys.named(name), keep_ms + 24 * HOUR_MS)


def _packed(words: tuple[Word, ...]) -> bytes:
    """A command as Redis reads it."""
    parts = [b"*%d\r\n" % len(words)]
    for argument in words:
        text = argument
        if not isinstance(text, bytes):
            text = str(text).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


class Sink:
    """A connection that has Redis work on one batch while the next one is prepared."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._path = str(path)
        self._unanswered = 0

    def __enter__(self) -> Self:
        self._socket.connect(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._read_answers()
        finally:
            self._socket.close()

    def send(self, text: bytes, commands: int) -> None:
        """Write a batch, once the one before has been answered."""
        self._read_answers()
        self._socket.sendall(text)
        self._unanswered = commands

    def _read_answers(self) -> None:
        while self._unanswered:
            answer = self._socket.recv(1 << 20)
            # Numbers that are not negative, and OK: a minus begins the line of an error.
            if not answer or b"-" in answer:
                raise RuntimeError(f"Redis answers {answer[:200]!r}")
            self._unanswered -= answer.count(CRLF[1:])
