"""
`links import` and `expect import`: files as spreadsheets and other programs write them.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.workers.cli.conftest import Run, Seed, ended
from workers.cli.csv_file import read_csv

TODAY = datetime.now(UTC).date()
LOST = "digits were lost in a spreadsheet; format the column as text and export it again"
LINKS = "source,source_call_id,buildr_call_id\n"


def write(tmp_path: Path, text: str, encoding: str = "utf-8") -> str:
    """A file in the command's folder; gives its name."""
    (tmp_path / "file.csv").write_bytes(text.encode(encoding))
    return "file.csv"


def faults_of(run: Run, *arguments: str) -> list[tuple[int, str | None, str]]:
    """Line, column and cause of what is wrong with a file."""
    report = json.loads(run(*arguments, "--json", code=1).stdout)
    assert 0 == report["set"]
    return [(fault["line"], fault["column"], fault["cause"]) for fault in report["faults"]]


def expected_of(run: Run) -> dict[str, dict[str, object]]:
    """The expected calls, by Buildr call."""
    entries = json.loads(run("expected", "list", "--json").stdout)
    return {entry["buildr_call_id"]: entry for entry in entries}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_usual_files_are_read(run: Run, tmp_path: Path, encoding: str, delimiter: str) -> None:
    """Whatever a spreadsheet writes, with its signs of texts and its decimal places."""
    rows = [
        ["Source", "Source call ID", "buildr_call_id", "Straße"],
        ["Twilio", '"CA1"', "110.0", "Höhe"],
        ["standard", "'0099", "111", ""],
    ]
    text = "sep=;\r\n" + "".join(delimiter.join(row) + "\r\n" for row in rows)
    result = run("links", "import", write(tmp_path, text, encoding))
    assert "set: 2, 2 of them new" in result.stdout
    assert "columns that are not read: Straße" in result.stderr
    links = json.loads(run("links", "list", "--json").stdout)
    assert {("twilio", "CA1", "110"), ("standard", "0099", "111")} == {
        (link["source"], link["source_call_id"], link["buildr_call_id"]) for link in links
    }


def test_each_wrong_row_is_named_and_nothing_is_set(run: Run, tmp_path: Path) -> None:
    """One line each, and the rows behind an open quote are read all the same."""
    text = LINKS + (
        'twilio,"CA1,110\n'
        "twilio,CA2,111\n"
        "dialpad,7.41241E+18,112\n"
        "twilio,CA3,1.1E+02\n"
        "twilio,CA4,113,x\n"
        "twilio,CA2,114\n"
        "twilio,CA5,0115\n"
        '\ntwilio,"C"A6,116\n'
    )
    file = write(tmp_path, text)
    causes = faults_of(run, "links", "import", file)
    assert [
        (2, None, "a quotation mark is not closed, or is inside a cell and not doubled"),
        (
            4,
            "source_call_id",
            f"7.41241E+18: {LOST}",
        ),
        (
            5,
            "buildr_call_id",
            f"1.1E+02: {LOST}",
        ),
        (6, None, "more cells than the first line has columns; is one not quoted?"),
        (7, None, "the same call as in line 3"),
        (8, "buildr_call_id", "begins with a zero"),
        (10, None, "a quotation mark is not closed, or is inside a cell and not doubled"),
    ] == causes
    stderr = run("links", "import", file, code=1).stderr
    assert "line 4, source_call_id: 7.41241E+18" in stderr
    assert "nothing was set; correct the lines above" in stderr
    assert [] == json.loads(run("links", "list", "--json").stdout)
    skipped = run("links", "import", file, "--skip-invalid", code=1)
    assert "set: 1, 1 of them new" in skipped.stdout
    assert "skipped: 7" in skipped.stderr
    assert "replaced" in run("links", "set", "twilio", "CA2", "119").stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("PK\x03\x04...", "no CSV file but a spreadsheet"),
        ("source,source_call_id,buildr_call_id,compny_id\n", "did you mean company_id?"),
        ('source,"source_call_id\n', "line 1: a quotation mark is not closed"),
        ("source,buildr_call_id\n", "column source_call_id is missing"),
    ],
)
def test_a_file_that_is_none_is_one_line(run: Run, tmp_path: Path, text: str, message: str) -> None:
    """It says what to do."""
    assert message in run("links", "import", write(tmp_path, text), code=1).stderr


def test_a_file_that_ends_within_a_letter_is_no_utf_8() -> None:
    """It is read as what else it can be."""
    (row,) = read_csv(b"id,name\n1,Zo\xc3").rows
    assert ("1", "Zo\u00c3") == row.cells


@pytest.mark.parametrize("command", ["links", "expect", "phonebook"])
def test_a_file_that_is_not_there_is_wrong_usage(run: Run, tmp_path: Path, command: str) -> None:
    """The same exit code for all that read one; a folder is no file."""
    result = run(command, "import", "nowhere.csv", code=2)
    assert "'nowhere.csv' does not exist" in result.stderr
    assert "is a directory" in run(command, "import", str(tmp_path), code=2).stderr


def test_a_link_wakes_its_call(run: Run, seed: Seed, tmp_path: Path) -> None:
    """The answer says how many calls go on because of the import."""
    seed(ended("CA1"))
    result = run("links", "import", write(tmp_path, f"{LINKS}twilio,CA1,110\n"))
    assert "calls that go on now: 1" in result.stdout


def test_many_faults_are_cut(run: Run, tmp_path: Path) -> None:
    """A terminal shows twenty, JSON all."""
    text = LINKS + "".join(f"nowhere,CA{number},110\n" for number in range(30))
    file = write(tmp_path, text)
    assert "and 10 more; --json lists all" in run("links", "import", file, code=1).stderr
    assert 30 == len(faults_of(run, "links", "import", file))


def test_a_list_of_calls_is_expected(run: Run, tmp_path: Path) -> None:
    """Columns are found by their usual names; a day is one of the time zone."""
    day = TODAY + timedelta(days=2)
    text = (
        "ID;Project;Office Phone;Mobile;Assigned To;Due date;Direction\n"
        f"110;Tower;(500) 555-0001;+1 500 555 0002;ana@example.com;{day};Outbound\n"
        f"111;Tower;;500-555-0003 | 500-555-0004;;{day.month}/{day.day}/{day.year};\n"
        f"112;Tower;5005550005;;;{day.day}.{day.month}.{day.year};\n"
        "113;Tower;5005550006;;;;\n"
    )
    file = write(tmp_path, text, "latin-1")
    dry = run("expect", "import", file, "--dry-run")
    assert "would set: 4" in dry.stdout
    assert "columns that are not read: Project" in dry.stderr
    assert {} == expected_of(run)
    arguments = ("expect", "import", file, "--timezone", "America/Chicago", "--json")
    report = json.loads(run(*arguments).stdout)
    assert (4, 4, 0, ["Project"]) == (
        report["set"],
        report["new"],
        report["invalid"],
        report["unused_columns"],
    )
    entries = expected_of(run)
    assert (["+15005550001", "+15005550002"], "ana@example.com", "outbound") == (
        entries["110"]["numbers"],
        entries["110"]["agent"],
        entries["110"]["direction"],
    )
    assert ["+15005550003", "+15005550004"] == entries["111"]["numbers"]
    opens_at = datetime.fromisoformat(str(entries["110"]["not_before"]))
    assert 0 == opens_at.astimezone(UTC).hour - 5 or 0 == opens_at.astimezone(UTC).hour - 6
    for name in ("111", "112"):
        assert entries["110"]["not_before"] == entries[name]["not_before"]
    assert entries["110"]["not_before"] != entries["113"]["not_before"]
    assert 0 == json.loads(run(*arguments).stdout)["new"]


def test_wrong_rows_of_a_list_of_calls(run: Run, tmp_path: Path) -> None:
    """Each is named with its column; with `--skip-invalid` the others count."""
    far = TODAY + timedelta(days=60)
    text = (
        "call,to,day,direction\n"
        "110,+15005550001,,\n"
        "1.1E+02,1.5005E+10,,\n"
        ",+15005550002,soon,up\n"
        f"0111,nobody,{far},\n"
        "110,+15005550003,,\n"
        f"112,,{TODAY - timedelta(days=60)},\n"
        f"113,+15005550004,{TODAY}T10:00:00+00:00,\n"
    )
    arguments = ("expect", "import", write(tmp_path, text), "--map", "buildr_call_id=call")
    assert [
        (3, "buildr_call_id", f"1.1E+02: {LOST}"),
        (3, "numbers", LOST),
        (4, "buildr_call_id", "is empty"),
        (4, "direction", "must be inbound or outbound"),
        (4, "day", "no day; write it like 2026-11-02"),
        (5, "buildr_call_id", "begins with a zero"),
        (5, "numbers", "no telephone number; without a country code it is of US"),
        (5, "day", "is more than 31 days ahead"),
        (6, None, "the same Buildr call as in line 2"),
        (7, "numbers", "is empty"),
        (7, "day", "is more than 31 days ago"),
    ] == faults_of(run, *arguments)
    assert {} == expected_of(run)
    assert "set: 2, 2 of them new" in run(*arguments, "--skip-invalid", code=1).stdout
    assert {"110", "113"} == set(expected_of(run))


def test_columns_and_time_zones_are_checked(run: Run, tmp_path: Path) -> None:
    """A list without an id or a number, a column that is not there, a zone that is none."""
    file = write(tmp_path, "name,day\nx,2026-11-02\n")
    shown = run("expect", "import", file, code=1).stderr
    assert "no column is the id of the Buildr call" in shown
    assert "the columns are: name, day" in shown
    missing = run("expect", "import", file, "--map", "numbers=Mobile", code=1).stderr
    assert "there is no column 'Mobile'" in missing
    run("expect", "import", file, "--map", "x=y", code=2)
    run("expect", "import", file, "--timezone", "Nowhere/Else", code=2)


def test_one_call_is_expected_by_its_id_alone(run: Run) -> None:
    """The command for one call needs no name."""
    assert "registered" in run("expect", "110", "--number", "+15005550001").stdout
    assert "replaced" in run("expect", "call", "110", "--number", "+15005550001").stdout
    assert "import" in run("expect", "--help").stdout
