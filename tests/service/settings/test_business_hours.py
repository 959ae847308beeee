"""
`[business_hours]`: what can be written, and that all that is wrong is reported with its place.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import SettingsError
from service.settings import load_installation
from service.settings.business_hours import BusinessHours, Span, read_span
from service.settings.outcomes import OutcomeConfig

HOUR_S = 3600
ASKS = '[[rules]]\nwhen = {{ business_hours = {} }}\noutcome = ""\n'


def faults_of(folder: Path, text: str) -> Sequence[str]:
    """What the start reports of a file."""
    (folder / "buildr-calls.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_installation({}, cwd=folder)
    return caught.value.faults


def hours_of(folder: Path, text: str) -> BusinessHours:
    """The hours that a file holds."""
    (folder / "buildr-calls.toml").write_text(text, encoding="utf-8")
    hours = load_installation({}, cwd=folder).default.outcome_config.business_hours
    assert hours is not None
    return hours


@pytest.mark.parametrize(
    ("text", "opens_h", "closes_h"),
    [
        ("08:00-17:30", 8, 17.5),
        (" 08:00 - 17:30 ", 8, 17.5),
        ("08-17", 8, 17),
        ("08:00:30-17:30:30", 8 + 30 / 3600, 17.5 + 30 / 3600),
        ("00:00-24:00", 0, 24),
        ("08:00-24:00:00", 8, 24),
        ("08:00-00:00", 8, 24),
        ("22:00-06:00", 22, 30),
        ("00:01-00:00", 1 / 60, 24),
    ],
)
def test_spans(text: str, opens_h: float, closes_h: float) -> None:
    """A span ends on its day, at its midnight, or on the next day."""
    assert Span(round(opens_h * HOUR_S), round(closes_h * HOUR_S)) == read_span(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a span of time: a span is like 08:00-17:30, 08:00-24:00 or, past midnight"),
        ("08:00", "is not a span"),
        ("8-17 Uhr", "is not a span"),
        ("08:00-12:00-17:00", "is not a span"),
        ("08:00-25:00", "is not a span"),
        ("08:00-24:01", "is not a span"),
        ("08:00Z-17:00Z", "is not a span"),
        ("24:00-06:00", "write 00:00 for the next day"),
        ("08:00-08:00", "a whole day is 00:00-24:00"),
        ("00:00-00:00", "a whole day is 00:00-24:00"),
    ],
)
def test_wrong_span_says_what_to_write(text: str, message: str) -> None:
    """What cannot be read is refused with its text and the cure."""
    with pytest.raises(ValueError, match=r"span|opens|closes") as caught:
        read_span(text)
    assert repr(text) in str(caught.value)
    assert message in str(caught.value)


def test_day_to_midnight_past_midnight_with_a_break_and_a_holiday(tmp_path: Path) -> None:
    """One day ends at 24:00, one on the next day, one has a break; a date is a holiday."""
    hours = hours_of(
        tmp_path,
        '[business_hours]\ntimezone = "America/Chicago"\nmon = "00:00-24:00"\n'
        'tue = "22:00-06:00"\nwed = ["13:00-17:00", "08:00-12:00"]\nsun = []\n'
        'holidays = ["2026-12-25", 2026-07-04]\n',
    )
    assert [(0, 24)] == [(span.opens_s / 3600, span.closes_s / 3600) for span in hours.mon]
    assert [(22, 30)] == [(span.opens_s / 3600, span.closes_s / 3600) for span in hours.tue]
    assert [(8, 12), (13, 17)] == [
        (span.opens_s / 3600, span.closes_s / 3600) for span in hours.wed
    ]
    assert ((), ()) == (hours.thu, hours.sun)
    assert ["2026-12-25", "2026-07-04"] == [
        holiday.first.isoformat() for holiday in hours.holidays or ()
    ]


def test_all_wrong_spans_are_reported_at_once(tmp_path: Path) -> None:
    """Each day has its line with all that is wrong, in every table, before anything starts."""
    faults = faults_of(
        tmp_path,
        '[business_hours]\ntimezone = "Chicago"\nmon = "9-5pm"\n'
        'tue = ["08:00-12:00", "noon", "13:00-13:00"]\nwed = ["08:00-12:00", "11:00-17:00"]\n'
        'mno = "08:00-17:00"\nholidays = ["2026-13-01", "christmas", "2026-12-26..2026-12-24"]\n'
        '[business_hours.sales]\nfri = "x"\nfry = "08:00-16:00"\n',
    )
    starts = {fault.split(": ")[1]: fault for fault in faults}
    assert {
        "business_hours.timezone",
        "business_hours.mon",
        "business_hours.tue",
        "business_hours.wed",
        "business_hours.mno",
        "business_hours.holidays",
        "business_hours.sales.fri",
        "business_hours.sales.fry",
    } == set(starts)
    assert "'noon' is not a span" in starts["business_hours.tue"]
    assert "'13:00-13:00' closes when it opens" in starts["business_hours.tue"]
    assert "overlap: write them as one" in starts["business_hours.wed"]
    assert "is neither a day nor a table of hours" in starts["business_hours.mno"]
    for text in ("2026-13-01", "christmas", "2026-12-26..2026-12-24' ends before it begins"):
        assert text in starts["business_hours.holidays"]
    assert all(fault.startswith("buildr-calls.toml: ") for fault in faults)


def test_table_with_a_name_takes_time_zone_and_holidays_from_the_one_without() -> None:
    """Unless it gives its own; its days are its own alone."""
    hours = BusinessHours.model_validate(
        {
            "timezone": "America/Chicago",
            "mon": "08:00-17:00",
            "holidays": ["2026-12-25"],
            "sales": {"tue": "08:00-20:00"},
            "night": {"timezone": "Europe/Berlin", "mon": "22:00-06:00", "holidays": []},
        }
    )
    assert ("sales", "night") == hours.names
    sales = hours.table("sales")
    assert ("America/Chicago", hours.holidays, ()) == (sales.timezone, sales.holidays, sales.mon)
    night = hours.table("night")
    assert ("Europe/Berlin", ()) == (night.timezone, night.holidays)
    assert hours is hours.table(None)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (ASKS.format("true"), "rules[0] asks for business_hours, but there is no [business_hours]"),
        (
            ASKS.format('"sales"') + '[business_hours]\nmon = "08:00-17:00"\n',
            "there is no [business_hours.sales]",
        ),
        (
            ASKS.format('"salse"') + '[business_hours.sales]\nmon = "08:00-17:00"\n',
            "there is no [business_hours.salse], did you mean sales?",
        ),
        (
            ASKS.format("true") + '[business_hours.sales]\nmon = "08:00-17:00"\n',
            "[business_hours] names no day; ask for one of: sales",
        ),
        (
            ASKS.format("false").replace("business", "outside_business"),
            "rules[0] asks for business_hours, but there is no [business_hours]",
        ),
        (ASKS.format('""'), 'must be true, false, or a name like "sales"'),
        (ASKS.format("7"), 'must be true, false, or a name like "sales"'),
    ],
)
def test_rule_asks_for_hours_that_are_there(tables: str, message: str, tmp_path: Path) -> None:
    """A rule whose hours are not written is refused, with the names there are."""
    (fault,) = faults_of(tmp_path, tables)
    assert message in fault


def test_account_asks_for_hours_of_the_top(tmp_path: Path) -> None:
    """An account's rule may name hours that it has from the top of the file."""
    text = (
        '[business_hours.sales]\nmon = "08:00-17:00"\n'
        '[[accounts.acme.rules]]\nwhen = { business_hours = "sales" }\noutcome = ""\n'
    )
    (tmp_path / "buildr-calls.toml").write_text(text, encoding="utf-8")
    assert ("acme",) == tuple(
        account.account for account in load_installation({}, cwd=tmp_path).others
    )


def test_calendar_lies_beside_the_file(tmp_path: Path) -> None:
    """The path of a calendar is that from the TOML file, wherever the service starts."""
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "company.ics").write_text(
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20261225\r\nEND:VEVENT\r\n"
        "END:VCALENDAR\r\n",
        encoding="utf-8",
    )
    (folder / "mine.toml").write_text(
        '[business_hours]\nmon = "08:00-17:00"\nholidays = ["company.ics"]\n', encoding="utf-8"
    )
    settings = load_installation({"CONFIG": "conf/mine.toml"}, cwd=tmp_path).default
    assert settings.outcome_config.business_hours is not None
    (holiday,) = settings.outcome_config.business_hours.holidays or ()
    assert "2026-12-25" == holiday.first.isoformat()


def test_calendar_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """A file that is missing, no text, or no calendar is named with what is wrong."""
    (tmp_path / "bytes.ics").write_bytes(b"\xff\xfe")
    (tmp_path / "text.ics").write_text("Christmas", encoding="utf-8")
    (fault,) = faults_of(
        tmp_path, '[business_hours]\nholidays = ["none.ics", "bytes.ics", "text.ics", "2026-1-1"]\n'
    )
    assert fault.startswith("buildr-calls.toml: business_hours.holidays: cannot read none.ics: ")
    for message in (
        "cannot read bytes.ics: not a text file in UTF-8",
        "text.ics: line 1 is no line of an iCalendar file",
        "'2026-1-1' is no holiday: write 2026-12-25, 2026-12-24..2027-01-01, 12-25 for every year",
    ):
        assert message in fault


def test_map_of_hours_without_a_day_needs_no_rule() -> None:
    """A table that only sets time zone and holidays for the others is no fault."""
    tables = {"business_hours": {"timezone": "Asia/Tokyo", "sales": {"mon": "08:00-17:00"}}}
    assert OutcomeConfig.model_validate(tables).business_hours is not None


def test_wrong_zone_is_reported_with_an_example() -> None:
    """A time zone goes by its name in the database of zones."""
    with pytest.raises(ValidationError, match="use a name like America/Chicago"):
        BusinessHours.model_validate({"timezone": "CST6CDT7"})
