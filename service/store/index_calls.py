"""
How the script that indexes old calls is called, as in `service.store.script_calls`.
"""

from collections.abc import Iterable

from service.store.redis_client import Value
from service.store.script_runner import ScriptCall, as_flag


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
