"""
Words that this repository does not use: metaphors, and second words for one thing.

Read are names where they are defined, comments, docstrings, and the sentences in log calls, errors,
`click.echo` and `help=`. Strings as such are not: they hold the words of vendors. What a docstring
or a comment quotes, in backticks or double quotes, is left out for the same reason.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from tests.repository.density import assigned_names
from tests.repository.findings import Finding, Kind, finding
from tests.repository.source_files import SourceFile, functions


@dataclass(frozen=True, slots=True)
class Term:
    """
    A word or phrase not to use: a pattern over words in lower case, and what to write instead.

    A name is read as words too: `PutThrough` and `_put_through` are `put through`. `not_below` are
    folders where the word is the field's own; `in_names` and `in_prose` say where it is looked for.
    """

    pattern: str
    instead: str
    not_below: tuple[str, ...] = ()
    in_names: bool = True
    in_prose: bool = True


TELEPHONY: Final = (
    "service/sources/",
    "service/events.py",
    "workers/calls/",
    "tests/sources/",
    "tests/workers/calls/",
)
TERMS: Final = (
    Term(r"heard", "received, source activity"),
    Term(r"told", "reported; a noun of the field for a local"),
    Term(r"said", "reported"),
    Term(r"wish(es|ed)?", "replay request, options"),
    Term(r"story|stories", "explanation, history"),
    Term(r"patience", "retry policy"),
    Term(r"publicity", "public URL"),
    Term(r"crew", "account workers"),
    Term(r"vouch(es|ed|ing)?", "prove, authenticate"),
    Term(r"standing", "state"),
    Term(r"stands(?! (in )?for\b)", "is"),
    Term(r"marks?(?! (as|\w+ed|sent|seen|silent)\b)", "replay request, separator", in_prose=False),
    Term(r"(a|an|its|the|this|no|own|replay) marks?", "replay request", in_names=False),
    Term(r"looks?(?! up\b)", "snapshot, read", in_prose=False),
    Term(r"(a|an|one|another|no|per) looks?|the looks", "read, request", in_names=False),
    Term(r"play(s|ed|ing)?(?! (no|a) part\b)", "simulate", not_below=TELEPHONY),
    Term(r"on board", "started"),
    Term(r"whose leg", "leg role"),
    Term(r"put(s|ting)? (\w+ ){0,3}through", "replay", not_below=TELEPHONY),
    Term(r"comes? again", "is retried"),
    Term(r"lets? us in", "authenticates"),
    Term(r"many-?th", "attempt number"),
    Term(r"hand(s|ed|ing)? over", "passes"),
    Term(r"g[ai]ves? up its place", "is removed"),
    Term(r"(a|another) person", "an operator, a human", not_below=TELEPHONY, in_names=False),
)

_LOG_METHODS: Final = frozenset(
    {"debug", "info", "warning", "error", "exception", "critical", "echo", "secho"}
)
_NAME_PART: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_QUOTED: Final = re.compile(r"``.+?``|`[^`]+`|\"[^\"\n]*\"|https?://\S+", re.DOTALL)


def words(file: SourceFile) -> Iterator[Finding]:
    """The terms of the list that a file uses, one finding for each use."""
    path = file.path.as_posix()
    terms = [term for term in TERMS if not path.startswith(term.not_below or ("\n",))]
    for_names = _pattern([term for term in terms if term.in_names])
    for_prose = _pattern([term for term in terms if term.in_prose])
    for name, line in ((file.path.stem, 1), *_defined_names(file)):
        pattern = for_names
        if name.startswith("test_"):
            pattern = for_prose  # the name of a test is a sentence
        for match in pattern.finditer(words_of_name(name)):
            text = f"{match[0]} ({_advice(match, terms)}) in {name}"
            yield finding(Kind.WORD, file, line, text=text)
    for prose, line in _prose(file):
        for match in for_prose.finditer(_without_quotes(prose)):
            at = line + prose.count("\n", 0, match.start())
            text = f"{' '.join(match[0].split())} ({_advice(match, terms)})"
            yield finding(Kind.WORD, file, at, text=text)


@cache
def words_of_name(name: str) -> str:
    """A name as words in lower case: `_PutThrough2` is `put through 2`."""
    return " ".join(_NAME_PART.findall(name)).lower()


def _pattern(terms: list[Term]) -> re.Pattern[str]:
    # A space of a phrase may be the end of a line in a docstring.
    patterns = "|".join(term.pattern.replace(" ", r"\s+") for term in terms)
    return re.compile(rf"(?<![\w-])(?:{patterns})(?![\w])", re.IGNORECASE)


def _advice(match: re.Match[str], terms: list[Term]) -> str:
    words_found = " ".join(match[0].lower().split())
    for term in terms:
        if re.fullmatch(re.sub(r"\(\?!.*", "", term.pattern), words_found):
            return f"write: {term.instead}"
    return "see wording.py"


def _without_quotes(prose: str) -> str:
    """The text with what it quotes blanked out, as long as before and with the same lines."""
    return _QUOTED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), prose)


def _defined_names(file: SourceFile) -> Iterator[tuple[str, int]]:
    """Names where they are defined: those that come from a library are its own business."""
    yield from assigned_names(file)
    for definition in (*functions(file), *file.all(ast.ClassDef)):
        yield definition.name, definition.lineno
    for attribute in file.all(ast.Attribute):
        if isinstance(attribute.ctx, ast.Store):
            yield attribute.attr, attribute.lineno
    for alias in file.all(ast.alias):
        if alias.asname is not None:
            yield alias.asname, alias.lineno


def _prose(file: SourceFile) -> Iterator[tuple[str, int]]:
    """Texts for readers, with the line at which each begins."""
    yield from _comment_blocks(file)
    for statement in file.all(ast.Expr):
        value = statement.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value, statement.lineno
    for error in file.all(ast.Raise):
        if isinstance(error.exc, ast.Call):
            yield from _sentences(*error.exc.args)
    for call in file.all(ast.Call):
        yield from _call_sentences(call)


def _comment_blocks(file: SourceFile) -> Iterator[tuple[str, int]]:
    """Comments on lines that follow one another as one text, so that phrases may be broken."""
    block: list[str] = []
    next_line = 0
    for comment in file.comments:
        if block and comment.line != next_line:
            yield "\n".join(block), next_line - len(block)
            block = []
        block.append(comment.text.lstrip("#"))
        next_line = comment.line + 1
    if block:
        yield "\n".join(block), next_line - len(block)


def _call_sentences(call: ast.Call) -> Iterator[tuple[str, int]]:
    if isinstance(call.func, ast.Attribute) and call.func.attr in _LOG_METHODS:
        yield from _sentences(*call.args)
    yield from _sentences(*(part.value for part in call.keywords if part.arg == "help"))


def _sentences(*expressions: ast.expr) -> Iterator[tuple[str, int]]:
    """The strings with a space in these expressions; one without is a name, such as an event's."""
    for expression in expressions:
        for node in ast.walk(expression):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield node.value, node.lineno
