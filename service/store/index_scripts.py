"""
How the scripts that index calls and read many are called, as in `service.store.script_calls`.
"""

from collections.abc import Iterable

from service.store.keys import name_in
from service.store.redis_client import Value
from service.store.script_runner import ScriptCall, as_flag, as_integer, as_list


def index(
    *,
    ref: str,
    version: int,
    compressed_record: bytes,
    last_ms: int,
    keep_call_ms: int,
    buckets: Iterable[str],
) -> ScriptCall[bool]:
    """Index a call as it was read; false if it has been written since."""
    names: tuple[Value, ...] = tuple(buckets)
    arguments = (ref, version, compressed_record, last_ms, keep_call_ms, *names)
    return ScriptCall("index", arguments, as_flag)


def records(*, refs: Iterable[str]) -> ScriptCall[list[bytes | int]]:
    """
    The packed records of calls, in their order; of a call without one, how many of its messages no
    worker has read.
    """
    return ScriptCall("records", tuple(refs), as_list)


def add_ids(*, refs: Iterable[str]) -> ScriptCall[int]:
    """Put the names of those calls that are kept into their order; returns how many are kept."""
    return ScriptCall("add_ids", tuple(refs), as_integer)


def drop_ids(*, refs: Iterable[str]) -> ScriptCall[int]:
    """
    Take those calls that are kept no more out of the list of all and out of the order of names;
    returns how many.
    """
    return ScriptCall("drop_ids", tuple(refs), as_integer)


def find_ids(*, limit: int, ending: str, beginnings: Iterable[str]) -> ScriptCall[list[str]]:
    """The names that begin or end so, at most `limit` for each text."""
    return ScriptCall("find_ids", (limit, ending, *beginnings), _as_names)


def newest_ids(*, start: int, count: int, part: str) -> ScriptCall[tuple[int, list[str]]]:
    """
    How many calls were compared, of `count` from the `start` newest on, and the names among them
    that contain a text.
    """
    return ScriptCall("newest_ids", (start, count, part), _as_compared)


def _as_names(reply: object) -> list[str]:
    return [name_in(name) for name in as_list(reply) if isinstance(name, bytes)]


def _as_compared(reply: object) -> tuple[int, list[str]]:
    count, *_ = as_list(reply)
    return as_integer(count), _as_names(reply)
