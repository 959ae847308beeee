"""
The whole text of the notes that a write sends: what is there, with our own part.
"""

from typing import Literal

import structlog

from service.logs.events import LogEvent
from service.store.delivery_record import DeliveryRecord
from workers.buildr import UpdatedCall
from workers.delivery.plan_types import BuildrWrite
from workers.outcomes.notes import merge_note

log = structlog.get_logger(__name__)


def merged_note(
    record: DeliveryRecord,
    write: BuildrWrite,
    current: UpdatedCall | None,
    mode: Literal["never", "if_empty", "append"],
) -> str | None:
    """The whole text of the notes to write, or None to leave them as they are."""
    if write.note_block is None or mode == "never":
        return None
    if current is None or not current.has_notes:
        # Without the present text, writing could destroy what somebody wrote in Buildr.
        log.warning(
            LogEvent.NOTE_LEFT_ALONE,
            reason="Buildr's answer does not show the notes",
            buildr_call_id=write.buildr_call_id,
        )
        return None
    return merge_note(current.notes, write.note_block, record.note_block, mode)
