"""
`buildr-calls failed replay`.
"""

from collections.abc import AsyncIterator

import click

from service.clock import utc_now
from service.settings import Settings
from service.store.connection import Store
from workers.cli.failed_choice import Choice, acting
from workers.cli.failure import Failure
from workers.cli.replay_report import (
    ReplayOptions,
    ReplayReport,
    print_report,
    replay_options,
    run_replay,
)
from workers.cli.session import run_with_store
from workers.replay.assessment import ReplayContext
from workers.replay.candidates import ReplayCandidate, failed_candidates


@click.command("replay")
@acting
@replay_options
def replay_failed(
    *,
    choice: Choice,
    is_all: bool,
    is_dry_run: bool,
    is_forced: bool,
    is_offline: bool,
    as_json: bool,
) -> None:
    """
    Replay failed calls and messages, read again from their raw messages.

    What Buildr holds from us already is not written again, and an outcome that was edited by
    hand there is left alone, unless --force is given.

    \b
    Examples:
      buildr-calls failed replay twilio:CA00000000000000000000000000000001
      buildr-calls failed replay --cause buildr_rejected --since 24h --dry-run
      buildr-calls failed replay --all
    """
    choice.demand(is_all=is_all)
    options = ReplayOptions(is_dry_run=is_dry_run, is_forced=is_forced, is_offline=is_offline)

    async def work(settings: Settings, store: Store) -> tuple[Settings, ReplayReport]:
        entries = await choice.entries(store)

        def candidates(context: ReplayContext) -> AsyncIterator[ReplayCandidate]:
            return failed_candidates(store, entries, context.rules, clock=utc_now)

        report = await run_replay(settings, store, candidates, total=len(entries), options=options)
        return settings, report

    settings, report = run_with_store(work)
    if not (report.assessments or report.stopped):
        raise Failure("no failed call or message fits; see: buildr-calls failed list")
    print_report(settings, report, options=options, as_json=as_json, has_ids=True)
