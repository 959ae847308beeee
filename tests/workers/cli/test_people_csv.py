"""
People from a CSV file: columns of any name, numbers of any form, and what could not be read.
"""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO

import pytest

from service.store.phone_book import PhoneBookEntry
from workers.cli.csv_file import CsvFileError
from workers.cli.people_csv import Columns, PeopleReader, PersonRow, choose_columns

MOBILE = "+15005550001"
OFFICE = "+15005550006"
ANA = PhoneBookEntry(number=MOBILE, contact_id="418")
PLAIN = "contact_id,phone\n"


def read(
    text: str, *, region: str = "US", mapping: Mapping[str, Sequence[str]] | None = None
) -> tuple[Columns, list[PersonRow]]:
    """All rows of a file."""
    columns, rows = PeopleReader(StringIO(text), region, mapping or {}).open()
    return columns, list(rows)


def entries(text: str, *, region: str = "US") -> list[PhoneBookEntry]:
    """The entries of a file in which everything can be read."""
    rows = read(text, region=region)[1]
    assert [] == [fault for row in rows for fault in row.faults]
    return [entry for row in rows for entry in row.entries]


def faults(text: str) -> list[tuple[int, str, str]]:
    """Line, column and cause of each fault of a file."""
    return [
        (fault.line, fault.column, fault.cause) for row in read(text)[1] for fault in row.faults
    ]


def test_each_number_of_a_row_is_an_entry() -> None:
    """Several columns of numbers, and several numbers in a cell, belong to one contact."""
    text = (
        "Contact ID,Company Id,Project-ID,Mobile Phone,office_phone\n"
        '418,101,129,(500) 555-0001,"500-555-0006 x301; +44 20 7946 0018"\n'
    )
    expected = [
        PhoneBookEntry(number=number, contact_id="418", company_id="101", project_id="129")
        for number in (MOBILE, OFFICE, "+442079460018")
    ]
    assert expected == entries(text)


@pytest.mark.parametrize(
    "header",
    [
        "phone",
        "Phone",
        "Phone Number",
        "Mobile",
        "Cell Phone",
        "Work Phone",
        "Business Phone 2",
        "Telephone",
        "Phone 1 - Value",
        "office_phone",
        "Direct Tel.",
        "numbers",
    ],
)
def test_usual_names_of_numbers_are_known(header: str) -> None:
    """What address books call a column of numbers needs no --map."""
    assert [ANA] == entries(f"Id,{header}\n418,5005550001\n")


@pytest.mark.parametrize(
    "header", ["Fax", "Phone Type", "Phone 1 - Type", "Phone extension", "E-mail"]
)
def test_other_columns_are_no_numbers(header: str) -> None:
    """A column that only speaks of telephones is not read."""
    assert () == choose_columns(["Id", "Phone", header], {}).phones[1:]


def test_best_name_of_an_id_counts() -> None:
    """`Contact ID` is the contact's, whatever `Id` may be."""
    columns = choose_columns(["Id", "Contact ID", "Phone"], {})
    assert {"contact_id": 1} == columns.ids
    assert "contact_id from Contact ID; phone from Phone" == columns.as_text()


def test_columns_are_named() -> None:
    """With --map only the named columns of a field are read, in any case of letters."""
    mapping = {"contact_id": ["ref"], "phone": ["Handy", "Zentrale"]}
    columns, rows = read(
        "Ref,Phone,Handy,zentrale\n418,5005550009,5005550001,5005550006\n", mapping=mapping
    )
    assert (2, 3) == columns.phones
    assert [MOBILE, OFFICE] == [entry.number for entry in rows[0].entries]


@pytest.mark.parametrize(
    ("header", "mapping", "words"),
    [
        (["Name", "Phone"], {}, "contact_id, company_id or project_id"),
        (["Id", "Name"], {}, "a telephone number; name it with --map"),
        (["Id", "Phone"], {"phone": ["Mobil"]}, "'Mobil'; the columns are: Id, Phone"),
    ],
)
def test_missing_columns_are_named(
    header: list[str], mapping: dict[str, list[str]], words: str
) -> None:
    """Without a column of ids and one of numbers nothing can be read, and it says what to do."""
    with pytest.raises(CsvFileError) as caught:
        choose_columns(header, mapping)
    assert words in str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_guessed(delimiter: str) -> None:
    """Spreadsheets of different countries write different delimiters."""
    lines = [["contact_id", "phone"], ["418", "5005550001"]]
    assert [ANA] == entries("\r\n".join(delimiter.join(line) for line in lines))


def test_company_alone_is_enough() -> None:
    """A switchboard has no contact."""
    assert [PhoneBookEntry(number=OFFICE, company_id="101")] == entries(
        "company_id,phone\n101,5005550006\n"
    )


def test_ids_are_kept_as_text() -> None:
    """Leading zeros stay, and the decimal place that a spreadsheet added goes."""
    rows = entries(PLAIN + "0418,5005550001\n419.0,5005550001\n")
    assert ["0418", "419"] == [entry.contact_id for entry in rows]


def test_extension_is_dropped_and_its_semicolon_separates_nothing() -> None:
    """`;ext=301` belongs to its number."""
    assert [OFFICE] == [entry.number for entry in entries(PLAIN + "418,+15005550006;ext=301\n")]


def test_same_number_twice_is_one_entry() -> None:
    """Mobile and office may be the same telephone."""
    assert [ANA] == entries("id,mobile,office phone\n418,5005550001,+1 (500) 555-0001\n")


def test_region_is_of_numbers_without_country_code() -> None:
    """A national number needs its country."""
    assert "+442079460018" == entries(PLAIN + "418,020 7946 0018\n", region="GB")[0].number


def test_blank_rows_and_empty_numbers_are_no_faults() -> None:
    """A contact without a number is left out silently, and so is an empty row."""
    rows = read(PLAIN + "\n,\n418,\n419\n")[1]
    assert [PersonRow(), PersonRow()] == rows


def test_faults_name_line_column_and_cause() -> None:
    """Each fault names its line in the file, quoted line breaks counted, and never the value."""
    text = (
        'contact_id,Mobile Phone,note\n418,call me,"two\nlines"\nabc,5005550001,\n'
        ",5005550001,\n419,5005550006,a,b\n420,5005550001,\n"
    )
    assert [
        (2, "Mobile Phone", "no telephone number; without a country code it is of US"),
        (4, "contact_id", "no id: digits are needed"),
        (5, "", "no contact, company or project"),
        (6, "", "more cells than the first line has columns; is one not quoted?"),
    ] == faults(text)
    assert ["420"] == [entry.contact_id for row in read(text)[1] for entry in row.entries]


def test_one_wrong_number_does_not_keep_the_others_out() -> None:
    """What can be read of a row is read."""
    rows = read("id,mobile,office phone\n418,5005550001,ask\n")[1]
    assert ((ANA,), 1) == (rows[0].entries, len(rows[0].faults))


def test_cell_that_is_too_long_is_a_fault_of_its_row() -> None:
    """A quote that never ends, or garbage, does not end the import of what follows."""
    long_cell = "x" * (csv.field_size_limit() + 1)
    rows = read(f"{PLAIN}417,{long_cell}\n418,5005550001\n")[1]
    assert (1, (ANA,)) == (len(rows[0].faults), rows[-1].entries)


def test_empty_file_is_reported() -> None:
    """There is nothing to read without a first line."""
    with pytest.raises(CsvFileError, match="the file is empty"):
        read("")
