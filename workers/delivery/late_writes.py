"""
Writes whose answer never came: Buildr may carry them out after a later one.

The call is then read again, by an update without fields, 1, 5 and 30 minutes after the later write.
What Buildr holds of an unanswered write is written over again; any other value is a hand edit.
"""

from datetime import datetime, timedelta
from typing import Final

import structlog
from msgspec.structs import replace

from service.errors import BuildrError
from service.logs.events import LogEvent
from service.store.delivery_record import DeliveryRecord
from service.store.unanswered_writes import UnansweredWrite, UnansweredWrites
from workers.buildr import UpdatedCall
from workers.delivery.confirmation import (
    ASSOCIATIONS,
    hand_edit_reason,
    is_outcome,
    is_same_id,
    shown_id,
    shown_outcome,
)
from workers.delivery.difference import IMMATERIAL, OUTCOME_FIELD
from workers.outcomes.notes import contains_block

# Seconds after the write that is confirmed. A request that a queue or a proxy still holds arrives
# within the first minutes, if at all.
RECHECKS_S: Final = (60.0, 300.0, 1800.0)
# An unanswered write that is older is not carried out any more.
LONGEST_LATE: Final = timedelta(hours=1)
# After a recheck that failed.
RETRY: Final = timedelta(seconds=60)

log = structlog.get_logger(__name__)


def delivered(record: DeliveryRecord) -> DeliveryRecord:
    """The delivered record, with the next recheck in its reason."""
    record = record.to_delivered()
    recheck_at = record.unanswered.recheck_at
    if recheck_at is None:
        return record
    return record.with_reason(
        f"{record.reason}; read again at {recheck_at:%H:%M:%S} UTC, since an earlier write had no "
        "answer and may come late"
    )


def with_rechecks(record: DeliveryRecord, at: datetime) -> DeliveryRecord:
    """
    A record whose write has just been confirmed, with rechecks if an earlier write may come late.

    One that would change nothing needs none: mostly the same write was sent again.
    """
    recent = tuple(write for write in record.unanswered.writes if at - write.at < LONGEST_LATE)
    unanswered = replace(record.unanswered.without_recheck(), writes=recent)
    record = replace(record, unanswered=unanswered)
    if not _stale_writes(record):
        return record
    recheck_at = at + timedelta(seconds=RECHECKS_S[0])
    return delivered(replace(record, unanswered=unanswered.with_recheck(recheck_at, made=0)))


def after_recheck(
    record: DeliveryRecord, current: UpdatedCall, outcome_name: str, at: datetime
) -> DeliveryRecord:
    """
    The record after the call was read again.

    Where Buildr holds a value of an unanswered write, it counts as written: the next plan finds the
    difference, and `recheck_at` is now.
    """
    if not current.has_outcome:
        return _ended(record, at, "Buildr's answer does not show the outcome")
    late = next(
        (write for write in _stale_writes(record) if _has_come(write, record, current)), None
    )
    if late is not None:
        return _with_late_write(record, late, current, at)
    if not is_outcome(current, record.written.get(OUTCOME_FIELD, ""), outcome_name):
        return _with_hand_edit(record, current, at)
    made = record.unanswered.rechecks_made + 1
    detail = f"Buildr holds {outcome_name}; check {made} of {len(RECHECKS_S)} for a late write"
    record = record.with_history(at, "checked again", detail)
    if made >= len(RECHECKS_S):
        return delivered(replace(record, unanswered=UnansweredWrites()))
    next_at = (record.written_at or at) + timedelta(seconds=RECHECKS_S[made])
    unanswered = record.unanswered.with_recheck(max(next_at, at + RETRY), made=made)
    return delivered(replace(record, unanswered=unanswered))


def after_failed_recheck(record: DeliveryRecord, err: BuildrError, at: datetime) -> DeliveryRecord:
    """The record after the call could not be read again: later, or not at all if it is refused."""
    if not err.retryable:
        return _ended(record, at, str(err))
    made = record.unanswered.rechecks_made
    return replace(record, unanswered=record.unanswered.with_recheck(at + RETRY, made=made))


def _ended(record: DeliveryRecord, at: datetime, reason: str) -> DeliveryRecord:
    record = delivered(replace(record, unanswered=record.unanswered.without_recheck()))
    detail = f"whether a late write has come cannot be checked: {reason}"
    return record.with_history(at, "not checked", detail)


def _with_hand_edit(record: DeliveryRecord, current: UpdatedCall, at: datetime) -> DeliveryRecord:
    reason = hand_edit_reason(current)
    log.info(LogEvent.CALL_LEFT_TO_PERSON, buildr_call_id=record.written_to, reason=reason)
    unanswered = record.unanswered.without_recheck()
    return replace(record, unanswered=unanswered).to_hand_edited(at, reason)


def _stale_writes(record: DeliveryRecord) -> list[UnansweredWrite]:
    """The unanswered writes to the call of the last write that would change it again."""
    writes = record.unanswered.of(record.written_to)
    return [write for write in writes if _differs(write, record)]


def _differs(write: UnansweredWrite, record: DeliveryRecord) -> bool:
    if write.note_block is not None and write.note_block != record.note_block:
        return True
    return any(
        record.written.get(name) not in (None, value)
        for name, value in write.fields.items()
        if name not in IMMATERIAL
    )


def _has_come(write: UnansweredWrite, record: DeliveryRecord, current: UpdatedCall) -> bool:
    """Whether Buildr holds something of an unanswered write in the place of what came later."""
    return bool(_late_fields(write, record, current)) or _has_stale_note(write, record, current)


def _late_fields(
    write: UnansweredWrite, record: DeliveryRecord, current: UpdatedCall
) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in write.fields.items():
        written = record.written.get(name)
        if written is None or is_same_id(written, value):
            continue
        if name == OUTCOME_FIELD and is_same_id(shown_outcome(current), value):
            fields[name] = value
        if name in ASSOCIATIONS and is_same_id(shown_id(current, name), value):
            fields[name] = value
    return fields


def _has_stale_note(write: UnansweredWrite, record: DeliveryRecord, current: UpdatedCall) -> bool:
    if write.note_block is None or record.note_block in (None, write.note_block):
        return False
    notes = current.notes or ""
    return contains_block(notes, write.note_block) and not contains_block(notes, record.note_block)


def _with_late_write(
    record: DeliveryRecord, late: UnansweredWrite, current: UpdatedCall, at: datetime
) -> DeliveryRecord:
    fields = _late_fields(late, record, current)
    note_block = record.note_block
    if _has_stale_note(late, record, current):
        note_block = late.note_block
    names = ", ".join(f"{name} {value}" for name, value in sorted(fields.items())) or "notes"
    log.warning(LogEvent.BUILDR_LATE_WRITE, buildr_call_id=late.buildr_call_id, fields=names)
    detail = f"Buildr has carried out what was sent at {late.at:%H:%M:%S} UTC: {names}"
    # The write that mends it plans the next rechecks, if other unanswered writes may still come.
    record = replace(
        record,
        written={**record.written, **fields},
        note_block=note_block,
        unanswered=record.unanswered.without(late).with_recheck(at, made=0),
        unsettled_since=at,
    )
    return record.with_history(at, "late write", detail)
