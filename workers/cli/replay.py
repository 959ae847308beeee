"""
`buildr-calls replay`: known calls put through again, and what this has in common with `failed
replay`.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

import click
import structlog
from rich.progress import Progress

from service.clock import utc_now
from service.errors import BuildrError, BuildrRejected
from service.events import Result
from service.settings import Settings
from service.sources import SOURCES
from service.store.call_search import CallFilter
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.rate_limit.lanes import Lane
from workers.buildr import BuildrClient, token_provider
from workers.cli.output import (
    Failure,
    console,
    error_console,
    print_json,
    print_table,
)
from workers.cli.session import Age, run_with_store
from workers.replay.explain import find
from workers.replay.replay import (
    Replays,
    in_minutes,
    known_cases,
    minutes,
    read_held,
    replay,
)
from workers.replay.verdicts import (
    WRITES,
    BuildrState,
    ReplayAssessment,
    ReplayCandidate,
    ReplayContext,
)

HOLD_MARGIN_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """
    How calls are put through again: `is_offline` without a look at Buildr first, `is_forced` over
    what a person has changed.
    """

    is_dry_run: bool
    is_forced: bool
    is_offline: bool
    lane: Lane = Lane.REPLAY


@dataclass(slots=True)
class ReplayReport:
    """
    What became of it; `looks` counts the requests that were made to look, `stopped` is why it ended
    early.
    """

    judged: list[ReplayAssessment] = field(default_factory=list)
    looks: int = 0
    stopped: str = ""

    @property
    def requests(self) -> int:
        """All requests: those to look, and those that the workers make."""
        # Several failed messages of one call are one write.
        per_call = {
            assessment.case.ref: assessment.requests
            for assessment in self.judged
            if assessment.verdict in WRITES
        }
        return self.looks + sum(per_call.values())

    @property
    def counts(self) -> dict[str, int]:
        """How often each verdict was given."""
        return dict(sorted(Counter(assessment.verdict.value for assessment in self.judged).items()))


def how_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how calls are put through again."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--offline",
            "is_offline",
            is_flag=True,
            help="Do not look at Buildr first; the worker does before it writes.",
        ),
        click.option(
            "--force",
            "is_forced",
            is_flag=True,
            help="Write all the same what is written already or was changed by a person.",
        ),
        click.option(
            "--dry-run",
            "is_dry_run",
            is_flag=True,
            help="Only say what would happen, and what it would cost.",
        ),
    ):
        command = option(command)
    return command


async def run_replay(
    settings: Settings,
    store: Store,
    cases: Callable[[ReplayContext], AsyncIterator[ReplayCandidate]],
    *,
    total: int,
    how: ReplayOptions,
) -> ReplayReport:
    """
    Put cases through again, or say what would come of it, with a bar on a terminal; ends early if
    Buildr cannot be asked.
    """
    done = ReplayReport()
    bar = error_console()
    basis = await ReplayContext.of(settings, store)
    async with AsyncExitStack() as stack:
        replays = Replays(
            store=store,
            basis=basis,
            clock=utc_now,
            lane=how.lane,
            is_forced=how.is_forced,
            look=None
            if how.is_offline or how.is_forced
            else _looking(settings, store, stack, done),
        )
        with suppress_logs(), Progress(console=bar, disable=not bar.is_terminal) as progress:
            task = progress.add_task("Looking" if how.is_dry_run else "Replaying", total=total)
            try:
                async for each in replay(replays, cases(basis), is_dry_run=how.is_dry_run):
                    done.judged.append(each)
                    progress.advance(task)
            except BuildrError as err:
                is_refused = isinstance(err, BuildrRejected)
                advice = (
                    "with --force nobody looks"
                    if is_refused
                    else "with --offline the worker alone looks, before it writes"
                )
                done.stopped = f"Buildr cannot be asked what it holds: {err}; {advice}"
    return done


def _looking(
    settings: Settings, store: Store, stack: AsyncExitStack, done: ReplayReport
) -> Callable[[str], Awaitable[BuildrState]]:
    """Look at calls in Buildr; connects with the first one, since there may be none to look at."""
    clients: list[BuildrClient] = []

    async def look(buildr_call_id: str) -> BuildrState:
        if not clients:
            clients.append(
                await stack.enter_async_context(
                    BuildrClient(settings, tokens=token_provider(settings, store.tokens))
                )
            )
        held = await read_held(
            store,
            clients[0],
            buildr_call_id,
            hold_s=settings.buildr_timeout_s + HOLD_MARGIN_S,
            clock=utc_now,
        )
        done.looks += 1
        return held

    return look


@contextmanager
def suppress_logs() -> Iterator[None]:
    """Let nothing be logged meanwhile: what there is to say is the command's own output."""
    before = structlog.get_config()
    structlog.configure(
        **{**before, "wrapper_class": structlog.make_filtering_bound_logger(logging.CRITICAL)}
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def print_done(
    settings: Settings, done: ReplayReport, *, how: ReplayOptions, as_json: bool, has_ids: bool
) -> None:
    """
    Print every verdict, the counts, and the budget. Ends the command with exit code 1 if anything
    is left to a person.
    """
    if as_json:
        print_json(
            {
                "is_dry_run": how.is_dry_run,
                "verdicts": [each.as_dict() for each in done.judged],
                "counts": done.counts,
                "requests": done.requests,
                "minutes": round(minutes(done.requests, settings.buildr_budgets), 2),
            }
        )
    else:
        columns = [*(["id"] if has_ids else []), "call", "verdict", "Buildr call", "outcome", "why"]
        rows = [
            [*([assessment.name] if has_ids else []), *_row(assessment)]
            for assessment in done.judged
        ]
        print_table(columns, rows, empty="Nothing was looked at.")
        counts = ", ".join(f"{verdict}: {count}" for verdict, count in done.counts.items())
        budget = in_minutes(done.requests, settings.buildr_budgets)
        console().print(
            f"{counts or 'nothing'}; {budget}{' (dry run)' if how.is_dry_run else ''}", markup=False
        )
    if done.stopped:
        raise Failure(done.stopped)
    if not all(each.is_settled for each in done.judged):
        raise SystemExit(1)


def _row(each: ReplayAssessment) -> tuple[str, ...]:
    now = each.outcome_now or "none"
    then = each.outcome_then or "none"
    outcome = f"{now} -> {then}" if each.verdict in WRITES else each.outcome_now or ""
    return (
        each.case.ref or "",
        each.verdict.value,
        each.buildr_call_id or "",
        outcome,
        each.detail,
    )


@click.command("replay")
@click.argument("calls", nargs=-1, metavar="[CALL]...")
@click.option("--source", type=click.Choice(sorted(SOURCES)), help="Calls of this source.")
@click.option(
    "--result", type=click.Choice([each.value for each in Result]), help="Calls that ended so."
)
@click.option(
    "--state",
    type=click.Choice([each.value for each in DeliveryState]),
    help="Calls that stand so.",
)
@click.option(
    "--since", type=Age(), help="Calls whose last webhook came since then, like 24h or 2026-11-02."
)
@click.option("--until", type=Age(), help="Calls whose last webhook came before then.")
@click.option("--limit", type=click.IntRange(min=1), help="Take at most so many, the oldest first.")
@click.option("--all", "is_all", is_flag=True, help="Every call that is known.")
@how_options
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
    Put known calls through again, with today's links, rules and outcomes.

    What Buildr holds from us already is not written again, and what a person has changed there is
    left alone, unless --force is given.

    \b
    Examples:
      buildr-calls replay twilio:CA00000000000000000000000000000001
      buildr-calls replay --state hand_edited --since 7d --dry-run
    """
    wanted = CallFilter(
        source=source,
        result=result,
        state=None if state is None else DeliveryState(state),
        since=since,
        until=until,
    )
    _demand(calls, wanted, is_all=is_all)
    how = ReplayOptions(is_dry_run=is_dry_run, is_forced=is_forced, is_offline=is_offline)

    async def work(settings: Settings, store: Store) -> tuple[Settings, ReplayReport]:
        refs = (
            await _named(store, calls) if calls else await store.search.select(wanted, limit=limit)
        )
        return settings, await run_replay(
            settings, store, partial(known_cases, store, refs), total=len(refs), how=how
        )

    settings, done = run_with_store(work)
    if not (done.judged or done.stopped):
        raise Failure("no known call fits; see: buildr-calls explain CALL")
    print_done(settings, done, how=how, as_json=as_json, has_ids=False)


def _demand(calls: Sequence[str], wanted: CallFilter, *, is_all: bool) -> None:
    """Raises click's usage error unless calls were chosen in one way."""
    ways = bool(calls) + (wanted != CallFilter()) + is_all
    if not ways:
        raise click.UsageError("say which: calls, a filter such as --state or --since, or --all")
    if ways > 1:
        raise click.UsageError("calls, filters and --all exclude each other")


async def _named(store: Store, calls: Sequence[str]) -> list[str]:
    """
    The full names of calls. Ends the command with one line if one of them is not known, or is
    several.
    """
    refs = []
    for call in calls:
        found = await find(store, call)
        if not found:
            raise Failure(f"nothing is known of a call {call}")
        if len(found) > 1:
            raise Failure(f"several calls fit {call}; which one?\n  " + "\n  ".join(found))
        refs += found
    return list(dict.fromkeys(refs))
