"""
`buildr-calls backfill` and `buildr-calls reconcile`: a telephony system's own call log, read and
compared with what is stored.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from service.clock import utc_now
from service.settings import Settings
from service.store.backfill import Checkpoint
from service.store.connection import Store
from workers.backfill import LOGS, LogSource
from workers.backfill.assessment import Assessor, CallAssessment
from workers.backfill.exclusive import AlreadyRunning, RightLost, running_alone
from workers.backfill.run import Backfiller, BackfillReport, is_listed
from workers.cli.accounts import command_line
from workers.cli.arguments import OneOf
from workers.cli.backfill_report import (
    difference_of,
    differences_as_json,
    print_differences,
    print_report,
    progress_bar,
    report_as_json,
)
from workers.cli.failure import Failure
from workers.cli.output import print_json
from workers.cli.replay_report import suppress_logs
from workers.cli.session import Age, run_with_store
from workers.subscriptions.errors import NotReady

SOURCE: Final = OneOf(sorted(slug for slug, source in LOGS.items() if source.has_list))
DAY: Final = timedelta(days=1)
OTHER_RUN: Final = 3


class OtherRun(Failure):
    """Another run reads the same call log; shown as one line."""

    exit_code = OTHER_RUN


@click.command()
@click.argument("source", type=SOURCE)
@click.option("--since", type=Age(), help="Calls that began since then, like 24h or 2026-11-27.")
@click.option("--until", type=Age(), help="Calls that began before then; all until now without it.")
@click.option("--resume", "is_resumed", is_flag=True, help="Go on where the last run was ended.")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only show what would be fed in.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backfill(
    source: str,
    *,
    since: datetime | None,
    until: datetime | None,
    is_resumed: bool,
    is_dry_run: bool,
    as_json: bool,
) -> None:
    """
    Read a telephony system's own call log, and feed in the calls, and ends of calls, that no
    webhook reported.

    What its webhooks show is never changed by it, and running it twice changes nothing more. Calls
    go through the lane of back-fills, after all fresh ones; Buildr's call is read before it is
    written. Exit code 1 if the log could not be read to its end, 3 if another run reads it just
    now.

    \b
    Examples:
      buildr-calls backfill twilio --since 24h --dry-run
      buildr-calls backfill twilio --since 2026-11-26 --until 2026-11-28
      buildr-calls backfill twilio --resume
    """
    if is_resumed == (since is not None) or (is_resumed and until is not None):
        raise click.UsageError("say how far back, like --since 24h (and --until), or --resume")
    now = utc_now()
    start = since or now
    end = min(until or now, now)
    if not is_resumed and start >= end:
        raise click.UsageError("--until must be after --since, and --since in the past")

    async def work(settings: Settings, store: Store) -> tuple[Settings, BackfillReport]:
        span = Checkpoint(since=start, until=end, done_until=start)
        if is_resumed:
            span = await _checkpoint(store, source)
        report = await _run(settings, store, LOGS[source], span, is_dry_run=is_dry_run)
        return settings, report

    settings, report = run_with_store(work)
    if as_json:
        print_json(report_as_json(report, is_dry_run=is_dry_run))
    else:
        print_report(report, is_dry_run=is_dry_run)
    if report.fault is not None:
        cure = ""
        if not is_dry_run and report.done_until > report.since:
            cure = f"; go on with: {command_line(settings, f'backfill {source} --resume')}"
        raise Failure(f"{source}: {report.fault}{cure}")


@click.command()
@click.argument("source", type=SOURCE)
@click.option(
    "--day",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    help="The day (UTC), like 2026-11-27; yesterday without it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def reconcile(source: str, *, day: datetime | None, as_json: bool) -> None:
    """
    Compare one day of a telephony system's own call log with what is stored, and list what differs.

    Nothing is written. Exit code 1 if something differs, or the log could not be read to its end,
    3 if another run reads it just now.

    \b
    Examples:
      buildr-calls reconcile twilio
      buildr-calls reconcile twilio --day 2026-11-27 --json
    """
    now = utc_now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = midnight - DAY
    if day is not None:
        start = day.replace(tzinfo=UTC)
    if start >= now:
        raise click.UsageError("--day is in the future")
    span = Checkpoint(since=start, until=min(start + DAY, now), done_until=start)
    log_source = LOGS[source]

    def lists(assessment: CallAssessment) -> bool:
        return difference_of(log_source, assessment) is not None

    async def work(settings: Settings, store: Store) -> tuple[Settings, BackfillReport]:
        report = await _run(
            settings, store, log_source, span, is_dry_run=True, compares_all=True, lists=lists
        )
        return settings, report

    settings, report = run_with_store(work)
    if as_json:
        print_json(differences_as_json(log_source, report))
    else:
        print_differences(settings, log_source, report)
    if report.fault is not None:
        raise Failure(f"{source}: {report.fault}")
    if report.calls:
        raise SystemExit(1)


async def _checkpoint(store: Store, source: str) -> Checkpoint:
    checkpoint = await store.backfill.checkpoint(source)
    if checkpoint is None:
        raise Failure(f"{source}: no run was ended before its time; say --since")
    return checkpoint


async def _run(
    settings: Settings,
    store: Store,
    source: LogSource,
    span: Checkpoint,
    *,
    is_dry_run: bool,
    compares_all: bool = False,
    lists: Callable[[CallAssessment], bool] = is_listed,
) -> BackfillReport:
    """Read a span of the log, with a progress bar on a terminal where it takes its time."""
    try:
        call_log = source.connect(settings)
    except NotReady as err:
        raise Failure(f"{source.slug}: {err}") from err
    assessor = Assessor(
        slug=source.slug,
        log=call_log,
        store=store,
        settings=settings,
        clock=utc_now,
        compares_all=compares_all,
    )
    with suppress_logs(), progress_bar(source.slug) as show:
        backfiller = Backfiller(
            assessor=assessor,
            clock=utc_now,
            pause=asyncio.sleep,
            is_dry_run=is_dry_run,
            lists=lists,
            on_progress=show,
        )
        try:
            async with running_alone(store.backfill, source.slug, now=utc_now()):
                return await backfiller.run(span.since, span.until, done_until=span.done_until)
        except AlreadyRunning as err:
            raise OtherRun(f"{source.slug}: {err}") from err
        except RightLost as err:
            raise Failure(f"{source.slug}: {err}") from err
        finally:
            await call_log.close()
