"""
A map of outcomes put in place: its tables written into `buildr-calls.toml`, all else left as it is.
"""

import contextlib
import os
import re
import shutil
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from service.settings.reading import OUTCOMES, TESTS, TomlFile, outcome_tables

HEADER: Final = re.compile(r"\s*(\[{1,2})([^\[\]]+)(\]{1,2})\s*(?:#.*)?")
CHANGED: Final = (
    "{path} was changed since this process started: restart it, so that the map in place is shown"
)
IN_ANOTHER_FORM: Final = (
    "{path} holds its tables in a form that is not changed by itself: put the map into it by hand"
)
TMP_SUFFIX: Final = ".new"


class NotInstalled(Exception):
    """Raised when a map cannot be put in place; the message says why, and nothing was changed."""


class InstalledMap(Struct, frozen=True):
    """Where a map was written, and where the file of before is; None if there was none."""

    path: Path
    backup: Path | None


def install(
    file: TomlFile,
    tables: str,
    *,
    names: Collection[str],
    at: datetime,
    place: Sequence[str] = (),
) -> InstalledMap:
    """
    Write TOML tables in place of those of these names; `place` is where they lie, like `accounts`
    and `acme`.

    Comments inside of the tables of before are lost, but for the copy of the file that is kept.
    The file is replaced in one step. Raises `NotInstalled`.
    """
    # Somebody has edited it since it was shown: their change would be lost.
    if TomlFile.of(file.path) != file:
        raise NotInstalled(CHANGED.format(path=file.path))
    try:
        before = ""
        if file.digest:
            before = file.path.read_text(encoding="utf-8")
        text = with_tables(before, tables, names=names, place=place)
        return _write(file.path, text, at=at, has_backup=bool(file.digest))
    except OSError as err:
        reason = err.strerror or type(err).__name__
        raise NotInstalled(f"cannot write {file.path}: {reason}") from err
    except (ValueError, RecursionError) as err:
        raise NotInstalled(IN_ANOTHER_FORM.format(path=file.path)) from err


def with_tables(text: str, tables: str, *, names: Collection[str], place: Sequence[str]) -> str:
    """
    A file's text with other tables; sample calls stay unless `tests` is among the names. Raises
    `ValueError` unless the result holds just that.
    """
    lines = list(_without(text.splitlines(), names, tuple(place)))
    start = len(lines)
    if None in lines:
        start = lines.index(None)
    above = [line for line in lines[:start] if line is not None]
    below = [line for line in lines[start:] if line is not None]
    parts = ("\n".join(above).strip("\n"), tables.strip("\n"), "\n".join(below).strip("\n"))
    result = "\n\n".join(part for part in parts if part) + "\n"
    _check(text, tables, result, names=names, place=place)
    return result


def tables_of(text: str, names: Collection[str], place: Sequence[str] = ()) -> str:
    """
    The text of tables of a file, with the comments above and in them; `place` as for `install`.
    """
    lines: list[str] = []
    is_inside = False
    pending: list[str] = []
    for line in text.splitlines():
        path = _path_of(line)
        if path is not None:
            is_inside = _is_of(path, names, tuple(place))
        if path is None and (not line.strip() or line.lstrip().startswith("#")):
            pending.append(line)
            continue
        if is_inside:
            lines += [*pending, line]
        pending = []
    return "\n".join(_trimmed(lines))


def differing_tables(
    tried: str, tables: str, file: TomlFile, *, place: Sequence[str]
) -> tuple[str, ...]:
    """
    The names of tables in which an account's map would differ from that of the text that was tried,
    once its own tables are written into a file: what it has not got comes from the top, there and
    here. Raises `NotInstalled` if the file cannot be read, or is not TOML.
    """
    try:
        # It is there: an account has a table in it.
        present = tomllib.loads(file.path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise NotInstalled(IN_ANOTHER_FORM.format(path=file.path)) from err
    tried_file = tomllib.loads(tried)
    tried_map = _map_of(tried_file, _at(tried_file, place))
    written_map = _map_of(present, _at(tomllib.loads(tables), place))
    names = sorted({*tried_map, *written_map})
    return tuple(name for name in names if tried_map.get(name) != written_map.get(name))


def _map_of(top: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """The tables of an account's map, without its sample calls and without empty ones."""
    tables = {**outcome_tables(top), **outcome_tables(own)}
    return {name: table for name, table in tables.items() if name != TESTS and table}


def _without(
    lines: Sequence[str], names: Collection[str], place: tuple[str, ...]
) -> Iterator[str | None]:
    """The lines outside of the tables; None once, where the first of them was."""
    is_inside = False
    is_marked = False
    # Comments and blanks at a table's end belong to what is below it.
    pending: list[str] = []
    for line in lines:
        path = _path_of(line)
        if path is not None:
            if is_inside:
                yield from _trimmed(pending)
            pending = []
            is_inside = _is_of(path, names, place)
            if is_inside and not is_marked:
                is_marked = True
                yield None
        if not is_inside:
            yield line
        elif not line.strip() or line.lstrip().startswith("#"):
            pending.append(line)
        else:
            pending = []


def _trimmed(lines: Sequence[str]) -> list[str]:
    """Comments and blanks without the blanks before them: there are some above the table."""
    first = next((index for index, line in enumerate(lines) if line.strip()), len(lines))
    return list(lines[first:])


def _is_of(path: tuple[str, ...], names: Collection[str], place: tuple[str, ...]) -> bool:
    """Whether a table is one of those of these names, or lies in one."""
    inner = path[len(place) :]
    if path[: len(place)] != place or not inner:
        return False
    if inner[:2] == (OUTCOMES, TESTS):
        return TESTS in names
    return inner[0] in names


def _path_of(line: str) -> tuple[str, ...] | None:
    """The keys of a table's header; None for any other line."""
    match = HEADER.fullmatch(line)
    if match is None or len(match[1]) != len(match[3]):
        return None
    try:
        table: object = tomllib.loads(f"{match[2]} = 0")
    except tomllib.TOMLDecodeError:
        return None
    keys = []
    while isinstance(table, dict):
        (key,) = table
        keys.append(key)
        table = table[key]
    return tuple(keys)


def _check(
    before: str, tables: str, after: str, *, names: Collection[str], place: Sequence[str]
) -> None:
    """Raises `ValueError` unless a text holds new tables and is else what it was."""
    old = tomllib.loads(before)
    new = tomllib.loads(after)
    written = _at(tomllib.loads(tables), place)
    if _rest(old, names, place) != _rest(new, names, place):
        raise ValueError("something else would change")
    installed = _at(new, place)
    for name in names:
        if name != TESTS and _mapping(installed, name) != _mapping(written, name):
            raise ValueError("the tables would not be as they are given")


def _rest(table: dict[str, object], names: Collection[str], place: Sequence[str]) -> object:
    """All that the names do not cover; tables that are empty without them are left out."""
    if place:
        inner = table.get(place[0], {})
        if isinstance(inner, dict):
            rest = _rest(inner, names, place[1:])
            return {**{k: v for k, v in table.items() if k != place[0]}, place[0]: rest or {}}
    tests = _tests_of(table)
    if TESTS in names:
        tests = None
    return {**{k: v for k, v in table.items() if k not in names}, TESTS: tests}


def _tests_of(table: Mapping[str, object]) -> object:
    outcomes = table.get(OUTCOMES)
    if isinstance(outcomes, dict):
        return outcomes.get(TESTS)
    return None


def _at(table: Mapping[str, object], place: Sequence[str]) -> Mapping[str, object]:
    for key in place:
        inner = table.get(key, {})
        if not isinstance(inner, dict):
            return {}
        table = inner
    return table


def _mapping(table: Mapping[str, object], name: str) -> object:
    """A table without its sample calls; nothing and an empty one are the same."""
    value = table.get(name)
    if name == OUTCOMES and isinstance(value, dict):
        value = {key: item for key, item in value.items() if key != TESTS}
    return value or None


def _write(path: Path, text: str, *, at: datetime, has_backup: bool) -> InstalledMap:
    # The file itself, and not a link to it.
    target = path.resolve()
    new = target.with_name(f".{target.name}{TMP_SUFFIX}")
    backup = target.with_name(f"{target.name}.{at:%Y%m%dT%H%M%SZ}.bak")
    try:
        with new.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if has_backup:
            shutil.copymode(target, new)
            shutil.copy2(target, backup)
        new.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    if not has_backup:
        return InstalledMap(target, None)
    return InstalledMap(target, backup)
