"""
The page on outcomes is true: its examples are read at the start, its tables name all there is.
"""

import re
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from service.events import Result
from service.settings import Settings, load_installation
from service.settings.conditions import When
from service.settings.outcome_tests import SampleCall
from tests.repository.facts_table import OF_CALLS, OF_EVENTS
from workers.outcomes.notes import template_values
from workers.outcomes.sample_calls import build_call, run_tests

PAGE: Final = (Path(__file__).parents[2] / "docs" / "outcomes.md").read_text(encoding="utf-8")
BLOCKS: Final = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
CALENDAR: Final = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:20261225
END:VEVENT
END:VCALENDAR
"""


def load(folder: Path, text: str) -> Settings:
    """The settings of a file, with the calendar beside it that the page names."""
    (folder / "holidays.ics").write_text(CALENDAR, encoding="utf-8")
    (folder / "buildr-calls.toml").write_text(text, encoding="utf-8")
    return load_installation({}, cwd=folder).default


@pytest.mark.parametrize("block", BLOCKS)
def test_examples_are_read(block: str, tmp_path: Path) -> None:
    """Whoever copies an example has settings with which the service starts."""
    load(tmp_path, block)


def test_sample_calls_of_the_page_pass_with_its_rules(tmp_path: Path) -> None:
    """The tests that the page shows hold for the rules that it shows."""
    (rules,) = (block for block in BLOCKS if "Short calls" in block)
    (tests,) = (block for block in BLOCKS if "outcomes.tests" in block)
    results = run_tests(load(tmp_path, tests + rules).outcome_config)
    assert [True, True] == [result.is_passed for result in results]


def test_every_condition_has_its_row() -> None:
    """A condition that the page does not name could not be found."""
    rows = "\n".join(re.findall(r"^\| (`.*?) \| ", PAGE, flags=re.MULTILINE))
    assert [] == [name for name in When.model_fields if f"`{name}`" not in rows]


def test_every_condition_on_a_fact_is_in_the_table_of_sources() -> None:
    """For each condition the page of telephony systems lists who tells the fact."""
    facts = set(chain.from_iterable((*OF_CALLS, *OF_EVENTS)))
    not_facts = {"result", "source", "stalled", "stage", "duration_at_least_s", "duration_below_s"}
    assert set(When.model_fields) - not_facts == facts


def test_every_template_variable_has_its_row() -> None:
    """The same for what a note may hold."""
    rows = "\n".join(re.findall(r"^\| (`.*?) \| ", PAGE, flags=re.MULTILINE))
    call = build_call(SampleCall(result=Result.CONNECTED))
    variables = template_values(call, call.result, "Connected")
    assert [] == [name for name in variables if f"`{name}`" not in rows]


def test_every_key_of_a_sample_call_is_named() -> None:
    """And for what a sample call may hold."""
    text = PAGE[PAGE.index("A call has a `result`") :]
    assert [] == [name for name in SampleCall.model_fields if f"`{name}`" not in text]
