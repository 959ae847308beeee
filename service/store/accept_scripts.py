"""
How the scripts are called that keep a message: `accept`, `accept_many`, `keep_failed`.
"""

from collections.abc import Sequence
from enum import IntEnum

from redis._parsers.base import BaseParser

from service.store.redis_client import Value
from service.store.script_runner import ScriptCall, as_integer, as_list


class AcceptResult(IntEnum):
    """What became of a message: kept, known already, or refused since too many wait."""

    FULL = -1
    REPEATED = 0
    KEPT = 1


def accept(
    *, message_id: str, ref: str, dedupe_ms: int, max_pending: int, packed_message: bytes
) -> ScriptCall[AcceptResult]:
    """
    Keep a message and set its call's alarm.

    Its id is kept `dedupe_ms` beside the message, or not at all if that is 0; with `max_pending`
    unread messages it is refused.
    """
    arguments = (message_id, ref, dedupe_ms, max_pending, packed_message)
    return ScriptCall("accept", arguments, _as_accept_result)


def accept_many(
    *, dedupe_ms: Value, max_pending: Value, messages: Sequence[Value]
) -> ScriptCall[list[AcceptResult | Exception]]:
    """
    The same for many messages: of each its id, its call and itself, packed, one after the other.
    The answer to each, or its error.
    """
    return ScriptCall("accept_many", (dedupe_ms, max_pending, *messages), _as_accept_results)


def keep_failed(
    *,
    message_id: str,
    source: str,
    dedupe_ms: int,
    keep_ms: int,
    entry: str,
    packed_message: bytes,
) -> ScriptCall[AcceptResult]:
    """Keep a message that cannot be read for `keep_ms`, with its failed entry (JSON)."""
    arguments = (message_id, source, dedupe_ms, keep_ms, entry, packed_message)
    return ScriptCall("keep_failed", arguments, _as_accept_result)


def _as_accept_results(reply: object) -> list[AcceptResult | Exception]:
    return [_as_result_or_error(part) for part in as_list(reply)]


def _as_result_or_error(part: bytes | int) -> AcceptResult | Exception:
    if isinstance(part, int):
        return AcceptResult(part)
    # As an error of its own would be: the class says what kind of trouble it is.
    text = part.decode(errors="backslashreplace")
    error: Exception = BaseParser.parse_error(text)  # type: ignore[no-untyped-call]
    return error


def _as_accept_result(reply: object) -> AcceptResult:
    return AcceptResult(as_integer(reply))
