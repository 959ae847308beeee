"""
Settings as they are written down: environment, mounted files, one table of TOML. Only the names of
settings are checked here, not their values.
"""

import difflib
import hashlib
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

from service.settings.outcomes import OutcomeConfig

CONFIG_NAME: Final = "buildr-calls.toml"
# The sample calls lie inside of `[outcomes]`, as a table of their own.
TESTS: Final = "tests"
OUTCOMES: Final = "outcomes"
OUTCOME_TABLES: Final = frozenset(OutcomeConfig.model_fields) - {TESTS}
FILE_SUFFIX: Final = "_file"
# Secrets are at least about so long, and file names in a folder of secrets mostly shorter.
SECRET_LENGTH: Final = 16
PATHS: Final = ("/", "./", "../")


class FromFile(Struct, frozen=True):
    """
    A value that lies in a file; `name` is the setting that points there, as the operator wrote it.
    """

    name: str
    path: str

    @property
    def shown(self) -> str:
        """
        The path for a message; what is more likely the secret itself, put where its file should be
        named, is not repeated.
        """
        if len(self.path) < SECRET_LENGTH or self.path.startswith(PATHS):
            return self.path
        return "the file that it names (a path belongs here, not the secret itself)"


class TomlFile(Struct, frozen=True):
    """Where the TOML file is, and a digest of what it held; an empty one if there was no file."""

    path: Path
    digest: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """The file as it is now; one that cannot be read counts as none."""
        try:
            return cls(path, hashlib.sha256(path.read_bytes()).hexdigest())
        except OSError:
            return cls(path, "")


def from_environment(
    environ: Mapping[str, str], names: Iterable[str], *, prefix: str = ""
) -> dict[str, object]:
    """The settings of these names that variables set; an empty variable counts as not set."""
    values: dict[str, object] = {}
    for field in names:
        name = prefix + field.upper()
        file_name = name + FILE_SUFFIX.upper()
        # Stripped: a value that was pasted into a file of variables often ends in a blank or a line
        # break.
        if text := environ.get(name, "").strip():
            values[field] = text
        elif path := environ.get(file_name, "").strip():
            values[field] = FromFile(file_name, path)
    return values


def read_toml(
    environ: Mapping[str, str], folder: Path, faults: list[str]
) -> tuple[str, dict[str, object]]:
    """
    The name of the TOML file and what it holds; nothing if it cannot be read, which is a fault
    where it has to be there.
    """
    path = toml_path(environ, folder)
    # No file is the usual case in containers. One that is named has to be there.
    if not _is_config_set(environ) and not path.exists():
        return path.name, {}
    try:
        return path.name, tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as err:
        faults.append(f"CONFIG: cannot read {path}: {_reason(err)}")
    except tomllib.TOMLDecodeError as err:
        faults.append(f"CONFIG: {path} is not TOML: {err}")
    return path.name, {}


def toml_path(environ: Mapping[str, str], folder: Path) -> Path:
    """Where the TOML file lies: at `CONFIG`, else in the folder."""
    return folder / (environ.get("CONFIG", "").strip() or CONFIG_NAME)


def _is_config_set(environ: Mapping[str, str]) -> bool:
    return bool(environ.get("CONFIG", "").strip())


def read_quietly(path: Path) -> dict[str, object]:
    """What a TOML file holds, or nothing: for a file that need not be there."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}


def outcome_tables(table: Mapping[str, object]) -> dict[str, object]:
    """
    The part of a table that says which result becomes which outcome.

    `[[outcomes.tests]]` is taken out of `[outcomes]` as `tests`; an `[outcomes]` that holds nothing
    else is none.
    """
    tables = {key: value for key, value in table.items() if key in OUTCOME_TABLES}
    outcomes = tables.get(OUTCOMES)
    if not isinstance(outcomes, dict) or TESTS not in outcomes:
        return tables
    mapping = {key: value for key, value in outcomes.items() if key != TESTS}
    del tables[OUTCOMES]
    if mapping:
        tables[OUTCOMES] = mapping
    return {**tables, TESTS: outcomes[TESTS]}


def from_table(
    table: Mapping[str, object],
    names: Collection[str],
    faults: list[str],
    *,
    where: str,
    above: Collection[str] = (),
) -> dict[str, object]:
    """
    The settings of a table, `NAME_file` included; `names` are those that it may hold.

    `above` are the names of settings that belong to the top of the file. Every other key is a
    fault, with the nearest name that there is.
    """
    values: dict[str, object] = {}
    for key, value in table.items():
        field = key.lower()
        base = field.removesuffix(FILE_SUFFIX)
        if key in OUTCOME_TABLES:
            continue
        # Which of them counts would depend on their order in the file, which nobody expects in
        # TOML.
        if base in values and (field in names or base in names):
            faults.append(
                f"{where}: {base} is given twice; keep one of {base} and {base}{FILE_SUFFIX}"
            )
        elif field == "account" and isinstance(value, dict):
            name = next(iter(value), "acme")
            faults.append(f"{where}: [{key}.{name}] is no table; did you mean [accounts.{name}]?")
        elif field in names:
            values[field] = value
        elif base in names and isinstance(value, str):
            values[base] = FromFile(f"{where}: {key}", value)
        elif base in names:
            faults.append(f"{where}: {key} must be the path of a file")
        elif base in above:
            faults.append(
                f"{where}: {base} belongs above all accounts; write it at the top of the file"
            )
        else:
            faults.append(f"{where}: {key} is no setting{hint(base, [*names, *OUTCOME_TABLES])}")
    return values


def resolve(values: dict[str, object], folder: Path, faults: list[str]) -> None:
    """
    Put what lies in files into the place of their names; one that cannot be read is a fault and
    leaves nothing.
    """
    for field, value in list(values.items()):
        if not isinstance(value, FromFile):
            continue
        text = _read_value(value, folder, faults)
        if text is None:
            del values[field]
        else:
            values[field] = text


def _read_value(value: FromFile, folder: Path, faults: list[str]) -> str | None:
    try:
        # Some editors begin a file with a byte order mark, which is no part of a secret.
        text = (folder / value.path).read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as err:
        faults.append(f"{value.name}: cannot read {value.shown}: {_reason(err)}")
        return None
    if not text:
        faults.append(f"{value.name}: {value.shown} is empty")
        return None
    return text


def _reason(err: Exception) -> str:
    # A decoding error has no `strerror`, and its own message quotes the bytes of the file.
    return getattr(err, "strerror", None) or "not a text file"


def hint(name: str, names: Collection[str]) -> str:
    """`; did you mean ...?` with the nearest of the names, or nothing."""
    near = difflib.get_close_matches(name, names, n=1)
    if not near:
        return ""
    return f"; did you mean {near[0]}?"
