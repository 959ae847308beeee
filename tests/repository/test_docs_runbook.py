"""
The runbook is complete: each cause of a failure, each reason for which a request is refused, and
each log event of level error has its entry.
"""

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from service.errors import FailureCause, Overloaded, QueueUnavailable
from service.logs.events import LogEvent
from service.receiver.problems import PROBLEMS
from tests.repository.site import ROOT, anchors
from workers.matching.reasons import KINDS, OTHER

RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
OPERATING: Final = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
API: Final = (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
# A genuine message is answered 2xx whatever it holds; the last two are refusals without an answer
# of their own.
REFUSALS: Final = {error.__name__ for error in PROBLEMS if error.http_status != HTTPStatus.OK} | {
    QueueUnavailable.__name__,
    Overloaded.__name__,
    "SpoolUnavailable",
}


def _headings(section: str) -> list[str]:
    text = RUNBOOK.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^### (.+)$", text, re.MULTILINE)


def test_every_cause_has_its_entry() -> None:
    """`failed list` prints these."""
    assert sorted(FailureCause) == sorted(_headings("Causes of failures"))


def test_every_reason_of_an_unmatched_call_has_its_entry() -> None:
    """The console filters by these."""
    assert sorted(set(KINDS) - {OTHER}) == sorted(_headings("Unmatched calls"))


def test_every_log_event_of_level_error_has_its_entry() -> None:
    """Those that the code writes so, and those whose row says that they can have that level."""
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]*\|.*)$", OPERATING, re.MULTILINE)
    names = [name for name, text in rows if re.search(r"^[^|]*error|evel error", text)]
    events = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", " ".join(names)))
    assert sorted(events | _logged_errors()) == sorted(_headings("Log lines of level error"))


def _logged_errors() -> set[str]:
    written = re.compile(r"log\.(?:error|exception)\(\s*LogEvent\.(\w+)")
    paths = [path for package in ("service", "workers") for path in (ROOT / package).rglob("*.py")]
    texts = (path.read_text(encoding="utf-8") for path in paths)
    return {LogEvent[name] for text in texts for name in written.findall(text)}


def test_every_status_of_a_refusal_has_its_entry() -> None:
    """And the page of the API leads to it, for each type of a problem."""
    headings = _headings("Refused requests")
    for error, problem in PROBLEMS.items():
        if error.http_status != HTTPStatus.OK:
            (heading,) = (line for line in headings if line.startswith(f"{error.http_status:d}:"))
            (row,) = re.findall(rf"^\| `{problem.slug}` .*$", API, re.MULTILINE)
            assert f"| {error.http_status:d} |" in row
            (anchor,) = re.findall(r"runbook\.md#([\w-]+)", row)
            assert anchor.startswith(f"{error.http_status:d}-")
            assert anchor in anchors(f"### {heading}")


def test_every_reason_of_a_refusal_is_in_a_table() -> None:
    """`refused list` and the log print these; the runbook names a part of each."""
    section = RUNBOOK.partition("\n## Refused requests\n")[2].partition("\n## ")[0]
    phrases = re.findall(r"`([^`]+)`", section)
    missing = [reason for reason in _reasons() if not any(phrase in reason for phrase in phrases)]
    assert [] == missing


def _reasons() -> Iterator[str]:
    """The texts with which requests are refused; `{}` is a value of the request."""
    for path in (ROOT / "service").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if not any(f"{name}(" in text for name in REFUSALS):
            continue
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in REFUSALS
                and node.args
            ):
                reason = _text(node.args[0])
                if re.search(r"[a-z]{3}", reason):
                    yield reason


def _text(node: ast.expr) -> str:
    """A text of the code with `{}` for what is put into it; empty for one that is computed."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "{}"
    return ""
