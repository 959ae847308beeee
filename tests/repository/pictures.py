"""
The terminal pictures of the README: real commands, run in a terminal of their own against a whole
local installation, and what they print as SVG. `make pictures` writes them.

An SVG asks no other host for anything: it names fonts that machines have.
"""

import fcntl
import io
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.e2e.harness import free_port
from tests.repository.site import ROOT

FOLDER: Final = ROOT / "docs" / "pictures"
PROGRAM: Final = "buildr-calls"
WIDTH: Final = 110
TIMEOUT_S: Final = 120
# The last thing that `run` prints before it waits for Ctrl-C, and the blank line behind it.
IS_UP: Final = re.compile(r"Try next,.*\n\s*\n$", re.DOTALL)
FONT_FACE: Final = re.compile(r"@font-face\s*{.*?}", re.DOTALL)
FONTS: Final = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"
COMMANDS: Final = {
    "explain": ("explain", "(500) 555-0001"),
}


def svg_of(title: str, output: str) -> str:
    """What a command printed, escape sequences and all, as a picture of a terminal."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(output.strip("\n")))
    svg = console.export_svg(title=f"$ {title}", theme=MONOKAI, unique_id="terminal")
    svg = FONT_FACE.sub("", svg).replace("Fira Code, monospace", FONTS)
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


class Terminal:
    """A command in a terminal; `output` is what it has printed so far."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 60, WIDTH, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli.main", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
            env=environment,
            cwd=ROOT,
        )
        os.close(slave)
        self.output = ""
        self._has_more = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for(self, end: re.Pattern[str]) -> None:
        """Until what it has printed matches. Raises TimeoutError."""
        with self._has_more:
            if not self._has_more.wait_for(lambda: end.search(self.output), TIMEOUT_S):
                raise TimeoutError(f"{end.pattern!r} is not in {self.output}")

    def wait(self) -> str:
        """What it printed until its end."""
        self.process.wait(TIMEOUT_S)
        self._thread.join(TIMEOUT_S)
        os.close(self._master)
        return self.output

    def _read(self) -> None:
        parts = io.BytesIO()
        # Linux answers with an error once the other side is closed.
        while part := _read_or_end(self._master):
            parts.write(part)
            with self._has_more:
                self.output = parts.getvalue().decode(errors="ignore").replace("\r\n", "\n")
                self._has_more.notify_all()


def _read_or_end(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""


def take() -> dict[str, str]:
    """The pictures by their names."""
    with tempfile.TemporaryDirectory() as folder:
        data_folder = str(Path(folder) / ".data")
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "TERM": "xterm-256color",
            "COLUMNS": str(WIDTH),
            "DATA_DIR": data_folder,
        }
        ports = (free_port(), free_port())
        # What is of this run alone, and what a user would see.
        usual = {
            f"DATA_DIR={data_folder} ": "",
            data_folder: ".data",
            f":{ports[0]}": ":8000",
            f":{ports[1]}": ":8001",
        }
        arguments = ["run", "--port", str(ports[0]), "--sandbox-port", str(ports[1])]
        run = Terminal(arguments, environment)
        try:
            run.wait_for(IS_UP)
            outputs = {"run": (f"{PROGRAM} run", run.output)}
            for name, command in COMMANDS.items():
                outputs[name] = (
                    f"{PROGRAM} {shlex.join(command)}",
                    Terminal(command, environment).wait(),
                )
        finally:
            run.process.send_signal(signal.SIGINT)
            run.wait()
    return {name: svg_of(title, _replaced(text, usual)) for name, (title, text) in outputs.items()}


def _replaced(text: str, replacements: Mapping[str, str]) -> str:
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text


def main() -> None:
    """Write them all."""
    for name, svg in take().items():
        (FOLDER / f"terminal-{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
