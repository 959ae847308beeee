"""
What `run` shows: the processes' log lines, one line each and fit for a terminal.
"""

import contextlib
import json
from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field
from rich.console import Console
from rich.text import Text

from service.logs.control_characters import one_line

LEVELS: Final[Mapping[str, int]] = {
    "debug": 10,
    "info": 20,
    "warning": 30,
    "error": 40,
    "critical": 50,
}
STYLES: Final[Mapping[str, str]] = {
    "debug": "dim",
    "info": "",
    "warning": "yellow",
    "error": "bold red",
    "critical": "bold red",
}
PART_STYLES: Final[Mapping[str, str]] = {"receiver": "cyan", "worker": "magenta", "sandbox": "blue"}
OWN_COLUMNS: Final = frozenset(
    {"timestamp", "level", "event", "logger", "exception", "account", "job_id"}
)
NAME_WIDTH: Final = 8
TIME_OF_DAY: Final = slice(11, 19)


class LogLine(Struct, frozen=True, kw_only=True):
    """One line that a part wrote; `event` is None and `text` all there is if it is no log entry."""

    part: str
    text: str
    event: str | None = None
    level: str = "info"
    fields: Mapping[str, object] = field(default_factory=dict)

    @property
    def source_call_id(self) -> str | None:
        """The call that it is about, or None."""
        value = self.fields.get("source_call_id")
        return value if isinstance(value, str) else None


def read_line(part: str, text: str) -> LogLine:
    """Read a line; anything that is no JSON object with an event is kept as text."""
    with contextlib.suppress(ValueError, RecursionError):
        entry = json.loads(text)
        if isinstance(entry, dict) and isinstance(entry.get("event"), str):
            level = str(entry.get("level"))
            return LogLine(
                part=part,
                text=text,
                event=entry["event"],
                level=level if level in LEVELS else "info",
                fields=entry,
            )
    return LogLine(part=part, text=text, level="warning")


class LastingConsole(Console):
    """A console that falls silent when its reader is gone; rich's own would end the process."""

    def on_broken_pipe(self) -> None:
        """Print nothing from now on."""
        self.quiet = True


class Screen(Struct):
    """
    The terminal of a run. Lines below `least` are not shown; with `is_raw` lines are printed as
    they came.

    A terminal that is gone is no reason to stop: what cannot be printed is dropped.
    """

    console: Console
    least: str = "info"
    is_raw: bool = False

    def say(self, *texts: str | Text) -> None:
        """Print a line of our own; texts are taken as they are, without markup."""
        with contextlib.suppress(OSError):
            self.console.print(*texts, markup=False, highlight=False, soft_wrap=True)

    def show(self, line: LogLine) -> None:
        """Print a line of a part."""
        if LEVELS[line.level] < LEVELS[self.least]:
            return
        self.say(line.text if self.is_raw else render(line))


def render(line: LogLine) -> Text:
    """One line for people: time (UTC), part, what happened, and the rest as `name=value`."""
    name = (f"{line.part:<{NAME_WIDTH}} | ", PART_STYLES.get(line.part, ""))
    if line.event is None:
        return Text.assemble(name, one_line(line.text))
    rest = " ".join(
        f"{key}={_value(value)}"
        for key, value in line.fields.items()
        if key not in OWN_COLUMNS and value is not None
    )
    text = Text.assemble(
        (f"{str(line.fields.get('timestamp', ''))[TIME_OF_DAY]} ", "dim"),
        name,
        (one_line(line.event), STYLES[line.level]),
        (f"  {one_line(rest)}" if rest else "", "dim"),
    )
    if exception := line.fields.get("exception"):
        for row in str(exception).splitlines():
            text.append(f"\n{'':>9}{line.part:<{NAME_WIDTH}} | {one_line(row)}")
    return text


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
