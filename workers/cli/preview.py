"""
`buildr-calls outcomes preview`: a changed map of outcomes, tried on the calls that are known.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from service.clock import utc_now
from service.counts import counted
from service.settings import Settings
from service.settings.outcomes import OutcomeConfig
from service.sources import SOURCES
from service.store.call_search import CallFilter
from service.store.connection import Store
from workers.cli.accounts import command_line, load_settings
from workers.cli.arguments import OneOf
from workers.cli.failure import Failure, SettingsFault
from workers.cli.output import echo, print_json, print_table, progress
from workers.cli.replay_report import suppress_logs
from workers.cli.session import Age, run_with_store
from workers.outcomes.decide import unknown_names
from workers.replay.assessment import ReplayContext
from workers.replay.candidates import ReplayCandidate, call_candidates
from workers.replay.cost import budget_minutes, budget_text
from workers.replay.outcome_preview import (
    ChangeKind,
    Comparison,
    OutcomeChange,
    Preview,
    apply,
    workers_fault,
)

if TYPE_CHECKING:
    from rich.progress import Progress

LEFT_ALONE = "left alone"
NOBODY = "no agent"
CALL_COLUMNS: Final = (
    "call",
    "Buildr call",
    "agent",
    "result",
    "outcome now",
    "then",
    "rule that decides then",
)


@click.command("preview")
@click.option(
    "--config",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file with the changed map; not given: the one in place.",
)
@click.option("--source", type=OneOf(sorted(SOURCES)), help="Calls of this source.")
@click.option("--agent", help="Calls of this agent.")
@click.option(
    "--since", type=Age(), help="Calls whose last webhook came since then, like 7d or 2026-11-02."
)
@click.option("--until", type=Age(), help="Calls whose last webhook came before then.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Stop at so many calls that change, the oldest first.",
)
@click.option("--calls", "has_calls", is_flag=True, help="Show each call that changes.")
@click.option(
    "--apply",
    "is_applied",
    is_flag=True,
    help="Rewrite the calls that change, after everything more urgent.",
)
@click.option(
    "--force",
    "is_forced",
    is_flag=True,
    help="With --apply: also where an operator has changed the outcome in Buildr.",
)
@click.option("--yes", "is_agreed", is_flag=True, help="With --apply: do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def preview_outcomes(
    *,
    path: Path | None,
    source: str | None,
    agent: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    has_calls: bool,
    is_applied: bool,
    is_forced: bool,
    is_agreed: bool,
    as_json: bool,
) -> None:
    """
    Show what a changed map of outcomes would change about the calls that are known; nothing is
    written without --apply.

    \b
    Examples:
      buildr-calls outcomes preview --since 7d --config new.toml
      buildr-calls outcomes preview --since 7d --apply
    """
    if (is_forced or is_agreed) and not is_applied:
        raise click.UsageError("--force and --yes go with --apply")
    config = (
        None
        if path is None
        else load_settings(is_local=True, overrides={"CONFIG": str(path.resolve())}).outcome_config
    )
    call_filter = CallFilter(source=source, since=since, until=until)

    async def work(settings: Settings, store: Store) -> tuple[Settings, Preview]:
        chosen = config or settings.outcome_config
        compared = await _compare(
            settings, store, chosen, call_filter, agent=agent, limit=limit, is_forced=is_forced
        )
        if is_applied and (fault := await workers_fault(store, chosen)) is not None:
            place = "" if path is None else f"put {path} in place of buildr-calls.toml, "
            again = command_line(settings, "outcomes preview --apply")
            raise Failure(
                f"{fault}: {place}restart the workers, then run: {again} (with the same filters)"
            )
        return settings, compared

    settings, compared = run_with_store(work)
    if as_json:
        print_json(_as_dict(settings, compared, is_applied=is_applied))
    else:
        _print(settings, compared, has_calls=has_calls, is_applied=is_applied)
    if is_applied and compared.rewritten:
        if not is_agreed:
            # After the table, so that the question is about what was shown.
            click.confirm(
                f"Rewrite {len(compared.rewritten)} calls in Buildr?", abort=True, err=True
            )
        _apply(compared.rewritten, config or settings.outcome_config, is_forced=is_forced)


async def _compare(
    settings: Settings,
    store: Store,
    config: OutcomeConfig,
    call_filter: CallFilter,
    *,
    agent: str | None,
    limit: int | None,
    is_forced: bool,
) -> Preview:
    present = await ReplayContext.of(settings, store)
    if present.outcome_ids is None:
        raise Failure(
            "the account's outcomes were never read from Buildr; run: "
            f"{command_line(settings, 'outcomes list')}"
        )
    if faults := unknown_names(config, present.outcome_ids, display_names=present.names.values()):
        raise SettingsFault(faults)
    refs = await store.search.select(call_filter)
    with suppress_logs(), progress() as bar:
        candidates = call_candidates(store, refs, present.rules)
        cases = _counted(candidates, bar, total=len(refs))
        return await Comparison(present=present, config=config, is_forced=is_forced).run(
            cases, now=utc_now(), agent=agent, limit=limit
        )


async def _counted(
    cases: AsyncIterator[ReplayCandidate], bar: "Progress", *, total: int
) -> AsyncIterator[ReplayCandidate]:
    task = bar.add_task("Comparing", total=total)
    async for case in cases:
        bar.advance(task)
        yield case


def _apply(changes: list[OutcomeChange], config: OutcomeConfig, *, is_forced: bool) -> None:
    async def work(_: Settings, store: Store) -> int:
        # Whoever had to think about the question may have restarted a worker meanwhile.
        if (fault := await workers_fault(store, config)) is not None:
            raise Failure(f"{fault}: nothing was rewritten")
        marked = 0
        with progress() as bar:
            task = bar.add_task("Marking", total=len(changes))
            async for is_marked in apply(store, changes, at=utc_now(), is_forced=is_forced):
                marked += is_marked
                bar.advance(task)
        return marked

    marked = run_with_store(work)
    echo(
        f"{counted(marked, 'call is on its way', 'calls are on their way')}, "
        "after everything more urgent; see: buildr-calls status",
        is_error=True,
    )


def _print(settings: Settings, compared: Preview, *, has_calls: bool, is_applied: bool) -> None:
    _print_outcomes(compared.changes)
    if compared.changes:
        echo()
        _print_agents(compared.changes)
    if has_calls and compared.changes:
        echo()
        print_table(CALL_COLUMNS, [_row(change) for change in compared.changes], empty="")
    for line in _closing(settings, compared, is_applied=is_applied):
        echo(line)


def _outcome_pair(change: OutcomeChange) -> tuple[str, str]:
    return change.now or LEFT_ALONE, change.then or LEFT_ALONE


def _print_outcomes(changes: Sequence[OutcomeChange]) -> None:
    pairs = Counter((*_outcome_pair(change), change.kind) for change in changes)
    print_table(
        ("outcome now", "then", "calls", "what --apply does"),
        [(now, then, str(count), kind.value) for (now, then, kind), count in sorted(pairs.items())],
        empty="No call changes.",
    )


def _print_agents(changes: Sequence[OutcomeChange]) -> None:
    agents = Counter((change.agent or NOBODY, *_outcome_pair(change)) for change in changes)
    print_table(
        ("agent", "outcome now", "then", "calls"),
        [(*names, str(count)) for names, count in sorted(agents.items())],
        empty="",
    )


def _row(change: OutcomeChange) -> tuple[str, ...]:
    names = (change.buildr_call_id or "", change.agent or "", change.result or "")
    return (change.ref, *names, change.now or LEFT_ALONE, change.then or LEFT_ALONE, change.rule)


def _closing(settings: Settings, compared: Preview, *, is_applied: bool) -> Iterable[str]:
    out = ", ".join(f"{reason}: {count}" for reason, count in sorted(compared.left_out.items()))
    changes = "changes" if len(compared.changes) == 1 else "change"
    yield (
        f"{counted(compared.looked_at, 'call', 'calls')} looked at, of which "
        f"{len(compared.changes)} {changes}{f'; left out: {out}' if out else ''}"
    )
    count = len(compared.rewritten)
    if count:
        yield f"--apply rewrites {count}: {budget_text(compared.requests, settings.buildr_budgets)}"
    if not is_applied:
        yield (
            "Nothing was written. A map that is put in place holds for calls from now on; --apply "
            "is for those that were written before."
        )


def _as_dict(settings: Settings, compared: Preview, *, is_applied: bool) -> dict[str, object]:
    kinds = Counter(change.kind for change in compared.changes)
    return {
        "is_applied": is_applied,
        "looked_at": compared.looked_at,
        "changes": [change.as_dict() for change in compared.changes],
        "counts": {kind.name.lower(): kinds[kind] for kind in ChangeKind},
        "left_out": compared.left_out,
        "requests": compared.requests,
        "minutes": round(budget_minutes(compared.requests, settings.buildr_budgets), 2),
    }
