"""
What Buildr's answer to a write shows of the fields that were sent.

A 200 alone confirms nothing: Buildr has answered so and kept the old value. A field that the answer
leaves out counts as taken, since Buildr's reference is incomplete.
"""

import html
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from workers.buildr import UpdatedCall
from workers.buildr.models import Company, Person, Project
from workers.delivery.difference import NOTES_FIELD, OUTCOME_FIELD
from workers.matching.callers import COMPANY_FIELD, CONTACT_FIELD, PROJECT_FIELD
from workers.outcomes.decide import outcome_key

# Field of an update -> the nested object of the answer that shows it.
ASSOCIATIONS: Final[Mapping[str, str]] = {
    CONTACT_FIELD: "contact",
    COMPANY_FIELD: "company",
    PROJECT_FIELD: "project",
}
RECORDED_AT_FIELD: Final = "recorded_at"
# Buildr may keep whole minutes.
SAME_TIME: Final = timedelta(seconds=60)
_TAG: Final = re.compile(r"<[^<>]*>")


class Confirmation(Struct, frozen=True, kw_only=True):
    """
    The sent fields of which the answer shows another value, with that value ("" for none), and
    those that it does not show.
    """

    not_taken: Mapping[str, str]
    not_shown: frozenset[str]


def is_same_id(first: str, second: str) -> bool:
    """Whether two ids of Buildr are the same; zeros in front are the operator's."""
    if not first or not second:
        return first == second
    return first.lstrip("0") == second.lstrip("0")


def shown_outcome(answer: UpdatedCall) -> str:
    """The id of the outcome that an answer shows, "" for none."""
    if answer.call_outcome is None:
        return ""
    return answer.call_outcome.id


def shown_id(answer: UpdatedCall, field_name: str) -> str:
    """The id that an answer shows for `contact_id`, `company_id` or `project_id`, "" for none."""
    record: Company | Person | Project | None = getattr(answer, ASSOCIATIONS[field_name])
    if record is None:
        return ""
    return record.id


def is_outcome(answer: UpdatedCall, outcome_id: str, name: str | None) -> bool:
    """
    Whether an answer shows this outcome.

    By its name too: an outcome that was merged into another, or made anew, has another id.
    """
    if is_same_id(shown_outcome(answer), outcome_id):
        return True
    if answer.call_outcome is None or not name:
        return False
    return outcome_key(answer.call_outcome.name) == outcome_key(name)


def hand_edit_reason(answer: UpdatedCall) -> str:
    """The sentence about an outcome in Buildr that is not from here."""
    name = "no outcome"
    if answer.call_outcome is not None:
        name = f"the outcome {answer.call_outcome.name}"
    return f"a person has given the call {name} in Buildr, and it is left to them"


def confirm(
    fields: Mapping[str, str],
    answer: UpdatedCall,
    *,
    outcome: str | None,
    notes_before: str | None = None,
) -> Confirmation:
    """
    Compare the fields of an update with Buildr's answer to it.

    `outcome` is the name of the outcome that was sent; `notes_before` the notes as they were.
    """
    not_taken: dict[str, str] = {}
    not_shown: set[str] = set()
    for name, value in fields.items():
        if not _is_shown(name, answer):
            not_shown.add(name)
            continue
        shown = _other_value(name, value, answer, outcome=outcome, notes_before=notes_before)
        if shown is not None:
            not_taken[name] = shown
    return Confirmation(not_taken=not_taken, not_shown=frozenset(not_shown))


def not_taken_text(fields: Mapping[str, str], not_taken: Mapping[str, str]) -> str:
    """What an answer shows instead of what was sent; never the text of notes."""
    parts = []
    for name, shown in sorted(not_taken.items()):
        if name == NOTES_FIELD:
            parts.append("the notes as they were before")
        else:
            parts.append(f"{name} {shown or 'null'} instead of {fields[name]}")
    return ", ".join(parts)


def _is_shown(name: str, answer: UpdatedCall) -> bool:
    if name == OUTCOME_FIELD:
        return answer.has_outcome
    # A time that is null or cannot be read shows nothing.
    if name == RECORDED_AT_FIELD:
        return answer.recorded_at is not None
    return answer.shows(ASSOCIATIONS.get(name, name))


def _other_value(
    name: str,
    value: str,
    answer: UpdatedCall,
    *,
    outcome: str | None,
    notes_before: str | None,
) -> str | None:
    """The value that the answer shows instead of the one that was sent, None if it is that one."""
    if name == OUTCOME_FIELD and not is_outcome(answer, value, outcome):
        return shown_outcome(answer)
    if name in ASSOCIATIONS and not is_same_id(shown_id(answer, name), value):
        return shown_id(answer, name)
    if name == RECORDED_AT_FIELD:
        return _other_time(value, answer.recorded_at)
    if name == NOTES_FIELD and _are_old_notes(value, answer.notes, notes_before):
        return answer.notes or ""
    return None


def _other_time(value: str, shown: datetime | None) -> str | None:
    if shown is None or abs(shown - datetime.fromisoformat(value)) <= SAME_TIME:
        return None
    return shown.isoformat()


def _are_old_notes(sent: str, shown: str | None, before: str | None) -> bool:
    """
    Whether notes are still those from before the write.

    Buildr may change blanks, add HTML or cut a long text, and somebody may type at the same moment:
    notes that have changed at all count as taken. Those that do not would be appended once more.
    """
    shown_text = _plain(shown)
    return shown_text == _plain(before) and shown_text != _plain(sent)


def _plain(text: str | None) -> str:
    """Notes without tags and blanks, for comparing."""
    return "".join(html.unescape(_TAG.sub(" ", text or "")).split())
