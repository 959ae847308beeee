"""
What `buildr-calls forget` has found and deleted, and how it says so.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from service.counts import counted
from service.logs.events import LogEvent
from service.logs.setup import log_line
from service.settings import Settings
from service.store.erasure import Erased
from workers.cli.output import echo, print_fact, print_json
from workers.cli.program import PROGRAM

FACT_WIDTH: Final = 16
NOT_TOUCHED: Final = (
    "Not touched: what Buildr and the telephony system hold, backups, logs, and what waits in a "
    "receiver's spool."
)


class Unreadable(Struct, frozen=True, kw_only=True):
    """
    Damaged records of which nobody can say whether they belong to the subject: calls by name,
    expected calls by Buildr call, and how many raw messages.
    """

    calls: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    messages: int = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.calls) + len(self.expected) + self.messages

    def note(self) -> str:
        """One line: how many, and what to do about each kind."""
        parts = []
        if self.expected:
            some = counted(len(self.expected), "expected call", "expected calls")
            parts.append(f"{some}, take away: {PROGRAM} expected rm {_some(self.expected)}")
        if self.calls:
            some = counted(len(self.calls), "call", "calls")
            parts.append(f"{some}, forget: {PROGRAM} forget {_some(self.calls)}")
        if self.messages:
            some = counted(self.messages, "raw message", "raw messages")
            parts.append(f"{some}, deleted by KEEP_MESSAGES_D or KEEP_FAILED_D")
        return f"cannot be read, and may be of the number: {'; '.join(parts)}"


def _some(names: Sequence[str]) -> str:
    """The first of several names, and how many more there are."""
    if len(names) == 1:
        return names[0]
    return f"{names[0]} (and {len(names) - 1} more, see --json)"


class Findings(Struct, frozen=True, kw_only=True):
    """
    What is stored about the subject: calls by name, each with raw messages beyond its own; messages
    and failed entries without a call; expected calls by Buildr call; entries of the phone book.
    """

    subject: str
    number: str | None = None
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    loose_messages: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    phone_book: int = 0
    unreadable: Unreadable = Unreadable()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found."""
        return not (self.calls or self.loose_messages or self.expected or self.phone_book)


class Report(Struct, frozen=True, kw_only=True):
    """What was deleted, or would be; `running` are calls that a worker did not let go in time."""

    findings: Findings
    erased: Erased | None = None
    running: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """
        Plain JSON values; the counts of `erased` are null in a dry run, since they are known when
        they are deleted.
        """
        erased = self.erased
        return {
            "subject": self.findings.subject,
            "is_dry_run": erased is None,
            "calls": sorted(self.findings.calls),
            "expected_calls": list(self.findings.expected),
            "phone_book_entries": self.findings.phone_book,
            "messages_without_call": len(self.findings.loose_messages),
            "messages": erased and erased.messages,
            "failed": erased and erased.failed,
            "links": erased and erased.links,
            "still_running": list(self.running),
            "unreadable": {
                "calls": list(self.findings.unreadable.calls),
                "expected_calls": list(self.findings.unreadable.expected),
                "messages": self.findings.unreadable.messages,
            },
        }


def print_report(report: Report, *, as_json: bool) -> None:
    """Print a report, as JSON or for a reader."""
    if as_json:
        print_json(report.as_dict())
        return
    findings = report.findings
    erased = report.erased
    facts: dict[str, object] = {"calls": len(findings.calls)}
    step = "deleted"
    if erased is None:
        step = "would delete"
        facts["other messages"] = len(findings.loose_messages)
    else:
        facts["calls"] = erased.calls
        facts["raw messages"] = erased.messages
        facts["failed entries"] = erased.failed
        facts["links"] = erased.links
    facts["expected calls"] = len(findings.expected)
    facts["phone book"] = findings.phone_book
    print_fact(step, findings.subject, width=FACT_WIDTH)
    for name, count in facts.items():
        print_fact(f"  {name}", str(count), width=FACT_WIDTH)
    for ref in findings.calls:
        echo(f"  {ref}")
    for ref in report.running:
        echo(f"  {ref} (a worker is at it)")
    echo(NOT_TOUCHED)


def print_audit_line(settings: Settings, report: Report) -> None:
    """One line as in the service's log, on stderr, for whoever has to prove what was deleted."""
    erased = report.erased or Erased()
    line = log_line(
        LogEvent.DATA_FORGOTTEN,
        account=settings.account,
        subject=report.findings.subject,
        calls=erased.calls,
        messages=erased.messages,
        failed=erased.failed,
        links=erased.links,
        expected_calls=len(report.findings.expected),
        phone_book_entries=report.findings.phone_book,
        still_running=len(report.running),
        unreadable=report.findings.unreadable.count,
    )
    echo(line, is_error=True)
