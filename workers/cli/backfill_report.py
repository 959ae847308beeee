"""
What `backfill` and `reconcile` show: progress, tables, JSON.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from service.counts import counted
from service.settings import Settings
from workers.backfill import LogSource
from workers.backfill.assessment import FEEDS, CallAssessment, Verdict
from workers.backfill.run import MOST_LISTED, BackfillReport
from workers.cli.accounts import command_line
from workers.cli.output import echo, print_table, progress

if TYPE_CHECKING:
    from rich.progress import TaskID

# Nobody waits for a bar that is gone before it was read.
BAR_AFTER_S: Final = 2.0
# Rows of calls that a terminal shows; `--json` has more.
MOST_ROWS: Final = 50
OTHER_RESULT: Final = "other result"


@contextmanager
def progress_bar(slug: str) -> Iterator[Callable[[BackfillReport], None]]:
    """What shows the progress of a run: a bar on stderr that appears after two seconds."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    began = time.monotonic()
    bar = progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(compact=True),
        is_transient=True,
    )
    tasks: list[TaskID] = []

    def show(report: BackfillReport) -> None:
        if not tasks and time.monotonic() - began < BAR_AFTER_S:
            return
        if not tasks:
            bar.start()
            tasks.append(bar.add_task(slug, total=1.0))
        span_s = (report.until - report.since).total_seconds()
        done_s = (report.done_until - report.since).total_seconds()
        bar.update(
            tasks[0],
            completed=done_s / span_s,
            description=f"{slug}: {report.entries} read, {report.fed} missing",
        )

    try:
        yield show
    finally:
        bar.stop()


def print_report(report: BackfillReport, *, is_dry_run: bool) -> None:
    """Print the calls that are not simply known, and how many there are of each kind."""
    _print_calls([_row(call, _verdict_text(call)) for call in report.calls], report)
    _print_summary(report)
    fed = "fed in"
    if is_dry_run:
        fed = "would be fed in (dry run)"
    echo(f"{report.fed} {fed}")


def _row(call: CallAssessment, difference: str) -> tuple[str, str, str]:
    began = ""
    if call.started_at is not None:
        began = f"{call.started_at:%m-%d %H:%M:%S}"
    # Without the source, which the summary names: 80 columns hold the id then.
    return began, call.ref.partition(":")[2], difference


def _verdict_text(call: CallAssessment) -> str:
    if call.log_result is not None:
        return f"{call.verdict.label}: {call.log_result.value}"
    return f"{call.verdict.label}: {call.reason}"


def _print_calls(
    rows: Sequence[Sequence[str]], report: BackfillReport, *, column: str = "verdict"
) -> None:
    if rows:
        print_table(("began (UTC)", "call", column), rows[:MOST_ROWS], empty="")
    more = len(rows) - MOST_ROWS + report.unlisted
    if more > 0:
        echo(f"and {more} more; --json lists up to {MOST_LISTED}")


def _print_summary(report: BackfillReport) -> None:
    echo(
        f"{report.slug}, {report.since:%Y-%m-%d %H:%M} to {report.done_until:%Y-%m-%d %H:%M} UTC: "
        f"{counted(report.total, 'call', 'calls')} in the log"
    )
    for verdict in Verdict:
        if report.counts[verdict]:
            echo(f"{report.counts[verdict]:>7}  {verdict.label}")


def difference_of(source: LogSource, call: CallAssessment) -> str | None:
    """How a call of the log differs from what is stored; None if it does not."""
    if call.verdict in FEEDS:
        return call.verdict.label
    if call.log_result is None or call.stored_result is None:
        return None
    is_coarse = call.stored_result in source.coarse.get(call.log_result, frozenset())
    if call.log_result == call.stored_result or is_coarse:
        return None
    return OTHER_RESULT


def print_differences(settings: Settings, source: LogSource, report: BackfillReport) -> None:
    """Print how the calls of a log differ from what is stored, and the cure."""
    rows = [_row(call, _difference_text(source, call)) for call in report.calls]
    _print_calls(rows, report, column="difference")
    if not rows and report.fault is None:
        echo("Nothing differs.")
    _print_summary(report)
    if report.fed:
        span = f"--since {report.since:%Y-%m-%dT%H:%MZ} --until {report.until:%Y-%m-%dT%H:%MZ}"
        cure = command_line(settings, f"backfill {report.slug} {span}")
        echo(f"to feed in what is missing: {cure}")


def _difference_text(source: LogSource, call: CallAssessment) -> str:
    difference = difference_of(source, call)
    if call.stored_result is None or difference != OTHER_RESULT:
        return f"{difference}: {call.log_result}"
    return f"{difference}: {call.stored_result} here, {call.log_result} in the log"


def report_as_json(report: BackfillReport, *, is_dry_run: bool) -> dict[str, object]:
    """
    A back-fill as plain JSON values.

    Keys: source, since, until, done_until, is_dry_run, total, fed, counts (by verdict), calls (a
    list), unlisted, fault.
    """
    return {
        "source": report.slug,
        "since": report.since.isoformat(),
        "until": report.until.isoformat(),
        "done_until": report.done_until.isoformat(),
        "is_dry_run": is_dry_run,
        "total": report.total,
        "fed": report.fed,
        "counts": {verdict.value: count for verdict, count in report.counts.items()},
        "calls": [call.as_dict() for call in report.calls],
        "unlisted": report.unlisted,
        "fault": report.fault,
    }


def differences_as_json(source: LogSource, report: BackfillReport) -> dict[str, object]:
    """
    A comparison as plain JSON values.

    Keys: source, since, until, done_until, total, counts (by verdict), differences (a list),
    unlisted, fault.
    """
    fields = report_as_json(report, is_dry_run=True)
    fields["differences"] = [
        {**call.as_dict(), "difference": difference_of(source, call)} for call in report.calls
    ]
    for name in ("calls", "is_dry_run", "fed"):
        del fields[name]
    return fields
