"""
How each script in `scripts/` is called: one function per script, which names its arguments in the
order in which the script reads them.

`ref` is a call's name such as `twilio:CA...`; `_ms` are milliseconds, `at_ms` since the epoch.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from service.store.redis_client import Value
from service.store.script_runner import (
    ScriptCall,
    as_flag,
    as_integer,
    as_integers,
    as_list,
)


def commit(
    *, update: str, compressed_record: bytes, messages: Mapping[str, tuple[bytes, bytes]]
) -> ScriptCall[int]:
    """
    Write what a job has decided. `messages` are by id: the compressed events of a message, and what
    its key shall hold from now on; empty where that does not apply.

    `update` is JSON, see `commit.lua`. Returns when the call needs attention next (ms since the
    epoch, 0 for never), or -1 if the call has been written since it was read.
    """
    # Beside the JSON, which cannot carry bytes.
    parts = (part for id_, parts in messages.items() for part in (id_, *parts))
    return ScriptCall("commit", (update, compressed_record, *parts), as_integer)


def request_replay(*, ref: str, replay_request: str) -> ScriptCall[bool]:
    """Replay a call as the request (JSON) says; false if nothing is known of the call."""
    return ScriptCall("request_replay", (ref, replay_request), as_flag)


def replay(
    *, entry_id: str, ref: str, replay_request: str, message_ids: Iterable[str]
) -> ScriptCall[int]:
    """
    Replay a failed entry: returns how many messages are read anew, or -1 if it was taken already.
    """
    return ScriptCall("replay", (entry_id, ref, replay_request, *message_ids), as_integer)


def discard(*, entry_id: str, keep_call_ms: int) -> ScriptCall[bool]:
    """Remove a failed entry; its call expires after `keep_call_ms`. False if there was none."""
    return ScriptCall("discard", (entry_id, keep_call_ms), as_flag)


def wake(*, ref: str) -> ScriptCall[int]:
    """Set the alarm of a call to now."""
    return ScriptCall("wake", (ref,), as_integer)


def now() -> ScriptCall[int]:
    """The present, in ms since the epoch."""
    return ScriptCall("now", (), as_integer)


def beat(*, worker_id: str, ttl_ms: int, map_digest: str, is_first: bool) -> ScriptCall[list[int]]:
    """
    Write a worker's heartbeat, which expires after `ttl_ms`. The first one after a time without
    any worker has all calls indexed again.

    Returns the present (ms since the epoch), 1 if Redis is full, and by how many ms its clock was
    set back altogether.
    """
    return ScriptCall("beat", (worker_id, ttl_ms, map_digest, int(is_first)), as_integers)


def take(*, limit: int, read_limit: int, in_progress_ms: int) -> ScriptCall[list[list[Any]]]:
    """
    Take at most `limit` due jobs, of the first `read_limit` of the queue; each counts as running
    for `in_progress_ms`. Returns the names of their calls, what their jobs read first (see
    `take.lua`), the ids of foreign jobs that were removed, and in how many ms the next job is due
    (nothing if there is none).
    """
    return ScriptCall("take", (limit, read_limit, in_progress_ms), _as_lists)


def begin(*, ref: str, worker_id: str) -> ScriptCall[list[list[Any]]]:
    """
    Note that a worker runs the job of a call, and read the lists of `reading.lua`.
    """
    return ScriptCall("begin", (ref, worker_id), _as_lists)


def postpone(*, ref: str, at_ms: int) -> ScriptCall[int]:
    """Set when a call, whose job runs now, is to be run next."""
    return ScriptCall("postpone", (ref, at_ms), as_integer)


def broken(*, ref: str) -> ScriptCall[list[int]]:
    """
    Set when a call, whose job runs now and met a bug, is to be run next. Returns 1 if it is to be
    given up, and the pause in ms.
    """
    return ScriptCall("broken", (ref,), as_integers)


def set_aside(*, ref: str, entry: str, keep_ms: int, keep_entry_ms: int) -> ScriptCall[int]:
    """
    Set a call aside whose record cannot be read, with its failed entry (JSON), to which the script
    adds the messages. Returns how many these are.
    """
    return ScriptCall("set_aside", (ref, entry, keep_ms, keep_entry_ms), as_integer)


def put(*, name: str, value: Value, ttl_ms: int, mode: str = "") -> ScriptCall[bool]:
    """
    Write a value that expires, or never if `ttl_ms` is 0; also where Redis is full.

    Mode `new`: only if there is none. `own`: the same, or to keep the same value for longer. False
    if it was not written.
    """
    return ScriptCall("put", (name, value, ttl_ms, mode), as_flag)


def rearm(*, ref: str, worker_id: str) -> ScriptCall[bool]:
    """
    End a worker's job, and set the call's alarm again; false if it needs no attention.
    """
    return ScriptCall("rearm", (ref, worker_id), as_flag)


def clear(*, ref: str) -> ScriptCall[int]:
    """Remove the alarm of a call without unread messages."""
    return ScriptCall("clear", (ref,), as_integer)


def sweep(*, limit: int, in_progress_ms: int) -> ScriptCall[list[int]]:
    """
    Restore lost alarms, at most `limit`; arq marks a job as running for `in_progress_ms`.

    Returns how many alarms were restored, and how many calls of dead workers taken over.
    """
    return ScriptCall("sweep", (limit, in_progress_ms), as_integers)


def named(*, limit: int) -> ScriptCall[int]:
    """Wake at most `limit` calls that wait for the account's outcomes; returns how many."""
    return ScriptCall("named", (limit,), as_integer)


def forget(*, ref: str, before_ms: int) -> ScriptCall[bool]:
    """Drop an unmatched call that has been so since before a time (ms since the epoch)."""
    return ScriptCall("forget", (ref, before_ms), as_flag)


def erase(*, ref: str, seen_ms: int, message_ids: Iterable[str]) -> ScriptCall[list[int]]:
    """
    Delete a call (empty for none) and messages, whose ids are kept for `seen_ms`.

    Returns how many calls, messages, failed entries and links; only -1 while a worker runs it.
    """
    return ScriptCall("erase", (ref, seen_ms, *message_ids), as_integers)


def link(*, ref: str, link_text: bytes, keep_ms: int) -> ScriptCall[list[int]]:
    """Keep a link (JSON). Returns 1 if it is new, and 1 if its call is known."""
    return ScriptCall("link", (ref, link_text, keep_ms), as_integers)


def expect(*, buildr_call_id: str, expectation: str) -> ScriptCall[object]:
    """
    Register an expected call (JSON, see `expect.lua`), or remove it if the text is empty.

    Returns a list of 1 for a new one, the calls woken, and the fields of its hash; a negative
    number for a window that cannot be; on removal 1, or 0 if there was none.
    """
    return ScriptCall("expect", (buildr_call_id, expectation), _unchanged)


def expected(
    *, ref: str, started_ms: int | None, limit: int, numbers: Iterable[str]
) -> ScriptCall[tuple[int, list[bytes], list[list[bytes]]]]:
    """
    Read what is expected with some numbers (E.164), for a call that started at a time, or now.

    Returns 1 if there are more than `limit` per number, the revisions of the numbers in their
    order, and the entries as flat lists of field and value.
    """
    arguments = (ref, _or_empty(started_ms), limit, *numbers)
    return ScriptCall("expected", arguments, _as_expected)


def claim(
    *, ref: str, buildr_call_id: str, revision: int | None, number: str, keep_ms: int
) -> ScriptCall[bool]:
    """
    Let an expected call be this call, and end the claim of this call on any other.

    `revision` is that of the entry as it was read. None is a claim that is certain, which is kept
    `keep_ms`; without a `buildr_call_id` claims only end. Returns whether the entry is the call's.
    """
    arguments = (ref, buildr_call_id, _or_empty(revision), number, keep_ms)
    return ScriptCall("claim", arguments, as_flag)


def phone_book_put(
    *, batch: int | None, most: int, entries: Iterable[tuple[int, str, str, str]]
) -> ScriptCall[int]:
    """
    Write entries of the phone book: bucket, number (digits), ids, origin. Returns how many are new.

    `batch` is the batch of all, None the newest one; `most` is how many entries a number has.
    """
    parts = (part for entry in entries for part in entry)
    return ScriptCall("phone_book_put", (_or_empty(batch), most, *parts), as_integer)


def phone_book_remove(*, bucket: int, number: str, contact_id: str) -> ScriptCall[int]:
    """Remove the entries of a number (digits), or those of one contact; returns how many."""
    return ScriptCall("phone_book_remove", (bucket, number, contact_id), as_integer)


def phone_book_sweep(
    *,
    first_bucket: int,
    end_bucket: int,
    limit: int,
    origin: str,
    batch: int,
    contact_ids: Iterable[str],
) -> ScriptCall[list[int]]:
    """
    Remove entries that are older than a batch, of one origin or all, and of these contacts if there
    are any, until `limit` numbers are read or `end_bucket` is reached.

    Returns how many, and the bucket to go on with.
    """
    chosen: tuple[Value, ...] = tuple(contact_ids)
    arguments = (first_bucket, end_bucket, limit, origin, batch, *chosen)
    return ScriptCall("phone_book_sweep", arguments, as_integers)


def phone_book_count(*, first_bucket: int, end_bucket: int, limit: int) -> ScriptCall[list[int]]:
    """
    Count until `limit` numbers are read or `end_bucket` is reached. Returns the bucket to go on
    with, then numbers, shared numbers, imported entries and synchronised entries.
    """
    return ScriptCall("phone_book_count", (first_bucket, end_bucket, limit), as_integers)


def _or_empty(value: int | None) -> Value:
    """An integer argument, empty for None."""
    if value is None:
        return ""
    return value


def _as_expected(reply: object) -> tuple[int, list[bytes], list[list[bytes]]]:
    if not isinstance(reply, list):
        raise TypeError("unexpected reply of the script expected")
    is_cut, revisions, entries = reply
    return int(is_cut), cast("list[bytes]", revisions), cast("list[list[bytes]]", entries)


def _as_lists(reply: object) -> list[list[Any]]:
    return cast("list[list[Any]]", as_list(reply))


def _unchanged(reply: object) -> object:
    return reply
