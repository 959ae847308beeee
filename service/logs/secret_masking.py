"""
Secrets and content in text that people other than the operator may read: found by what leads to
them, and hidden.
"""

import re
from typing import Final

HIDDEN: Final = "[hidden]"

# The limit on what follows a name keeps the search linear: senders choose the text, and could
# repeat a name for all of its length.
_CONFIDENTIAL_NAME: Final = (
    r"(?:authorization|api[_-]?key|credentials?|passw(?:or)?d|pwd|secrets?|signature|token)"
    r"[\w-]{0,40}"
)
_CONTENT_NAME: Final = r"\b(?:body|content|notes?|payload|raw|transcript(?:ion)?)"
# Between a name and its value, in JSON, a Python repr or a query; three backslashes are before a
# quote that was escaped twice.
_IS: Final = r"\\{0,3}['\"]?\s?[=:]\s?"
# A quoted value; inside of quoted text it ends at a quote with as many backslashes. One that was
# cut off has no closing quote, and is hidden to the end of the text.
_QUOTED: Final = r"""(?:
    (?P<e>\\+)' (?:(?!(?<!\\)(?P=e)').)* (?:(?P=e)'|\Z)
  | (?P<f>\\+)" (?:(?!(?<!\\)(?P=f)").)* (?:(?P=f)"|\Z)
  | b?' (?:[^'\\]|\\.)* (?:'|\\?\Z)
  | b?" (?:[^"\\]|\\.)* (?:"|\\?\Z)
)"""
_FLAGS: Final = re.IGNORECASE | re.VERBOSE | re.DOTALL
# The order matters: quoted values are hidden whole before the last two patterns, which end at a
# quote or a blank, could hide only their beginning.
_SUBSTITUTIONS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    # Credentials in a URL, then its whole query: some senders put tokens there, and Twilio numbers.
    (re.compile(r"(://)[^\s/'\"<>]{0,1000}@"), rf"\1{HIDDEN}@"),
    (re.compile(r"(://[^\s?#'\"<>]{0,1000})\?[^\s#'\"<>]*"), rf"\1?{HIDDEN}"),
    (re.compile(r"\b(bearer|basic)\s+[\w+/=.~:-]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\bwhsec_[\w+/=-]+"), HIDDEN),
    # pydantic's errors quote their input, which may itself hold commas and quotes.
    (re.compile(r"input_value=.*(?=, input_type=)|input_value=.*"), f"input_value={HIDDEN}"),
    (re.compile(rf"({_CONTENT_NAME}{_IS}){_QUOTED}", _FLAGS), rf"\1{HIDDEN}"),
    (re.compile(rf"({_CONFIDENTIAL_NAME}{_IS}){_QUOTED}", _FLAGS), rf"\1{HIDDEN}"),
    # A header written as a line: its value ends with the line, and may hold blanks.
    (
        re.compile(
            rf"(\b(?:authorization|cookie|[\w-]{{0,30}}-{_CONFIDENTIAL_NAME}):\s?)[^\r\n'\"]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(rf"({_CONFIDENTIAL_NAME}=)(?!\[hidden\])[^\s'\"&,;]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
)
# Each of the searches needs one of these in the text, or a colon behind one of these names.
_TELLING: Final = re.compile(r"[\s='\"]|://|whsec_")
_TELLING_NAME: Final = re.compile(rf"{_CONFIDENTIAL_NAME}|cookie", re.IGNORECASE)


def mask_secrets(text: str) -> str:
    """The text with credentials, query strings and the content of messages hidden."""
    # Ids, which most texts without blanks are, take one search in place of nine.
    if _TELLING.search(text) or (":" in text and _TELLING_NAME.search(text)):
        return search_secrets(text)
    return text


def search_secrets(text: str) -> str:
    """The same for any text; slower for one that holds none."""
    for pattern, replacement in _SUBSTITUTIONS:
        text = pattern.sub(replacement, text)
    return text
