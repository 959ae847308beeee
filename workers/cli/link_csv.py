"""
Links from a CSV file, for `buildr-calls links import`.

The first line names the columns: source, source_call_id, buildr_call_id, and optionally company_id,
contact_id, project_id.
"""

import difflib
from collections.abc import Mapping
from typing import Final

from service.buildr_ids import is_buildr_call_id, is_buildr_id
from service.sources import SOURCES
from service.store.links import Link
from workers.cli.csv_file import (
    LOST_DIGITS,
    CsvFile,
    CsvFileError,
    CsvRow,
    Fault,
    compact,
    has_lost_digits,
)
from workers.cli.imports import Import

REQUIRED_COLUMNS: Final = ("source", "source_call_id", "buildr_call_id")
OPTIONAL_COLUMNS: Final = ("company_id", "contact_id", "project_id")
COLUMNS: Final = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
ID_COLUMNS: Final = ("buildr_call_id", *OPTIONAL_COLUMNS)

# Source, source call id, link.
LinkRow = tuple[str, str, Link]


def read_links(csv_file: CsvFile) -> Import[LinkRow]:
    """
    The links of a file, and what is wrong with its rows. Raises `CsvFileError` if a column is
    missing.
    """
    columns = _columns(csv_file)
    known_names = {compact(name) for name in COLUMNS}
    unused = tuple(name for name in csv_file.header if compact(name) not in known_names)
    result: Import[LinkRow] = Import(unused=tuple(name for name in unused if name))
    line_of_call: dict[tuple[str, str], int] = {}
    for row in csv_file.rows:
        if row.fault is not None:
            result.add(row, None, [row.fault])
            continue
        values = _values(row, columns)
        faults = [
            Fault(line=row.line, column=column, cause=cause)
            for column, cause in _faults_of(values).items()
        ]
        call = (values["source"], values["source_call_id"])
        first_line = line_of_call.setdefault(call, row.line)
        if not faults and first_line != row.line:
            cause = f"the same call as in line {first_line}"
            faults.append(Fault(line=row.line, column="", cause=cause))
        result.add(row, (*call, _link(values)), faults)
    return result


def _columns(csv_file: CsvFile) -> dict[str, int | None]:
    columns = {name: csv_file.column([name]) for name in COLUMNS}
    faults = [f"column {name} is missing" for name in REQUIRED_COLUMNS if columns[name] is None]
    for name in csv_file.header:
        similar = difflib.get_close_matches(name.casefold(), COLUMNS, n=1, cutoff=0.8)
        # Another column than the one that is meant would be passed over in silence.
        if similar and csv_file.column([similar[0]]) is None:
            faults.append(f"column {name} is not known, did you mean {similar[0]}?")
    if faults:
        raise CsvFileError(
            f"{'; '.join(faults)}; the first line must name the columns: {','.join(COLUMNS)}"
        )
    return columns


def _values(row: CsvRow, columns: Mapping[str, int | None]) -> dict[str, str]:
    """The cells by column; the names of sources are in lower case."""
    values = {name: row.id_cell(columns[name]) for name in ID_COLUMNS}
    values["source"] = row.cell(columns["source"]).lower()
    values["source_call_id"] = row.cell(columns["source_call_id"])
    return values


def _faults_of(values: Mapping[str, str]) -> dict[str, str]:
    """What is wrong, by column."""
    faults = {
        name: "must be digits"
        for name in ID_COLUMNS
        if values[name] and not is_buildr_id(values[name])
    }
    if values["source"] not in SOURCES:
        faults["source"] = f"no source is called {values['source']!r}"
    if not values["source_call_id"]:
        faults["source_call_id"] = "is empty"
    call_id = values["buildr_call_id"]
    if not call_id:
        faults["buildr_call_id"] = "is empty"
    elif is_buildr_id(call_id) and not is_buildr_call_id(call_id):
        faults["buildr_call_id"] = "begins with a zero"
    for name in ("source_call_id", *ID_COLUMNS):
        if has_lost_digits(values[name]):
            faults[name] = f"{values[name]}: {LOST_DIGITS}"
    return faults


def _link(values: Mapping[str, str]) -> Link:
    return Link(
        buildr_call_id=values["buildr_call_id"],
        company_id=values["company_id"] or None,
        contact_id=values["contact_id"] or None,
        project_id=values["project_id"] or None,
    )
