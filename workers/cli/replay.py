"""
`buildr-calls replay`: replays known calls; also what it has in common with `failed replay`.
"""

import shlex
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import click

from service.events import Result
from service.settings import Settings
from service.sources import SOURCES
from service.store.call_search import CallFilter
from service.store.calls import DamagedRecord
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from workers.cli.arguments import CallText, OneOf
from workers.cli.failure import Failure
from workers.cli.output import echo
from workers.cli.program import PROGRAM
from workers.cli.replay_report import (
    ReplayOptions,
    ReplayReport,
    print_report,
    replay_options,
    run_replay,
)
from workers.cli.session import Age, run_with_store
from workers.replay.assessment import ReplayContext
from workers.replay.candidates import ReplayCandidate, call_candidates
from workers.replay.find_calls import PARTLY_COMPARED, find


@click.command("replay")
@click.argument("calls", nargs=-1, metavar="[CALL]...", type=CallText())
@click.option("--source", type=OneOf(sorted(SOURCES)), help="Calls of this source.")
@click.option(
    "--result", type=OneOf([result.value for result in Result]), help="Calls that ended so."
)
@click.option(
    "--state",
    type=OneOf([state.value for state in DeliveryState]),
    help="Calls in this state.",
)
@click.option(
    "--since", type=Age(), help="Calls whose last webhook came since then, like 24h or 2026-11-02."
)
@click.option("--until", type=Age(), help="Calls whose last webhook came before then.")
@click.option("--limit", type=click.IntRange(min=1), help="Take at most so many, the oldest first.")
@click.option("--all", "is_all", is_flag=True, help="Every call that is known.")
@replay_options
def replay_calls(
    *,
    calls: tuple[str, ...],
    source: str | None,
    result: str | None,
    state: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    is_all: bool,
    is_dry_run: bool,
    is_forced: bool,
    is_offline: bool,
    as_json: bool,
) -> None:
    """
    Replay known calls, with today's links, rules and outcomes.

    What Buildr holds from us already is not written again, and an outcome that was edited by hand
    in Buildr is left alone, unless --force is given.

    \b
    Examples:
      buildr-calls replay twilio:CA00000000000000000000000000000001
      buildr-calls replay --state hand_edited --since 7d --dry-run
    """
    call_filter = CallFilter(
        source=source,
        result=result,
        state=DeliveryState(state) if state else None,
        since=since,
        until=until,
    )
    _check_choice(calls, call_filter, is_all=is_all)
    options = ReplayOptions(is_dry_run=is_dry_run, is_forced=is_forced, is_offline=is_offline)
    damaged: list[str] = []

    async def work(settings: Settings, store: Store) -> tuple[Settings, ReplayReport]:
        if calls:
            refs = await find_refs(store, calls)
            damaged.extend(await _set_damaged_aside(store, refs, is_dry_run=is_dry_run))
        else:
            refs = await store.search.select(call_filter, limit=limit)

        def candidates(context: ReplayContext) -> AsyncIterator[ReplayCandidate]:
            return call_candidates(store, refs, context.rules)

        return settings, await run_replay(
            settings, store, candidates, total=len(refs), options=options
        )

    settings, report = run_with_store(work)
    _note_damaged(damaged)
    if not (report.assessments or report.stopped or damaged):
        raise Failure("no known call fits; see: buildr-calls explain CALL")
    if report.assessments or report.stopped or as_json:
        print_report(settings, report, options=options, as_json=as_json, has_ids=False)
    # `failed replay` is left to be done.
    if damaged:
        raise SystemExit(1)


def _note_damaged(refs: Sequence[str]) -> None:
    for ref in refs:
        echo(
            f"left out: what is stored of {ref} cannot be read. Its replay has a worker set it "
            "aside; make it again from its messages then: "
            f"{PROGRAM} failed replay {shlex.quote(ref)}",
            is_error=True,
        )


async def _set_damaged_aside(store: Store, refs: Sequence[str], *, is_dry_run: bool) -> list[str]:
    """Those of the calls that cannot be read: their next job sets them aside, which is now."""
    damaged = []
    for ref in refs:
        try:
            await store.calls.load(ref)
        except DamagedRecord:
            damaged.append(ref)
            if not is_dry_run:
                await store.schedule.wake(ref)
    return damaged


def _check_choice(calls: Sequence[str], call_filter: CallFilter, *, is_all: bool) -> None:
    """Raises click's usage error unless calls were chosen in one way."""
    choices = bool(calls) + (call_filter != CallFilter()) + is_all
    if not choices:
        raise click.UsageError("say which: calls, a filter such as --state or --since, or --all")
    if choices > 1:
        raise click.UsageError("calls, filters and --all exclude each other")


async def find_refs(store: Store, calls: Sequence[str]) -> list[str]:
    """
    The full names of calls. Ends the command with one line if one of them is not known, or is
    several.
    """
    refs = []
    for call in calls:
        matches = await find(store, call)
        if not matches:
            bound = "" if await store.listing.compares_all() else f". {PARTLY_COMPARED}"
            raise Failure(f"nothing is known of a call {call}{bound}")
        if len(matches) > 1:
            raise Failure(f"several calls fit {call}; which one?\n  " + "\n  ".join(matches))
        refs += matches
    return list(dict.fromkeys(refs))
