"""
The files that `init` writes: settings, which only their user may read, and the map of outcomes.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from service.settings import Settings
from service.sources import SETTINGS, SOURCES
from workers.cli.failure import Failure
from workers.cli.init_guides import read_guide
from workers.cli.init_values import FILE

ENV_NAME: Final = ".env"
PRIVATE: Final = 0o600
# Blanks and quotes would be read otherwise by systemd, by containers and by a shell.
PLAIN: Final = re.compile(r"[\w@%+=:,./~?&-]*", re.ASCII)
HEAD: Final = """\
# The settings of buildr-calls. Secrets are in here: only its user may read it (mode 0600), and it
# belongs into no version control. Commands and processes read it where ENV_FILE names it:
#   export ENV_FILE=.env
# NAME_FILE=/path/to/a/file may take the place of NAME. All settings: docs/settings.md.
# buildr-calls check says what is wrong.
"""
SECTIONS: Final = (
    ("Where it is reached", ("PUBLIC_URL", "HOST", "PORT")),
    ("Redis; without it `run` starts a private one", ("REDIS_URL", "DATA_DIR")),
    ("Buildr", ("BUILDR_CLIENT_ID", "BUILDR_CLIENT_SECRET", "BUILDR_ACCESS_TOKEN")),
    (
        "Made up by init: addresses, programs of yours, the console, metrics",
        ("URL_SECRET", "ADMIN_TOKEN", "CONSOLE_TOKEN", "METRICS_TOKEN"),
    ),
)
# Usually right: written as a comment, with what holds without it.
DEFAULTS: Final = {"HOST": "127.0.0.1", "PORT": "8000", "DATA_DIR": ".data"}
OPTIONAL: Final = ("BUILDR_ACCESS_TOKEN", "CONSOLE_TOKEN", "METRICS_TOKEN")


def env_text(texts: Mapping[str, str], slugs: Iterable[str]) -> str:
    """The file of settings: those that matter to these sources, then all others that are set."""
    lines = [HEAD]
    used: set[str] = set()
    for title, names in (*SECTIONS, *map(_source_section, slugs)):
        lines.append(f"# --- {title} ---")
        for name in names:
            lines += _setting(name, texts)
            used |= {name, name + FILE}
        lines.append("")
    rest = {name: text for name, text in texts.items() if name not in used}
    if rest:
        lines.append("# --- Also set before ---")
        lines += [f"{name}={_quoted(text)}" for name, text in rest.items()]
        lines.append("")
    return "\n".join(lines)


def _source_section(slug: str) -> tuple[str, list[str]]:
    names = [name.upper() for name in read_guide(slug).names]
    return f"{SOURCES[slug].title}: docs/telephony/{slug}.md", names


def _setting(name: str, texts: Mapping[str, str]) -> Iterator[str]:
    yield f"# {_description(name)}"
    if text := texts.get(name):
        yield f"{name}={_quoted(text)}"
    elif path := texts.get(name + FILE):
        yield f"{name}{FILE}={_quoted(path)}"
    elif name in DEFAULTS or name in OPTIONAL:
        yield f"#{name}={DEFAULTS.get(name, '')}"
    else:
        yield f"{name}="


def _description(name: str) -> str:
    if name.lower() in SETTINGS:
        return SETTINGS[name.lower()].description
    return Settings.model_fields[name.lower()].description or ""


def _quoted(text: str) -> str:
    if PLAIN.fullmatch(text) or "'" in text:
        return text
    return f"'{text}'"


def write_private(path: Path, text: str) -> None:
    """
    Make a file that only this user may read. Raises `Failure` if there is one, or if it cannot be
    made.
    """
    # The mode is set as the file is made, and a link that somebody has put there is not followed.
    _write(path, text, PRIVATE)


def write_new(path: Path, text: str) -> None:
    """Make a file with the usual rights. Raises `Failure` as above."""
    _write(path, text, 0o666)


def replace_private(path: Path, text: str) -> Path:
    """
    Replace a private file; the one before is kept beside it, and its path returned. Raises
    `Failure`.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    write_private(draft, text)
    copy = path.with_name(f"{path.name}.old")
    try:
        path.chmod(PRIVATE)
        path.replace(copy)
        draft.replace(path)
    except OSError as err:
        raise Failure(f"{path} cannot be replaced ({err.strerror}); {draft} has the new one") from (
            err
        )
    return copy


def _write(path: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            # A part of it would be taken for the file of an installation by the next run.
            path.unlink(missing_ok=True)
            raise
    except FileExistsError as err:
        raise Failure(
            f"{path} is there already; --force writes it again with its values, and keeps it as "
            f"{path.name}.old"
        ) from err
    except OSError as err:
        raise Failure(f"{path} cannot be written ({err.strerror})") from err
