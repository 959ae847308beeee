"""
The parts of the docs that follow from the code, written by `make docs`; a test fails where they are
not up to date.

A part begins at a line with its name and `made by: make docs`, and ends at a line with `end of` and
its name.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from service.sources import SOURCES, Source
from service.sources.settings import SourceSetting
from tests.repository.facts_table import facts_table
from tests.repository.reference import command_reference, with_setting_rows

ROOT: Final = Path(__file__).parents[2]
MINUTE_S: Final = 60
HOUR_S: Final = 3600
SETTINGS_PAGE: Final = "docs/settings.md"


def settings_table() -> str:
    """The rows of all sources' settings for docs/settings.md."""
    rows = [
        f"| `{item.name.upper()}` | {item.description} | {_default(item)} |" for item in _settings()
    ]
    return "\n".join(["| setting | is | default |", "|---|---|---|", *rows])


def example_lines() -> str:
    """The same for deploy/env.example."""
    lines = []
    for source in _sources():
        lines.append(f"\n# {source.title}: docs/telephony/{source.slug}.md")
        for item in source.settings:
            lines.append(f"# {item.description}")
            lines.append(
                f"{item.name.upper()}="
                if item.default is None
                else f"#{item.name.upper()}={item.default}"
            )
    return "\n".join(lines).lstrip("\n")


def overview_table() -> str:
    """One row for each source."""
    heads = (
        "system",
        "proved by",
        "address holds a token",
        "waits",
        "a message that got no 2xx is sent again",
        "your Buildr call id travels in",
    )
    rows = [
        (
            f"[{source.title}]({source.slug}.md)",
            source.proof,
            "yes" if source.requires_path_token else "no",
            f"{source.retry_policy.response_timeout_s:g} s",
            _retries(source.retry_policy.retry_delays_s),
            source.call_id_carrier or "nothing: link or expected call",
        )
        for source in _sources()
    ]
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def facts_of_calls() -> str:
    """Which sources tell what the conditions of rules ask for."""
    return facts_table([source.slug for source in _sources()])


PARTS: Final[Mapping[tuple[str, str], Callable[[], str]]] = {
    ("docs/settings.md", "settings of sources"): settings_table,
    ("deploy/env.example", "settings of sources"): example_lines,
    ("docs/telephony/README.md", "overview"): overview_table,
    ("docs/telephony/README.md", "facts of calls"): facts_of_calls,
    ("docs/reference-cli.md", "all commands"): command_reference,
}


def filled(path: str, text: str) -> str:
    """
    The text of a page with its parts as they should be. Raises ValueError where a part has no
    place.
    """
    for (page, name), make in PARTS.items():
        if page != path:
            continue
        place = re.compile(
            rf"(^[^\n]*{name}, made by: make docs[^\n]*\n).*?(^[^\n]*end of {name}[^\n]*$)",
            re.MULTILINE | re.DOTALL,
        )
        result = place.search(text)
        if result is None:
            raise ValueError(f"{path} has no place for: {name}")
        text = f"{text[: result.start()]}{result[1]}\n{make()}\n\n{result[2]}{text[result.end() :]}"
    if path == SETTINGS_PAGE:
        text = with_setting_rows(text)
    return text


def main() -> None:
    """Write all pages that have such parts."""
    for path in sorted({page for page, _ in PARTS}):
        file = ROOT / path
        file.write_text(filled(path, file.read_text(encoding="utf-8")), encoding="utf-8")


def _sources() -> list[Source]:
    return sorted(
        SOURCES.values(), key=lambda source: (source.slug == "standard", source.title.lower())
    )


def _settings() -> list[SourceSetting]:
    return [setting for source in _sources() for setting in source.settings]


def _default(setting: SourceSetting) -> str:
    return "not set" if setting.default is None else f"`{setting.default}`"


def _retries(retry_delays_s: tuple[float, ...]) -> str:
    return f"after {', '.join(map(_span, retry_delays_s))}" if retry_delays_s else "never"


def _span(seconds: float) -> str:
    if seconds < 2 * MINUTE_S:
        return f"{seconds:g} s"
    return f"{seconds / MINUTE_S:g} min" if seconds < 2 * HOUR_S else f"{seconds / HOUR_S:g} h"


if __name__ == "__main__":
    main()
