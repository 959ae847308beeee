"""
What a replay of a call or of a failed message will do: a code for programs, and a label for people.
"""

from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """What a replay will do. The values are stable: `--json` prints them."""

    WRITE = "will_write"
    FORCED = "will_write_forced"
    UNCHECKED = "will_write_unchecked"
    ALREADY_WRITTEN = "already_written"
    NEWER = "newer_state"
    ALREADY_QUEUED = "already_queued"
    HAND_EDITED = "hand_edited"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    NOT_SHOWN = "not_shown"
    UNMATCHED = "unmatched"
    LEFT_ALONE = "left_alone"
    NOT_FINAL = "not_final"
    NO_OUTCOME = "no_such_outcome"
    OUTCOMES_UNREAD = "outcomes_unread"
    TAKEN = "taken"
    UNREADABLE = "unreadable"
    NO_CALL_ID = "no_call_id"
    GONE = "gone"

    @property
    def label(self) -> str:
        """The verdict in words, for tables."""
        return _LABELS[self]


_LABELS: Final = {
    Verdict.WRITE: "will write",
    Verdict.FORCED: "will write (forced)",
    Verdict.UNCHECKED: "will write, unless hand-edited in Buildr",
    Verdict.ALREADY_WRITTEN: "already written",
    Verdict.NEWER: "newer state",
    Verdict.ALREADY_QUEUED: "already queued",
    Verdict.HAND_EDITED: "hand-edited in Buildr",
    Verdict.NOT_FOUND: "Buildr has no such call (404)",
    Verdict.REFUSED: "Buildr refuses it",
    Verdict.NOT_SHOWN: "Buildr does not show its outcome",
    Verdict.UNMATCHED: "unmatched",
    Verdict.LEFT_ALONE: "left alone",
    Verdict.NOT_FINAL: "not final",
    Verdict.NO_OUTCOME: "no such outcome",
    Verdict.OUTCOMES_UNREAD: "outcomes not known yet",
    Verdict.TAKEN: "taken by another command or worker",
    Verdict.UNREADABLE: "still cannot be read",
    Verdict.NO_CALL_ID: "still names no call",
    Verdict.GONE: "nothing is stored of it any more",
}
WRITES: Final = frozenset({Verdict.WRITE, Verdict.FORCED, Verdict.UNCHECKED})
# A failed entry with one of these stays on the list: an operator has to do something first.
NEEDS_OPERATOR: Final = frozenset(
    {
        Verdict.HAND_EDITED,
        Verdict.NOT_FOUND,
        Verdict.REFUSED,
        Verdict.NOT_SHOWN,
        Verdict.NO_OUTCOME,
        Verdict.OUTCOMES_UNREAD,
        Verdict.TAKEN,
        Verdict.UNREADABLE,
        Verdict.NO_CALL_ID,
        Verdict.GONE,
    }
)
