"""
The checks of style find what they are for, and leave its neighbours alone.
"""

import tokenize

import pytest

from tests.repository import density, style, wording
from tests.repository.findings import Kind
from tests.repository.source_files import ROOT, Comment, parse, python_paths, read

LONG = "x" * 101


def kinds(text: str, path: str = "service/example.py") -> list[str]:
    """The kinds of what is found in a text, noticed once for each place."""
    return [finding.kind.value for finding in style.measure(parse(text, path)).findings]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status = 1 if is_open else 0", ["conditional"]),
        ("status = (1 if a else 2) if b else 3", ["conditional", "conditional", "nested"]),
        ("status = 1 if (a if b else c) else 3", ["conditional", "conditional", "nested"]),
        ("status = 1 if a else 2 if b else 3", ["conditional", "conditional", "nested"]),
        ("status = 1 if a else f(lambda: 2 if b else 3)", ["conditional", "conditional", "nested"]),
        ("status = [1 if a else 2, 3 if b else 4]", ["conditional", "conditional"]),
        ("calls = [call for call in calls if a if b]", ["comprehension-filters"]),
        ("calls = {a for b in c if b for a in b if a}", ["comprehension-filters"]),
        ("calls = [call for call in calls if a and b]", []),
        ("calls = (b for a in c if (b := a.leg))", ["filter-walrus"]),
        ("calls = {a: b for a in c if f(b := a.leg)}", ["filter-walrus"]),
        ("calls = [(leg := call.leg) for call in calls]", []),
        ("if (leg := call.leg): pass", []),
        ("host, port = 'localhost', 80", ["tuple-assignment"]),
        ("(host, port) = [a, b]", ["tuple-assignment"]),
        ("self.host, self.port = host, port", ["tuple-assignment"]),
        ("first, second = second, first", []),
        ("old, new = new, old + new", []),
        ("self.a, self.b = self.b, self.a", []),
        ("host, port = address", []),
        ("host, port = split(address)", []),
        ("address = host, port", []),
        ("for host, port in (a, b): pass", []),
        (f"value = '{LONG}'", ["long-line"]),
        (f"# {LONG}", ["long-line"]),
        (f'"""\n{LONG}\n"""', ["long-line"]),
        (f"# see https://example.com/{LONG}", ["long-line"]),
        (f"# https://example.com/{LONG}", []),
        (f'"""\nhttps://example.com/{LONG}\n"""', []),
        ("value = 1  # noqa: E501", ["noqa"]),
        ("# ruff: noqa", ["noqa"]),
        ("value = 1  # type: ignore[arg-type]", ["type-ignore"]),
        ("value = '# noqa'", []),
        ("value = f'{a}# noqa' + '#'  # a comment", []),
    ],
)
def test_lines(text: str, expected: list[str]) -> None:
    """Each kind is found at its place; what only looks like it is not."""
    names = {"nested": "nested-conditional"}
    assert [names.get(kind, kind) for kind in expected] == kinds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("found = 1", ["found"]),
        ("for each in calls: pass", ["each"]),
        ("calls = [f(each) for each in calls]", ["each"]),
        ("calls = [f(_each) for _each in calls]", ["_each"]),
        ("def f(what, *, who=1): pass", ["what", "who"]),
        ("async def f():\n    async with a as held: pass", ["held"]),
        ("if (told := f()): pass", ["told"]),
        ("try: pass\nexcept ValueError as thing: pass", ["thing"]),
        ("match call:\n    case [way]: pass", ["way"]),
        ("first, (known, _) = calls", ["known"]),
        ("call.found = 1", []),
        ("f(found=1)", []),
        ("found_calls = 1", []),
        ("keyword = 1", []),
        ("class Message(TypedDict):\n    what: str", []),
        ("class Message:\n    what: str", ["what"]),
    ],
)
def test_contentless_names(text: str, expected: list[str]) -> None:
    """Names are looked at where they are bound, whole, and not as keys of a vendor's message."""
    findings = density.contentless_names(parse(text))
    assert sorted(expected) == sorted(finding.text for finding in findings)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("pass", 0),
        ("if a: pass", 1),
        ("if a: pass\n elif b: pass\n else: pass", 2),
        ("for a in b: pass\n else: pass", 1),
        ("while a: pass", 1),
        ("try: pass\n except A: pass\n except B: pass\n finally: pass", 2),
        ("return 1 if a else 2", 1),
        ("return a and b and c or d", 3),
        ("return [a for b in c for a in b if a]", 3),
        ("match a:\n  case 1: pass\n  case _: pass", 2),
        ("with a: pass", 0),
        ("return lambda: a or b", 1),
        ("def g():\n  if a: pass", 0),
        ("class G:\n  def g(self):\n   if a: pass", 0),
    ],
)
def test_branches(body: str, expected: int) -> None:
    """Branches are counted as a reader meets them, those of an inner function apart."""
    file = parse(f"def f():\n {body}")
    counts = density.count_branches(file)
    assert expected == sum(count for node, count in counts.items() if node.name == "f")


def test_too_many_branches_are_found() -> None:
    """Twelve are allowed, the thirteenth is not; the finding has the function's name."""
    text = "async def f():\n" + " if a: pass\n" * 12
    assert [] == kinds(text)
    (finding,) = style.measure(parse(text + " return a or b\n")).findings
    assert "service/example.py:1: branches: f has 13" == str(finding)


def test_lengths() -> None:
    """A function has at most 60 lines and a module 300; the module of a test may have more."""
    body = "    pass\n"
    assert [] == kinds("def f():\n" + body * 59)
    assert ["long-function"] == kinds("def f():\n" + body * 60)
    assert [] == kinds("pass\n" * 300)
    assert ["long-module"] == kinds("pass\n" * 301)
    assert [] == kinds("pass\n" * 301, "tests/test_example.py")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("class Publicity: pass", "publicity"),
        ("def put_through(): pass", "put through"),
        ("MOST_PATIENCE = 1", "patience"),
        ("from a import b as was_told", "told"),
        ("call.heard = 1", "heard"),
        ("mark = 1", "mark"),
        ("class ReplayMark: pass", "mark"),
        ("look = 1", "look"),
        ('"""Nothing was heard."""', "heard"),
        ('def f():\n    """\n    A story\n    """', "story"),
        ("a = 1\n# A call that comes\n# again", "comes again"),
        ("a = 1  # It comes\n\n# again, or it was told", "told"),
        ('"""It comes\nagain."""', "comes again"),
        ("# The call as it stands.", "stands"),
        ("# It gets the mark.", "the mark"),
        ("# Costs a look.", "a look"),
        ("# Left to a person.", "a person"),
        ("log.info('nothing was told')", "told"),
        ("raise ValueError(f'{a} was said')", "said"),
        ("option(help='what it is told')", "told"),
    ],
)
def test_words_are_found(text: str, expected: str) -> None:
    """Names, docstrings, comments, log texts, errors and help are read."""
    (finding,) = wording.words(parse(text))
    assert expected == finding.text.partition(" (")[0].lower()


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.slow\ndef test_call(): pass",
        "def mark_failed(): pass",
        "bookmark = watermark = 1",
        "def look_up(): pass",
        "lookup = 1",
        "outstanding = long_history = 1",
        "def test_it_looks_at_every_account(): pass",
        "call.of_library(told=1)",
        "status = request.heard",
        "STATUS = {'told': 'said'}",
        "log.info('webhook.heard')",
        "# RTP stands for a protocol, and the sandbox stands in for Buildr.",
        '"""The vendor\'s field `said`, ``told`` or "story"."""',
        "# see https://example.com/story/told",
        "# It marks the call as read, looks at it and looks like it.",
        "# A long-standing person with a question mark.",
    ],
)
def test_neighbours_of_words_are_not_found(text: str) -> None:
    """Other senses, longer words, quotations, strings and names of libraries are left alone."""
    assert [] == list(wording.words(parse(text)))


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("service/sources/telnyx/texml.py", 0),
        ("workers/calls/results.py", 0),
        ("workers/local/demo.py", 1),
        ("tests/workers/test_demo.py", 1),
    ],
)
def test_words_of_the_field_are_allowed_where_it_is(path: str, count: int) -> None:
    """A word that telephony systems use of their own is no metaphor among them."""
    assert count == len(list(wording.words(parse("# An announcement is played.", path))))


def test_file_name_is_read() -> None:
    """A module is named by the same rules as what it holds."""
    (finding,) = wording.words(parse("", "workers/replay/story.py"))
    assert Kind.WORD is finding.kind


def test_line_of_a_word_is_its_own() -> None:
    """In a docstring the line of the word is named, not the first."""
    (finding,) = wording.words(parse('"""\nA call.\n\nAs it was told.\n"""'))
    assert 4 == finding.line


def test_comments_and_code_are_counted() -> None:
    """Comments for tools are none for readers; blank lines, docstrings and comments are no code."""
    text = '"""\nWhat it is.\n\nMore.\n"""\n\n# Why.\na = """\nb\n"""  # why\nc = 1  # noqa: E501\n'
    file = parse(text)
    assert 2 == density.comment_lines(file)
    assert 4 == density.code_lines(file)


def test_figures_are_rates() -> None:
    """Sums over files become rates; nothing over nothing is nothing."""
    styles = [style.measure(parse(text)) for text in ("a = 1 if b else 2\n", "found = 1  # why\n")]
    figures = style.add_up(styles)
    assert 500 == figures.conditionals_per_1000_lines
    assert 500 == figures.contentless_per_1000_names
    assert 0.5 == figures.comments_per_line
    assert 0 == style.add_up([]).comments_per_line


def test_every_kind_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a row for each kind, and `--list` names places."""
    style.main(["tests/repository/style.py"])
    rows = capsys.readouterr().out.splitlines()
    assert {kind.value for kind in Kind} <= {row.split("  ")[0] for row in rows}
    style.main(["tests/repository/style.py", "--list", "word"])
    assert "" == capsys.readouterr().out


def test_comments_are_those_that_python_sees() -> None:
    """In files that are full of `#` in strings, the same ones are found as by `tokenize`."""
    for path in python_paths("tests/repository"):
        with tokenize.open(ROOT / path) as lines:
            tokens = list(tokenize.generate_tokens(lines.readline))
        comments = [token for token in tokens if token.type == tokenize.COMMENT]
        expected = [Comment(token.start[0], token.string) for token in comments]
        assert tuple(expected) == read(path).comments
