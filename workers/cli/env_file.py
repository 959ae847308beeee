"""
Files of settings as systemd and containers read them: lines of `NAME=value`.
"""

import re
from pathlib import Path
from typing import Final

from workers.cli.output import Failure

LINE: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
COMMENTS: Final = ("#", ";")
QUOTES: Final = ("'", '"')


def read_env_file(path: str | None) -> dict[str, str]:
    """
    The variables of a file; none if there is no path. Empty lines and lines that begin with # or ;
    are left out, quotes around a value are taken off.

    Raises `Failure` for a file that cannot be read and for a line that is none of these.
    """
    if path is None:
        return {}
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        reason = getattr(err, "strerror", None) or "it is not UTF-8"
        raise Failure(f"--env-file {path}: {reason}") from err
    variables = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(COMMENTS):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            # Without the line, which may hold a secret.
            raise Failure(f"--env-file {path}: line {number} is not like NAME=value")
        variables[match[1]] = _unquoted(match[2].strip())
    return variables


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] in QUOTES and value[0] == value[-1]:
        return value[1:-1]
    return value
