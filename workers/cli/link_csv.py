"""
Links from a CSV file, for `buildr-calls links import`.

The first line names the columns: source, source_call_id, buildr_call_id, and optionally company_id,
contact_id, project_id.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from service.buildr_ids import is_buildr_call_id, is_buildr_id
from service.sources import SOURCES
from service.store.links import Link

REQUIRED_COLUMNS: Final = ("source", "source_call_id", "buildr_call_id")
OPTIONAL_COLUMNS: Final = ("company_id", "contact_id", "project_id")
COLUMNS: Final = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
ID_COLUMNS: Final = ("buildr_call_id", *OPTIONAL_COLUMNS)
MAX_FAULTS: Final = 20


class LinkCsvError(ValueError):
    """The file is not usable; the text lists the faults of its lines, at most 20."""


def read_links(lines: Iterable[str]) -> list[tuple[str, str, Link]]:
    """
    Read source, source_call_id and link of each line, in the order of the file.

    Raises `LinkCsvError` with every line that is wrong.
    """
    reader = csv.DictReader(lines)
    _check_columns(reader.fieldnames or ())
    links: list[tuple[str, str, Link]] = []
    faults: list[str] = []
    for row in reader:
        values = {name: (row.get(name) or "").strip() for name in COLUMNS}
        row_faults = _faults_of(values)
        if row_faults:
            faults.append(f"line {reader.line_num}: {', '.join(row_faults)}")
        else:
            links.append((values["source"], values["source_call_id"], _link(values)))
    if faults:
        raise LinkCsvError("nothing was set:\n  " + "\n  ".join(faults[:MAX_FAULTS]))
    return links


def _check_columns(names: Sequence[str]) -> None:
    faults = [f"column {name} is missing" for name in REQUIRED_COLUMNS if name not in names]
    faults += [f"column {name} is not known" for name in names if name not in COLUMNS]
    if faults:
        raise LinkCsvError(
            f"{'; '.join(faults)}; the first line must name the columns: {','.join(COLUMNS)}"
        )


def _faults_of(values: Mapping[str, str]) -> list[str]:
    ids = {name: values[name] for name in ID_COLUMNS if values[name]}
    faults = [f"{name} must be digits" for name, value in ids.items() if not is_buildr_id(value)]
    if values["source"] not in SOURCES:
        faults.append(f"no source is called {values['source']!r}")
    if not values["source_call_id"]:
        faults.append("source_call_id is empty")
    call_id = values["buildr_call_id"]
    if not call_id:
        faults.append("buildr_call_id is empty")
    elif is_buildr_id(call_id) and not is_buildr_call_id(call_id):
        faults.append("buildr_call_id begins with a zero")
    return faults


def _link(values: Mapping[str, str]) -> Link:
    return Link(
        buildr_call_id=values["buildr_call_id"],
        company_id=values["company_id"] or None,
        contact_id=values["contact_id"] or None,
        project_id=values["project_id"] or None,
    )
