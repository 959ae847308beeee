"""
How the script of back-fills is called, as `service.store.script_calls` has it for the others.
"""

from collections.abc import Iterable

from service.store.script_runner import ScriptCall, as_integer


def backfill(
    *,
    ref: str,
    version: int,
    pending_count: int,
    dedupe_ms: int,
    most_unread: int,
    replay_request: str,
    packed_messages: Iterable[tuple[str, bytes]],
) -> ScriptCall[int]:
    """
    Keep messages of one call that were made from a vendor's call log; `packed_messages` are id and
    packed message.

    `version` and `pending_count` are the call's, as it was read; `replay_request` is JSON or empty.
    Returns how many are new, -1 if `most_unread` messages wait, -2 if the call has changed.
    """
    pairs = (part for pair in packed_messages for part in pair)
    arguments = (ref, version, pending_count, dedupe_ms, most_unread, replay_request, *pairs)
    return ScriptCall("backfill", arguments, as_integer)
