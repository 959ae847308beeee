"""
The lines of the `sh` blocks of the pages, each as a shell would read it.
"""

import re
import shlex
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from tests.repository.site import ROOT, pages
from workers.cli.program import PROGRAM

BLOCK: Final = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
# A comment begins behind a space; in the address of a webhook `#` follows the query.
COMMENT: Final = re.compile(r"(?:^|\s+)# .*$")
ASSIGNMENT: Final = re.compile(r"(?:export )?([A-Z][A-Z0-9_]*)=(.*)", re.DOTALL)
# What comes before the command: in a container, by another user, in a clone.
BEFORE_COMMAND: Final = re.compile(
    r"^(?:sudo |docker compose -f \S+ exec web |kubectl exec \S+ -- )?(?:\S*/bin/)?"
    rf"(?={PROGRAM} )"
)
SUBSTITUTION: Final = re.compile(rf"^source <\(({PROGRAM} .*)\)$")
IN_TEXT: Final = re.compile(rf"`{PROGRAM}( [^`\n>]+)(?:>[^`\n]*)?`")
# A word in place of a value, like SOURCE or CA…, and what a page leaves open.
PLACEHOLDER: Final = re.compile(r"^[A-Z][A-Z_]+\b|…|\.\.\.")
# What was true once, and what is made from the commands themselves.
LEFT_OUT: Final = ("CHANGELOG.md", "SECURITY.md", "decisions", "reference-cli.md")


class ShownLine(Struct, frozen=True, kw_only=True):
    """
    One command of a page: its line in the file and the first one of its block, from 1, and its text
    without the comment.
    """

    page: str
    block: int
    number: int
    text: str

    @property
    def place(self) -> str:
        """Where it is, for a message."""
        return f"{self.page}:{self.number}: {self.text}"

    @property
    def words(self) -> list[str]:
        """The words of the command, without what comes before its name and behind a pipe."""
        text = self.text
        if substitution := SUBSTITUTION.match(text):
            text = substitution[1]
        return shlex.split(BEFORE_COMMAND.sub("", text))

    @property
    def assignment(self) -> tuple[str, str] | None:
        """Name and value of a line that is nothing but a variable."""
        match = ASSIGNMENT.fullmatch(self.text)
        if match is None:
            return None
        return match[1], " ".join(shlex.split(match[2]))


def shown_pages() -> list[str]:
    """The pages with commands that are to be run, as paths from the root."""
    paths = [path.relative_to(ROOT) for path in pages().values()]
    return [str(path) for path in paths if not any(name in str(path) for name in LEFT_OUT)]


def shown_lines(page: str) -> list[ShownLine]:
    """The commands of a page, in its order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = []
    for match in BLOCK.finditer(text):
        block = text.count("\n", 0, match.start(1)) + 1
        lines += [
            ShownLine(page=page, block=block, number=number, text=command)
            for number, command in _commands(match[1], block)
        ]
    return lines


def commands_in_texts() -> list[str]:
    """What follows the name of the program in the texts of all pages, without what is left open."""
    commands: set[str] = set()
    for page in shown_pages():
        text = BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
        commands.update(command.strip() for command in IN_TEXT.findall(text))
    return sorted(
        command
        for command in commands
        if not any(PLACEHOLDER.search(word) for word in shlex.split(command))
    )


def _commands(block: str, first: int) -> Iterator[tuple[int, str]]:
    """Each command with its first line; one may go on behind a backslash or an open quotation."""
    parts: list[str] = []
    for number, line in enumerate(block.splitlines(), first):
        parts.append(line)
        command = "\n".join(parts)
        if command.endswith("\\") or _is_open(command):
            continue
        command = COMMENT.sub("", command.replace("\\\n", " ")).strip()
        if command:
            yield number - len(parts) + 1, command
        parts = []
    assert not parts, f"a command has no end: {parts}"


def _is_open(command: str) -> bool:
    try:
        shlex.split(COMMENT.sub("", command))
    except ValueError:
        return True
    return False
