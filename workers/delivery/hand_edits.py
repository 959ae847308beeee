"""
What of a write gives way: to what was chosen by hand in Buildr, and to what Buildr refuses.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Final

import structlog
from msgspec import Struct

from service.errors import BuildrError, BuildrRejected
from service.logs.events import LogEvent
from service.store.delivery_record import DeliveryRecord
from workers.buildr import UpdatedCall
from workers.delivery.confirmation import (
    ASSOCIATIONS,
    hand_edit_reason,
    is_same_id,
    shown_id,
    shown_outcome,
)
from workers.delivery.plan import EMPTY
from workers.delivery.plan_types import BuildrWrite
from workers.matching.callers import ids_beside

OUTCOME_NOT_SHOWN: Final = (
    "Buildr's answer does not show the call's outcome, which may have been edited by hand, so that "
    "nothing is changed"
)
UNKNOWN_ID_STATUSES: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)

log = structlog.get_logger(__name__)


class HandEdited(Exception):
    """Raised when the call's outcome in Buildr was changed there, or may have been."""


class GuardedIds(Struct, frozen=True, kw_only=True):
    """
    Ids of the phone book, by field: those to write, and those to leave.

    `reason` is why some are left although Buildr does not hold them, or "".
    """

    to_write: Mapping[str, str]
    left: Mapping[str, str]
    reason: str = ""


def check_outcome(current: UpdatedCall, allowed_outcome_ids: frozenset[str]) -> None:
    """Raises `HandEdited` if the outcome in Buildr is not one of those that may be replaced."""
    # Closed by default, as where Buildr shows no call by an empty update: what cannot be compared
    # may be somebody's.
    if not current.has_outcome:
        raise HandEdited(OUTCOME_NOT_SHOWN)
    outcome_id = shown_outcome(current)
    # By id and not by name: an operator may rename an outcome in Buildr, which changes no call.
    if not any(is_same_id(outcome_id, allowed_id) for allowed_id in allowed_outcome_ids):
        raise HandEdited(hand_edit_reason(current))


def refused_ids(write: BuildrWrite, sent: Collection[str], err: BuildrError) -> dict[str, str]:
    """
    The ids of the phone book for which Buildr may have refused a request with the fields `sent`.

    Empty if there are none, or if the error is not about the fields of one request. Buildr does not
    document how it answers an id that it does not have.
    """
    if not isinstance(err, BuildrRejected) or err.status_code not in UNKNOWN_ID_STATUSES:
        return {}
    return {name: write.fields[name] for name in write.caller_fields if name in sent}


def guard_ids(
    ids: Mapping[str, str], current: UpdatedCall | None, written: Mapping[str, str]
) -> GuardedIds:
    """
    Which ids of the phone book may be written to a call as Buildr shows it, None if it does not.

    What Buildr holds and was not `written` from here was chosen there, and so was a field that is
    empty though it was written.
    """
    # Closed by default: what cannot be compared is not written. An id that is missing in Buildr is
    # a smaller loss than one that somebody chose and that was overwritten.
    if current is None:
        return GuardedIds(to_write={}, left=ids, reason="Buildr does not show what it holds")
    chosen = _chosen_ids(current, written)
    to_write = ids_beside(ids, chosen)
    left = {name: value for name, value in ids.items() if name not in to_write}
    # Left because Buildr holds the same already. That is no decision of somebody's to report.
    if all(chosen.get(name) == value for name, value in left.items()):
        return GuardedIds(to_write=to_write, left=left)
    return GuardedIds(to_write=to_write, left=left, reason=f"Buildr holds {_described(chosen)}")


def with_left_ids(
    record: DeliveryRecord, write: BuildrWrite, ids: Mapping[str, str], reason: str, *, at: datetime
) -> DeliveryRecord:
    """The record with ids of the phone book that are not written; with a reason it is logged."""
    record = record.with_left_ids(write.buildr_call_id, ids)
    if not reason:
        return record
    log.info(LogEvent.CALL_FILING_LEFT, buildr_call_id=write.buildr_call_id, reason=reason)
    names = ", ".join(f"{name} {value}" for name, value in sorted(ids.items()))
    return record.with_history(at, "not filed", f"{names} of the phone book; {reason}")


def _chosen_ids(current: UpdatedCall, written: Mapping[str, str]) -> dict[str, str]:
    """The ids that were chosen in Buildr, by field; empty for one that was emptied."""
    chosen: dict[str, str] = {}
    for name, attribute in ASSOCIATIONS.items():
        value = shown_id(current, name)
        # A field that the answer leaves out counts as chosen: it may hold anything.
        if not is_same_id(value, written.get(name, EMPTY)) or not current.shows(attribute):
            chosen[name] = value
    return chosen


def _described(chosen: Mapping[str, str]) -> str:
    return ", ".join(f"{ASSOCIATIONS[name]} {value or 'none'}" for name, value in chosen.items())
