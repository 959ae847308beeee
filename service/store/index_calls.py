"""
How the scripts that index old calls and read many are called, as in `service.store.script_calls`.
"""

from collections.abc import Iterable

from service.store.redis_client import Value
from service.store.script_runner import ScriptCall, as_flag, as_list


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
