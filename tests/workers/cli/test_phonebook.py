"""
phonebook: who has a telephone number.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import inherited
from tests.workers.cli.conftest import Run, Seed, ended

ROOT = Path(__file__).parents[3]
PEOPLE = (
    "Contact ID,Company ID,Mobile Phone,Office Phone\n"
    "418,101,(500) 555-0001,500-555-0006 x301\n"
    "419,101,,500-555-0006\n"
)
WRONG = "Contact ID,Mobile Phone\n420,call me\n421,(500) 555-0007\n"


@pytest.fixture
def people(run: Run, tmp_path: Path) -> Path:
    """A file of two people, in the folder in which commands run."""
    assert run is not None
    path = tmp_path / "people.csv"
    path.write_text("\ufeff" + PEOPLE, encoding="utf-8")
    return path


def numbers(run: Run) -> int:
    """How many numbers the book has."""
    count: int = json.loads(run("phonebook", "status", "--json").stdout)["numbers"]
    return count


@pytest.mark.usefixtures("people")
def test_people_are_imported_and_shown(run: Run) -> None:
    """Numbers of a file are found however they are written; a shared one names both contacts."""
    result = run("phonebook", "import", "people.csv")
    assert "imported: 3 numbers of 2 people\n" == result.stdout
    assert "contact_id from Contact ID" in result.stderr
    shown = json.loads(run("phonebook", "show", "1 500 555 0006", "--json").stdout)
    assert ("+15005550006", {"company_id": "101"}) == (shown["number"], shown["sent"])
    assert [
        {"contact_id": "418", "company_id": "101", "project_id": None, "origin": "import"},
        {"contact_id": "419", "company_id": "101", "project_id": None, "origin": "import"},
    ] == shown["people"]
    text = run("phonebook", "show", "+15005550001").stdout
    assert "The phone book has contact 418 of company 101 for the customer's number." in text


@pytest.mark.usefixtures("people")
def test_dry_run_needs_no_redis_and_writes_nothing(run: Run) -> None:
    """A file is only read; also where Redis is away."""
    away = "redis://127.0.0.1:9"
    result = run("phonebook", "import", "people.csv", "--dry-run", "--json", REDIS_URL=away)
    report = json.loads(result.stdout)
    assert (True, 2, 3, None) == (
        report["is_dry_run"],
        report["people"],
        report["entries"],
        report["removed"],
    )
    assert 0 == numbers(run)


@pytest.mark.usefixtures("people")
def test_replace_makes_the_book_equal_to_the_file(run: Run, tmp_path: Path) -> None:
    """What the file does not have is gone; a file without any number removes nothing."""
    run("phonebook", "import", "people.csv")
    (tmp_path / "new.csv").write_text("id,phone\n418,5005550009\n", encoding="utf-8")
    assert "removed: 3" in run("phonebook", "import", "new.csv", "--replace").stdout
    assert 1 == numbers(run)
    (tmp_path / "empty.csv").write_text("id,phone\n", encoding="utf-8")
    result = run("phonebook", "import", "empty.csv", "--replace", code=1)
    assert "nothing was removed" in result.stderr
    assert 1 == numbers(run)


def test_faults_are_listed_and_the_rest_is_imported(run: Run, tmp_path: Path) -> None:
    """Exit code 1, each fault in a line without the value, all of them in a file if wanted."""
    (tmp_path / "people.csv").write_text(WRONG, encoding="utf-8")
    result = run("phonebook", "import", "people.csv", "--report", "faults.csv", code=1)
    fault = "no telephone number; without a country code it is of US"
    assert f"line 2, Mobile Phone: {fault}\n" in result.stderr
    assert "call me" not in result.output
    assert "imported: 1 number of 1 person; could not be read: 1\n" == result.stdout
    listed = (tmp_path / "faults.csv").read_text(encoding="utf-8").splitlines()
    assert ["line,column,cause", f"2,Mobile Phone,{fault}"] == listed
    assert 1 == numbers(run)


def test_twenty_faults_are_shown(run: Run, tmp_path: Path) -> None:
    """A file of the wrong kind does not fill the screen."""
    (tmp_path / "people.csv").write_text("id,phone\n" + "418,x\n" * 50, encoding="utf-8")
    result = run("phonebook", "import", "people.csv", "--json", code=1)
    report = json.loads(result.stdout)
    assert (50, 20) == (report["faults"], len(report["first_faults"]))
    assert {"line": 2, "column": "phone", "cause": report["first_faults"][0]["cause"]} == report[
        "first_faults"
    ][0]
    text = run("phonebook", "import", "people.csv", code=1).stderr
    assert (20, True) == (text.count("no telephone number"), "and 30 more" in text)


def test_columns_region_and_encoding_are_options(run: Run, tmp_path: Path) -> None:
    """What is not guessed can be named."""
    text = "Kürzel;Handy\n418;020 7946 0018\n"
    (tmp_path / "people.csv").write_text(text, encoding="cp850")
    wrong = run("phonebook", "import", "people.csv", "--encoding", "utf-8", code=1)
    assert "not UTF-8; name its encoding, like --encoding cp1252" in wrong.stderr
    run(
        *("phonebook", "import", "people.csv", "--encoding", "cp850", "--region", "gb"),
        *("--map", "contact_id=Kürzel", "--map", "phone=Handy"),
    )
    shown = json.loads(run("phonebook", "show", "+44 20 7946 0018", "--json").stdout)
    assert "418" == shown["people"][0]["contact_id"]


def test_a_pipe_is_read_in_any_encoding(tmp_path: Path) -> None:
    """It cannot be read twice, as a file is to guess its encoding."""
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli.main", "phonebook", "import", "-", "--dry-run"],
        input="id;Näme;Phone\n1;Ann;+15005550001\n".encode("utf-16"),
        capture_output=True,
        check=False,
        env={**inherited("PATH", kind="command"), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert b"would import: 1 number of 1 person\n" == done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_what_spreadsheets_write_is_read(run: Run, tmp_path: Path, encoding: str) -> None:
    """In any of their encodings, behind a note to a spreadsheet, with a quote that never ends."""
    text = (
        'sep=;\r\nid;Näme;Phone\r\n1;"Ann;5005550001\r\n2;Bob;="5005550006"\r\n'
        "7.41241E+18;Cy;5005550009\r\n3;Dee;1.5E+10\r\n"
    )
    (tmp_path / "people.csv").write_bytes(text.encode(encoding))
    result = run("phonebook", "import", "people.csv", "--dry-run", "--json", code=1)
    report = json.loads(result.stdout)
    assert (1, 3) == (report["entries"], report["faults"])
    assert [(3, "a quotation mark"), (5, "digits were lost"), (6, "digits were lost")] == [
        (fault["line"], fault["cause"][:16]) for fault in report["first_faults"]
    ]
    spreadsheet = tmp_path / "people.xlsx"
    spreadsheet.write_bytes(b"PK\x03\x04...")
    refused = run("phonebook", "import", "people.xlsx", "--dry-run", code=1).stderr
    assert "no CSV file but a spreadsheet" in refused


@pytest.mark.parametrize(
    "options",
    [
        ("--map", "phone"),
        ("--map", "name=Name"),
        ("--region", "XX"),
        ("--delimiter", "x"),
    ],
)
@pytest.mark.usefixtures("people")
def test_wrong_options_are_wrong_usage(run: Run, options: tuple[str, str]) -> None:
    """Exit code 2, and nothing is imported."""
    run("phonebook", "import", "people.csv", *options, code=2)
    assert 0 == numbers(run)


@pytest.mark.usefixtures("people")
def test_wrong_encoding_is_reported(run: Run) -> None:
    """An encoding that does not exist is named, with those that do."""
    result = run("phonebook", "import", "people.csv", "--encoding", "utf-99", code=1)
    assert "utf-99 is no encoding" in result.stderr


@pytest.mark.usefixtures("people")
def test_numbers_are_removed(run: Run) -> None:
    """One contact of a number, or the whole number; what is not there is reported."""
    run("phonebook", "import", "people.csv")
    run("phonebook", "remove", "+15005550006", "--contact-id", "419")
    assert 2 == numbers(run)
    # The number is there, and not of that contact.
    stderr = run("phonebook", "remove", "+15005550006", "--contact-id", "419", code=1).stderr
    assert "does not have this number of contact 419" in stderr
    assert "removed: 1" in run("phonebook", "remove", "+15005550006").stdout
    for command in ("remove", "show"):
        stderr = run("phonebook", command, "+15005550006", code=1).stderr
        assert "does not have this number" in stderr
    assert "no telephone number" in run("phonebook", "show", "ana", code=2).stderr


@pytest.mark.usefixtures("people")
def test_status_counts(run: Run) -> None:
    """How much is there, and since when."""
    status = json.loads(run("phonebook", "status", "--json").stdout)
    assert (0, None, None) == (status["numbers"], status["imported_at"], status["unfinished_sync"])
    run("phonebook", "import", "people.csv")
    status = json.loads(run("phonebook", "status", "--json").stdout)
    counts = ("numbers", "shared_numbers", "imported_entries", "synchronised_entries")
    assert [2, 1, 3, 0] == [status[name] for name in counts]
    assert status["imported_at"].endswith("+00:00")
    text = run("phonebook", "status").stdout
    assert "of several people           1\n" in text


@pytest.mark.usefixtures("people")
def test_explain_says_who_called(run: Run, seed: Seed) -> None:
    """What the phone book says of a call's customer, and the ids in the PATCH."""
    run("phonebook", "import", "people.csv")
    seed(ended("CA1"), query="buildr_call_id=110")
    explanation = json.loads(run("explain", "CA1", "--json").stdout)
    ids = {"contact_id": "418", "company_id": "101"}
    assert ids == explanation["caller"]["ids"]
    assert ids.items() <= explanation["patch"]["call"].items()
    text = run("explain", "CA1").stdout
    assert "The phone book has contact 418 of company 101 for the customer's number." in text
