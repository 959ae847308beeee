"""
What an answer of Buildr shows of the fields that were sent.
"""

import pytest

from workers.buildr.models import UpdatedCall, read_call
from workers.delivery.confirmation import confirm


def answer(**shown: object) -> UpdatedCall:
    """Buildr's answer to an update."""
    return read_call({"call": {"id": "110", **shown}}, "110")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"call_outcome_id": "0786"}, {"call_outcome": {"id": "786", "name": "Connected"}}),
        ({"call_outcome_id": "786"}, {"call_outcome": {"id": "786", "name": "Renamed"}}),
        # Merged into another, or made anew under the same name.
        ({"call_outcome_id": "786"}, {"call_outcome": {"id": "900", "name": "connected"}}),
        ({"company_id": "0753"}, {"company": {"id": 753}}),
        ({"recorded_at": "2026-11-02T10:00:59Z"}, {"recorded_at": "2026-11-02T11:00:00+01:00"}),
        ({"notes": "Rang at  10\nTwice"}, {"notes": "<p>Rang at 10</p><p>Twice</p>"}),
        ({"notes": "Old\n\nNew"}, {"notes": "Old, and typed at the same moment"}),
    ],
)
def test_value_in_another_form_is_taken(fields: dict[str, str], shown: dict[str, object]) -> None:
    """Zeros, names, time zones and formatted notes make no difference."""
    result = confirm(fields, answer(**shown), outcome="Connected", notes_before="Old")
    assert ({}, frozenset()) == (result.not_taken, result.not_shown)


@pytest.mark.parametrize(
    ("fields", "shown", "not_taken"),
    [
        ({"call_outcome_id": "786"}, {"call_outcome": None}, ""),
        ({"call_outcome_id": "786"}, {"call_outcome": {"id": "790", "name": "Busy"}}, "790"),
        ({"contact_id": "144"}, {"contact": {"id": "418"}}, "418"),
        ({"project_id": "372"}, {"project": None}, ""),
        (
            {"recorded_at": "2026-11-02T10:00:00Z"},
            {"recorded_at": "2026-11-02T12:00:00Z"},
            "2026-11-02T12:00:00+00:00",
        ),
        ({"notes": "Old\n\nNew"}, {"notes": "<p>Old</p>"}, "<p>Old</p>"),
        ({"notes": "Old\n\nNew"}, {"notes": "Old"}, "Old"),
    ],
)
def test_other_value_is_not_taken(
    fields: dict[str, str], shown: dict[str, object], not_taken: str
) -> None:
    """What the answer shows instead is reported."""
    result = confirm(fields, answer(**shown), outcome="Connected", notes_before="Old")
    assert {next(iter(fields)): not_taken} == result.not_taken


def test_field_that_is_not_shown_is_no_other_value() -> None:
    """An answer may leave fields out, and a time may be none."""
    fields = {"call_outcome_id": "786", "company_id": "1", "recorded_at": "2026-11-02T10:00:00Z"}
    result = confirm(fields, answer(recorded_at="yesterday"), outcome="Connected")
    assert ({}, frozenset(fields)) == (result.not_taken, result.not_shown)
