"""
Characters that steer a terminal or hide what a text says: shown as escapes, and not obeyed.
"""

import re
from typing import Final

# Both sets of controls; what changes the direction of writing or cannot be seen (but for the
# joiners, which names in Persian and Hindi need); both line separators; halves of characters, which
# no stream can encode.
_STEERING: Final = (
    r"\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
_ALL: Final = re.compile(rf"[{_STEERING}]")
_ALL_BUT_LINES: Final = re.compile(rf"(?![\t\n])[{_STEERING}]")
_BYTE: Final = 0x100
_PLANE: Final = 0x10000


def escape_controls(text: str, *, has_lines: bool = False) -> str:
    r"""
    A text whose steering characters are written as `\x1b`, `\u202e` or `\U000e0001`; with
    `has_lines` tabs and line feeds stay.
    """
    # Most texts; this takes a tenth of the time of a search.
    if text.isascii() and text.isprintable():
        return text
    pattern = _ALL_BUT_LINES if has_lines else _ALL
    return pattern.sub(_escaped, text)


def one_line(text: str) -> str:
    """A text in one line, in which nothing steers a terminal: such characters are shown."""
    return escape_controls(text.replace("\n", " ").replace("\t", " "))


def escape_json(text: str) -> str:
    r"""The same for JSON text, where they are in strings only: as `\u001b` or a pair of these."""
    return _ALL_BUT_LINES.sub(_json_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < _BYTE:
        return f"\\x{code:02x}"
    if code < _PLANE:
        return f"\\u{code:04x}"
    return f"\\U{code:08x}"


def _json_escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
