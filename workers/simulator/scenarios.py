"""
Realistic calls to simulate: request files with blanks, one file per scenario in
`scenarios/<source>/`.

A blank is `$name`, filled from the scenario's own `values` or from `--set`, or one of these:
`$rfc+12`, `$iso+12` and `$sql+12` (12 seconds after the call's start, as RFC 2822, as RFC 3339 and
as databases write it), `$date+12` and `$time+12` (the two halves of the latter), `$epoch+12` and
`$ms+12` (the same in seconds and milliseconds since 1970), `$echo` and `$echo64`
(`{"buildr_call_id": "110"}` from the value of that name, and the same in base64). `#name` in place
of `$name`, as a whole field, is a number. A field that is one blank and no more is left out when
its value is empty. In `values`, `$hex`, `$uuid` and `$digits` are made up: 32 hex digits, an UUID,
16 decimal digits.
"""

import base64
import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from random import Random
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from service.events import Direction, Result
from service.sources.common.ids import BUILDR_CALL_ID
from service.sources.common.json_body import JsonValue, read_json_object
from service.sources.common.request_file import build_request
from service.sources.request import WebhookRequest

BLANK: Final = re.compile(r"\$([a-z_]+(?:64)?)(?:\+([0-9]{1,5}))?")
NUMBER: Final = "#"
SUFFIX: Final = ".json"
TIMES: Final[Mapping[str, Callable[[datetime], str]]] = {
    "rfc": format_datetime,
    "iso": lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}",
    "sql": lambda moment: f"{moment:%Y-%m-%d %H:%M:%S}",
    "date": lambda moment: f"{moment:%Y-%m-%d}",
    "time": lambda moment: f"{moment:%H:%M:%S}",
    "epoch": lambda moment: str(int(moment.timestamp())),
    "ms": lambda moment: str(int(moment.timestamp() * 1000)),
}
ECHO: Final = "echo"
ECHO_BASE64: Final = "echo64"


class ScenarioError(ValueError):
    """Raised for a scenario, or a value to set, that does not exist; names those that do."""


class Ends(Struct, frozen=True, kw_only=True):
    """How the call of a scenario ends; `duration_s` is its talk in seconds."""

    result: Result | None
    direction: Direction | None
    duration_s: int | None


class Scenario(Struct, frozen=True, kw_only=True):
    """
    One call to simulate.

    `ends` is what it is folded into, `values` are its blanks with their values unless set
    otherwise, `templates` its request files.
    """

    source: str
    name: str
    title: str
    about: str
    ends: Ends
    values: Mapping[str, str]
    templates: tuple[Mapping[str, JsonValue], ...]

    def requests(
        self, values: Mapping[str, str], start_at: datetime, rng: Random
    ) -> list[dict[str, JsonValue]]:
        """
        The scenario's request files, in the order of the call, every blank filled.

        `start_at` is aware and in UTC. The same arguments give the same requests. Raises
        `ScenarioError` for a value that has no blank.
        """
        for key in values:
            if key not in self.values:
                raise ScenarioError(
                    f"{self.source} {self.name} has no value "
                    f"{key!r}{_suggestion(key, list(self.values))}"
                )
        fill = _Filler(start_at=start_at, values=self._chosen(values, rng))
        return [fill.each(template) for template in self.templates]

    def build_requests(
        self, values: Mapping[str, str], *, base_url: str, start_at: datetime, rng: Random
    ) -> list[WebhookRequest]:
        """The same as unsigned requests; raises `ScenarioError` and `MalformedPayload`."""
        return [
            build_request(parts, base_url=base_url)
            for parts in self.requests(values, start_at, rng)
        ]

    def _chosen(self, values: Mapping[str, str], rng: Random) -> dict[str, str]:
        return {
            name: values[name] if name in values else _random(default, rng)
            for name, default in self.values.items()
        }


class _Filler(Struct, frozen=True, kw_only=True):
    start_at: datetime
    values: Mapping[str, str]

    def each(self, parts: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        return {
            name: self.fill(value) for name, value in parts.items() if not self._is_left_out(value)
        }

    def fill(self, value: JsonValue) -> JsonValue:
        if isinstance(value, str):
            if value.startswith(NUMBER):
                return self._number(value)
            return BLANK.sub(self._blank, value)
        if isinstance(value, dict):
            return self.each(value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return value

    def _number(self, text: str) -> JsonValue:
        blank = f"${text.removeprefix(NUMBER)}"
        if BLANK.fullmatch(blank) is None:
            return text
        filled = BLANK.sub(self._blank, blank)
        if filled.isascii() and filled.isdigit():
            return int(filled)
        return filled

    def _is_left_out(self, value: JsonValue) -> bool:
        return (
            isinstance(value, str)
            and BLANK.fullmatch(value.replace(NUMBER, "$", 1)) is not None
            and self.fill(value) == ""
        )

    def _blank(self, match: re.Match[str]) -> str:
        name = match[1]
        offset_s = match[2]
        if name in TIMES:
            return TIMES[name](
                self.start_at.replace(microsecond=0) + timedelta(seconds=int(offset_s or 0))
            )
        if name in (ECHO, ECHO_BASE64):
            return self._echo(in_base64=name == ECHO_BASE64)
        if name not in self.values or offset_s is not None:
            raise ScenarioError(f"the scenario's blank {match[0]} is not among its values")
        return self.values[name]

    def _echo(self, *, in_base64: bool) -> str:
        stored = self.values.get(BUILDR_CALL_ID, "")
        text = json.dumps({BUILDR_CALL_ID: stored}) if stored else ""
        return base64.b64encode(text.encode()).decode() if in_base64 else text


def names(source: str) -> tuple[str, ...]:
    """The scenarios of a source, in order."""
    folder = _folder(source)
    if not folder.is_dir():
        return ()
    return tuple(
        sorted(
            entry.name.removesuffix(SUFFIX)
            for entry in folder.iterdir()
            if entry.name.endswith(SUFFIX)
        )
    )


def load(source: str, name: str) -> Scenario:
    """Read one scenario; raises `ScenarioError` that names the existing ones."""
    existing = names(source)
    if name not in existing:
        raise ScenarioError(f"{source} has no scenario {name!r}{_suggestion(name, existing)}")
    stored = read_json_object((_folder(source) / f"{name}{SUFFIX}").read_bytes())
    values = stored["values"]
    templates = stored["requests"]
    if not isinstance(values, dict) or not isinstance(templates, list):
        raise ScenarioError(
            f"{source}/{name}{SUFFIX}: values must be an object and requests a list"
        )
    return Scenario(
        source=source,
        name=name,
        title=str(stored["title"]),
        about=str(stored["about"]),
        ends=msgspec.convert(stored["ends"], Ends),
        values={key: str(value) for key, value in values.items()},
        templates=tuple(template for template in templates if isinstance(template, dict)),
    )


def _folder(source: str) -> Traversable:
    return files("service.sources") / source / "scenarios"


def _random(text: str, rng: Random) -> str:
    result = text.replace("$hex", f"{rng.getrandbits(128):032x}").replace(
        "$uuid", str(UUID(int=rng.getrandbits(128), version=4))
    )
    return result.replace("$digits", str(rng.randrange(10**15, 10**16)))


def _suggestion(wrong: str, names: Sequence[str]) -> str:
    if not names:
        return "; there is none"
    close = difflib.get_close_matches(wrong, names, n=1)
    listed = f"There are: {', '.join(names)}"
    if close:
        return f"; did you mean {close[0]}? {listed}"
    return f". {listed}"
