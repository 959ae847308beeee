"""
What a file of variables holds and nothing reads: a name that is nearly a setting, and a file that
is there and not named.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.settings import names as setting_names
from service.settings.env_file import ENV_FILE, with_env_file
from service.settings.reading import FILE_SUFFIX
from workers.cli.checks.finding import Finding

# What `init` writes, and what editors and compose know.
USUAL: Final = ".env"
# A typing error, and not another name: HOSTNAME is none of HOST.
NEARNESS: Final = 0.85


def env_file_findings(environ: Mapping[str, str], folder: Path) -> list[Finding]:
    """A warning if something of a file does not count; nothing of a value is in it."""
    path = environ.get(ENV_FILE, "").strip()
    if path:
        detail = "; ".join(_misspelt(environ, _names_in(path, folder), path))
    else:
        detail = _not_named(environ, folder)
    if not detail:
        return []
    return [Finding("env file", is_fine=True, detail=detail, is_warning=True)]


def _misspelt(environ: Mapping[str, str], names: list[str], path: str) -> list[str]:
    known = _known()
    warnings = []
    for name in names:
        near = difflib.get_close_matches(name, known, n=1, cutoff=NEARNESS)
        if near and name not in known and name not in environ:
            warnings.append(f"{path}: {name} is no setting; did you mean {near[0]}?")
    return warnings


def _not_named(environ: Mapping[str, str], folder: Path) -> str:
    known = _known()
    names = [name for name in _names_in(USUAL, folder) if name in known and name not in environ]
    if not names:
        return ""
    return f"{USUAL} is here, and nothing reads it: export {ENV_FILE}={USUAL}"


def _names_in(path: str, folder: Path) -> list[str]:
    """The names that have a value in a file; none if it cannot be read."""
    return sorted(with_env_file({ENV_FILE: path}, folder, []).keys() - {ENV_FILE})


def _known() -> frozenset[str]:
    names = setting_names()
    return frozenset((*names, *(name + FILE_SUFFIX.upper() for name in names), ENV_FILE))
