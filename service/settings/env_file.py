"""
Files of settings as systemd and containers read them: lines of `NAME=value`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ENV_FILE: Final = "ENV_FILE"
LINE: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
COMMENTS: Final = ("#", ";")
QUOTES: Final = ("'", '"')


def with_env_file(environ: Mapping[str, str], folder: Path, faults: list[str]) -> Mapping[str, str]:
    """
    The variables, and over them those of the file that `ENV_FILE` names, found in `folder`.

    Empty lines and lines that begin with # or ; are left out, quotes around a value are taken off.
    A file that cannot be read and a line of another form are faults.
    """
    path = environ.get(ENV_FILE, "").strip()
    if not path:
        return environ
    try:
        text = (folder / path).read_text(encoding="utf-8")
    except OSError as err:
        faults.append(f"{ENV_FILE}: cannot read {path}: {err.strerror}")
        return environ
    except UnicodeDecodeError:
        faults.append(f"{ENV_FILE}: cannot read {path}: it is not UTF-8")
        return environ
    variables = dict(environ)
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(COMMENTS):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            # Without the line, which may hold a secret.
            faults.append(f"{ENV_FILE}: {path}: line {number} is not like NAME=value")
            continue
        # An empty variable counts as not set: the example, copied whole, takes nothing away.
        if value := _unquoted(match[2].strip()):
            variables[match[1]] = value
    return variables


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] in QUOTES and value[0] == value[-1]:
        return value[1:-1]
    return value
