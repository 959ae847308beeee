"""
What of a write gives way: to what was chosen by hand in Buildr, and to what Buildr refuses.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from service.errors import BuildrError, BuildrRejected
from workers.buildr import UpdatedCall
from workers.buildr.models import Company, Person, Project
from workers.delivery.plan import EMPTY
from workers.delivery.plan_types import BuildrWrite
from workers.matching.callers import COMPANY_FIELD, CONTACT_FIELD, PROJECT_FIELD, ids_beside

# Field of an update -> the nested object of the answer that shows it.
ASSOCIATIONS: Final[Mapping[str, str]] = {
    CONTACT_FIELD: "contact",
    COMPANY_FIELD: "company",
    PROJECT_FIELD: "project",
}


UNKNOWN_ID_STATUSES: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


class HandEdited(Exception):
    """Raised when the call's outcome in Buildr was changed there, or may have been."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedIds:
    """
    Ids of the phone book, by field: those to write, and those to leave.

    `reason` is why some are left although Buildr does not hold them, or "".
    """

    to_write: Mapping[str, str]
    left: Mapping[str, str]
    reason: str = ""


def check_outcome(current: UpdatedCall, allowed_outcome_ids: frozenset[str]) -> None:
    """Raises `HandEdited` if the outcome in Buildr is not one of those that may be replaced."""
    # Buildr's answer may leave the field out, see `UpdatedCall`. The write goes on then: with an
    # account whose answers never show it, nothing could be replayed otherwise.
    if not current.has_outcome:
        return
    outcome_id = EMPTY
    description = "no outcome"
    if current.call_outcome is not None:
        outcome_id = current.call_outcome.id
        description = f"the outcome {current.call_outcome.name}"
    # By id and not by name: an operator may rename an outcome in Buildr, which changes no call.
    if outcome_id not in allowed_outcome_ids:
        raise HandEdited(_reason(description))


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


def _reason(outcome: str) -> str:
    return f"a person has given the call {outcome} in Buildr, and it is left to them"


def _chosen_ids(current: UpdatedCall, written: Mapping[str, str]) -> dict[str, str]:
    """The ids that were chosen in Buildr, by field; empty for one that was emptied."""
    chosen: dict[str, str] = {}
    for name, attribute in ASSOCIATIONS.items():
        value = EMPTY
        record: Company | Person | Project | None = getattr(current, attribute)
        if record is not None:
            value = record.id
        # A field that the answer leaves out counts as chosen: it may hold anything.
        if value != written.get(name, EMPTY) or not current.shows(attribute):
            chosen[name] = value
    return chosen


def _described(chosen: Mapping[str, str]) -> str:
    return ", ".join(f"{ASSOCIATIONS[name]} {value or 'none'}" for name, value in chosen.items())
