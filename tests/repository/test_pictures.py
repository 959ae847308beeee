"""
The terminal pictures of the README show what commands print, and ask no other host for anything.
"""

import os
import re

import pytest

from tests.repository.pictures import COMMANDS, FOLDER, Terminal, svg_of
from tests.repository.site import ROOT

# A format, a word on who made the template, and text that is shown: nothing of it is loaded.
NAMED = r"http://www\.w3\.org/2000/svg|https://www\.textualize\.io|http://127\.0\.0\.1:800[01]"


def test_picture_holds_the_text_and_asks_no_other_host() -> None:
    """Colours and titles are kept; rich's own template would load a font."""
    svg = svg_of("buildr-calls status", "\x1b[1;36mworkers\x1b[0m  2 & more\n")
    assert "buildr-calls&#160;status" in svg
    assert "workers" in svg
    assert "&amp;" in svg
    assert "http" not in re.sub(NAMED, "", svg)


@pytest.mark.parametrize("name", ["run", *COMMANDS])
def test_picture_is_in_the_readme(name: str) -> None:
    """Each is shown, and is as small as a picture of text can be."""
    file = FOLDER / f"terminal-{name}.svg"
    assert f"({file.relative_to(ROOT).as_posix()})" in (ROOT / "README.md").read_text("utf-8")
    svg = file.read_text(encoding="utf-8")
    assert "http" not in re.sub(NAMED, "", svg)
    assert len(svg) < 40_000


@pytest.mark.slow
def test_command_is_run_in_a_terminal() -> None:
    """What it prints there is read to its end."""
    terminal = Terminal(["version"], {"PATH": os.environ["PATH"], "TERM": "xterm-256color"})
    terminal.wait_for(re.compile("buildr-calls"))
    assert "buildr-calls" in terminal.wait()
