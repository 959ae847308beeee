"""
How the commands that replay do it and report it: options, the run, the table and the JSON.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager

import click
import structlog
from msgspec import Struct, field

from service.clock import utc_now
from service.errors import BuildrError, BuildrRejected
from service.settings import Settings
from service.store.connection import Store
from service.store.rate_limit.lanes import Lane
from workers.buildr import BuildrClient, token_provider
from workers.cli.failure import Failure
from workers.cli.output import echo, print_json, print_table, progress
from workers.process.timing import hold_s
from workers.replay.assessment import BuildrState, ReplayAssessment, ReplayContext
from workers.replay.buildr_state import read_buildr_state
from workers.replay.candidates import ReplayCandidate
from workers.replay.cost import budget_minutes, budget_text
from workers.replay.replay import Replayer, replay
from workers.replay.verdicts import WRITES, Verdict


class ReplayOptions(Struct, frozen=True, kw_only=True):
    """
    How calls are replayed.

    With `is_offline` Buildr is not read first; with `is_forced` hand edits are overwritten.
    """

    is_dry_run: bool
    is_forced: bool
    is_offline: bool
    lane: Lane = Lane.REPLAY


class ReplayReport(Struct):
    """
    What a replay did; `reads` counts the requests that read Buildr first.

    `stopped` is why it ended early, empty if it did not.
    """

    assessments: list[ReplayAssessment] = field(default_factory=list)
    reads: int = 0
    stopped: str = ""

    @property
    def requests(self) -> int:
        """All requests: those that read, and those that the workers make."""
        # Several failed messages of one call are one write.
        by_call = {
            assessment.candidate.ref: assessment.requests
            for assessment in self.assessments
            if assessment.verdict in WRITES
        }
        return self.reads + sum(by_call.values())

    @property
    def counts(self) -> dict[Verdict, int]:
        """How often each verdict was given, in the order of their codes."""
        counts = Counter(assessment.verdict for assessment in self.assessments)
        return dict(sorted(counts.items()))


def replay_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how calls are replayed."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--offline",
            "is_offline",
            is_flag=True,
            help="Do not read Buildr first; the worker does before it writes.",
        ),
        click.option(
            "--force",
            "is_forced",
            is_flag=True,
            help="Also write what is written already or was edited by hand in Buildr.",
        ),
        click.option(
            "--dry-run",
            "is_dry_run",
            is_flag=True,
            help="Only show what would happen, and what it would cost.",
        ),
    ):
        command = option(command)
    return command


async def run_replay(
    settings: Settings,
    store: Store,
    candidates: Callable[[ReplayContext], AsyncIterator[ReplayCandidate]],
    *,
    total: int,
    options: ReplayOptions,
) -> ReplayReport:
    """
    Replay candidates, or assess them in a dry run, with a progress bar on a terminal.

    Ends early if Buildr cannot be read: `stopped` of the report says why.
    """
    report = ReplayReport()
    context = await ReplayContext.of(settings, store)
    async with AsyncExitStack() as stack:
        read_buildr = None
        # A forced replay writes whatever Buildr holds: a read would cost a request and decide
        # nothing.
        if not options.is_offline and not options.is_forced:
            read_buildr = _buildr_reader(settings, store, stack, report)
        replayer = Replayer(
            store=store,
            context=context,
            clock=utc_now,
            lane=options.lane,
            is_forced=options.is_forced,
            read_buildr=read_buildr,
        )
        label = "Replaying"
        if options.is_dry_run:
            label = "Checking"
        with suppress_logs(), progress() as bar:
            task = bar.add_task(label, total=total)
            try:
                async for assessment in replay(
                    replayer, candidates(context), is_dry_run=options.is_dry_run
                ):
                    report.assessments.append(assessment)
                    bar.advance(task)
            # What was assessed until then is reported: with many calls it has cost requests and
            # minutes.
            except BuildrError as err:
                report.stopped = _stop_reason(err)
    return report


def _stop_reason(err: BuildrError) -> str:
    advice = "with --offline only the worker reads it, before it writes"
    if isinstance(err, BuildrRejected):
        advice = "with --force it is not read"
    return f"Buildr cannot be asked what it holds: {err}; {advice}"


def _buildr_reader(
    settings: Settings, store: Store, stack: AsyncExitStack, report: ReplayReport
) -> Callable[[str], Awaitable[BuildrState]]:
    """Read calls in Buildr; connects at the first one, since there may be none to read."""
    clients: list[BuildrClient] = []

    async def read_buildr(buildr_call_id: str) -> BuildrState:
        if not clients:
            tokens = token_provider(settings, store.tokens)
            clients.append(await stack.enter_async_context(BuildrClient(settings, tokens=tokens)))
        state = await read_buildr_state(
            store, clients[0], buildr_call_id, hold_s=hold_s(settings), clock=utc_now
        )
        report.reads += 1
        return state

    return read_buildr


@contextmanager
def suppress_logs() -> Iterator[None]:
    """Log nothing meanwhile: the command's own output says what happens."""
    before = structlog.get_config()
    structlog.configure(
        **{**before, "wrapper_class": structlog.make_filtering_bound_logger(logging.CRITICAL)}
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def print_report(
    settings: Settings,
    report: ReplayReport,
    *,
    options: ReplayOptions,
    as_json: bool,
    has_ids: bool,
) -> None:
    """
    Print every verdict, the counts, and the budget; with `has_ids` the failed entries' ids too.

    Ends the command with exit code 1 if an operator has something left to do.
    """
    if as_json:
        print_json(report_as_dict(settings, report, options))
    else:
        _print_table(settings, report, options=options, has_ids=has_ids)
    if report.stopped:
        raise Failure(report.stopped)
    if not all(assessment.is_settled for assessment in report.assessments):
        raise SystemExit(1)


def report_as_dict(
    settings: Settings, report: ReplayReport, options: ReplayOptions
) -> dict[str, object]:
    """A report as plain JSON values."""
    minutes = budget_minutes(report.requests, settings.buildr_budgets)
    return {
        "is_dry_run": options.is_dry_run,
        "verdicts": [assessment.as_dict() for assessment in report.assessments],
        "counts": {verdict.value: count for verdict, count in report.counts.items()},
        "requests": report.requests,
        "minutes": round(minutes, 2),
    }


def _print_table(
    settings: Settings, report: ReplayReport, *, options: ReplayOptions, has_ids: bool
) -> None:
    columns = ["call", "verdict", "Buildr call", "outcome", "why"]
    rows = [_row(assessment) for assessment in report.assessments]
    if has_ids:
        columns.insert(0, "id")
        rows = [
            (assessment.name, *row)
            for assessment, row in zip(report.assessments, rows, strict=True)
        ]
    print_table(columns, rows, empty="Nothing was looked at.")
    counts = ", ".join(f"{verdict.label}: {count}" for verdict, count in report.counts.items())
    summary = f"{counts or 'nothing'}; {budget_text(report.requests, settings.buildr_budgets)}"
    if options.is_dry_run:
        summary += " (dry run)"
    echo(summary)


def _row(assessment: ReplayAssessment) -> tuple[str, ...]:
    outcome = assessment.outcome_now or ""
    if assessment.verdict in WRITES:
        outcome = f"{outcome or 'none'} -> {assessment.outcome_then or 'none'}"
    return (
        assessment.candidate.ref or "",
        assessment.verdict.label,
        assessment.buildr_call_id or "",
        outcome,
        assessment.detail,
    )
