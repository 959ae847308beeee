"""
What `init` knows of each source: where its settings are read, and what to enter at the vendor.

The guides are files beside this module, one for each source, short forms of `docs/telephony/`. They
hold `needed` and `optional`, from settings to where their values are read; `made`, from settings
that an operator makes up to what such a value begins with; and `steps`, lines with `{address}`,
`{call_address}` and `{env_file}` in them.
"""

import secrets
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from msgspec import Struct

from service.settings import Settings
from service.sources import SETTINGS, SOURCES
from workers.cli.link_url import webhook_address

FOLDER: Final = files("workers.cli") / "guides"
OUTCOMES: Final = "buildr-calls.toml"
# The call of all examples.
EXAMPLE_CALL: Final = "110"
# Names of values that may be seen on the screen while they are typed.
VISIBLE: Final = ("_id", "_sid", "_url", "_public_key")


class Guide(Struct, frozen=True, kw_only=True):
    """What a source needs, by the names of its settings; lines for people."""

    needed: Mapping[str, str]
    optional: Mapping[str, str]
    made: Mapping[str, str]
    steps: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All its settings, those first that turn the source on."""
        return (*self.made, *self.needed, *self.optional)


def read_guide(slug: str) -> Guide:
    """The guide of a source."""
    table = tomllib.loads((FOLDER / f"{slug}.toml").read_text(encoding="utf-8"))
    return Guide(
        needed=table.get("needed", {}),
        optional=table.get("optional", {}),
        made=table.get("made", {}),
        steps=tuple(table["steps"]),
    )


def outcome_file() -> str:
    """A `buildr-calls.toml` in which every line that decides something is a comment."""
    return (FOLDER / OUTCOMES).read_text(encoding="utf-8")


def make_up(name: str, beginning: str) -> str:
    """A new secret for a setting; one with a `beginning` goes on with 64 hex digits."""
    if not beginning:
        return SETTINGS[name].generate()
    return beginning + secrets.token_hex(32)


def is_visible(name: str) -> bool:
    """Whether the value of a setting may be seen while it is typed."""
    return name.lower().endswith(VISIBLE)


def steps_for(slug: str, settings: Settings, *, env_file: str) -> list[str]:
    """The steps at the vendor, with the addresses that these settings make."""
    call_address = ""
    if SOURCES[slug].has_address_per_call:
        call_address = webhook_address(settings, slug, EXAMPLE_CALL)
    blanks = {
        "{address}": webhook_address(settings, slug, None),
        "{call_address}": call_address,
        "{env_file}": env_file,
    }
    lines = []
    for step in read_guide(slug).steps:
        line = step
        for blank, text in blanks.items():
            line = line.replace(blank, text)
        lines.append(line)
    return lines
