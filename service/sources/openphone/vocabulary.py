"""
The values of the fields of Quo, formerly OpenPhone, and what they mean.

Versioned: https://www.quo.com/docs/2026-03-30/webhooks-event-payloads. Legacy:
https://www.quo.com/docs/mdx/guides/webhooks.
"""

from collections.abc import Collection, Mapping
from typing import Final

from service.events import Direction, HangupCause

DIRECTIONS: Final[Mapping[str, Direction]] = {
    "incoming": Direction.INBOUND,
    "outgoing": Direction.OUTBOUND,
}

# Statuses of `call.completed`. Legacy calls are `completed` whether they were answered or not.
COMPLETED: Final = "completed"
AI_HANDLED: Final = "ai-handled"
CAUSES: Final[Mapping[str, HangupCause | None]] = {
    # Versioned. Of outgoing calls, what answered may be a machine: Quo cannot tell.
    "answered": HangupCause.COMPLETED,
    AI_HANDLED: HangupCause.COMPLETED,
    "unanswered": HangupCause.NO_ANSWER,
    "abandoned": HangupCause.CANCELLED,
    "failed": HangupCause.FAILED,
    "unknown": None,
    # Legacy.
    "no-answer": HangupCause.NO_ANSWER,
    "missed": HangupCause.NO_ANSWER,
    "busy": HangupCause.BUSY,
    "canceled": HangupCause.CANCELLED,
}
# A forwarded call has left Quo, and what became of it is not reported; the others are those of a
# call that is not over.
FORWARDED_STATUS: Final = "forwarded"
UNDECIDED: Final = frozenset({FORWARDED_STATUS, "queued", "initiated", "ringing", "in-progress"})
STATUSES: Final = frozenset({COMPLETED, *CAUSES, *UNDECIDED})

# Who answers in place of a person: Quo's AI agent. Users have ids that start with US.
AI_AGENT: Final = "ai-agent"
AI_HANDLERS: Final = frozenset({AI_AGENT})
SYSTEM_ACTOR: Final = "SY"

# How far a summary or a transcript is: only one that is completed holds any text.
PROCESSED: Final = "completed"
PROCESSING: Final = frozenset({"absent", "in-progress", PROCESSED, "failed"})

# `type`: the end of a call, and what Quo sends beside calls.
ENDED: Final = "call.completed"
FORWARDED: Final = "call.forwarded"
IGNORED_FAMILIES: Final = frozenset({"message", "contact", "task", "integration"})
# These events come for incoming calls only, and hold no direction.
INBOUND_ONLY: Final = frozenset({"call.missed", FORWARDED, "call.menu.selected"})
# What is written of a call, by a machine.
WRITTEN: Final = frozenset({"call.summary.completed", "call.transcript.completed"})
# These events name their call by `callId` only.
NAME_NO_CALL: Final = WRITTEN | {"call.voicemail.completed"}
# The values of each field beside those that name the event and its direction.
CALL_TABLES: Final[Mapping[str, Collection[str]]] = {"status": STATUSES, "aiHandled": AI_HANDLERS}
WRITTEN_TABLES: Final[Mapping[str, Collection[str]]] = {
    "status": PROCESSING,
    "processingStatus": PROCESSING,
}
