"""
Messages that came together, kept by one call of a script.
"""

from collections.abc import Sequence

from service.store.accept_scripts import AcceptResult, accept_many
from service.store.redis_client import Value
from service.store.script_runner import ScriptCall


def accept_together(
    calls: Sequence[ScriptCall[AcceptResult]],
) -> ScriptCall[list[AcceptResult | Exception]] | None:
    """
    One call in place of several of `accept` under the same limits: the answer to each, or its
    error. None if there are others.
    """
    if not calls:
        return None
    limits = calls[0].arguments[2:4]
    messages: list[Value] = []
    for call in calls:
        arguments = call.arguments
        if call.script != "accept" or arguments[2:4] != limits:
            return None
        messages += (arguments[0], arguments[1], arguments[4])
    dedupe_ms, max_pending = limits
    return accept_many(dedupe_ms=dedupe_ms, max_pending=max_pending, messages=messages)
