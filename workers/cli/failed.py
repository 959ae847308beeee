"""
`buildr-calls failed`: what was given up on, and replaying it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Final

import click

from service.clock import utc_now
from service.errors import FailureCause
from service.settings import Settings
from service.sources import SOURCES
from service.store.connection import Store
from service.store.failed import Failed, FailedFilter, as_dict
from workers.cli.arguments import CallText, OneOf
from workers.cli.output import (
    Failure,
    command_line,
    echo,
    print_fact,
    print_json,
    print_table,
)
from workers.cli.replay_report import (
    ReplayOptions,
    ReplayReport,
    print_report,
    replay_options,
    run_replay,
)
from workers.cli.session import Age, run_with_store
from workers.replay.assessment import ReplayContext
from workers.replay.candidates import ReplayCandidate, failed_candidates, select_failed

# Wider than the longest name of a field.
FACT_WIDTH: Final = 16
# Entries that `list` shows without --limit.
LIST_LENGTH: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which entries a command is about: those named, or those that a filter holds for."""

    entry_ids: tuple[str, ...]
    filter: FailedFilter
    limit: int | None

    def demand(self, *, is_all: bool) -> None:
        """
        Raises click's usage error unless something was chosen, or everything in words, and not
        both.
        """
        # Nothing chosen must never mean everything: an operator who forgets the id would replay or
        # discard all that has failed.
        is_empty = not self.entry_ids and self.filter == FailedFilter()
        if is_empty and not is_all:
            raise click.UsageError("say which: ids, a filter such as --cause or --since, or --all")
        if is_all and not is_empty:
            raise click.UsageError("--all and a choice exclude each other")
        if self.entry_ids and self.filter != FailedFilter():
            raise click.UsageError("ids and filters exclude each other")

    async def entries(self, store: Store) -> list[Failed]:
        """The entries that are meant. Raises click's error for an id that there is none of."""
        entries = await select_failed(
            store, self.filter, entry_ids=self.entry_ids, limit=self.limit
        )
        missing = set(self.entry_ids) - {entry.entry_id for entry in entries}
        if missing:
            raise Failure(
                f"nothing failed under the id {', '.join(sorted(missing))}; "
                "see: buildr-calls failed list"
            )
        return entries


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose, and hand them to the command as one `Choice`."""

    @wraps(command)
    def chosen(
        *,
        source: str | None,
        cause: str | None,
        call: str | None,
        since: datetime | None,
        until: datetime | None,
        limit: int | None,
        entry_ids: tuple[str, ...] = (),
        **others: bool,
    ) -> None:
        entry_filter = FailedFilter(source=source, cause=cause, call=call, since=since, until=until)
        command(choice=Choice(entry_ids=entry_ids, filter=entry_filter, limit=limit), **others)

    decorated: Callable[..., None] = chosen
    for option in (
        click.option(
            "--limit", type=click.IntRange(min=1), help="Take at most so many, the oldest first."
        ),
        click.option("--until", type=Age(), help="Failed before then, like 1h or 2026-11-02."),
        click.option("--since", type=Age(), help="Failed since then, like 24h or 2026-11-02."),
        click.option(
            "--call",
            "call",
            help="The call: its id at the source, its full name, or its id in Buildr.",
        ),
        click.option(
            "--cause",
            type=OneOf(cause.value for cause in FailureCause),
            help="The cause.",
        ),
        click.option("--source", type=OneOf(sorted(SOURCES)), help="The source, like twilio."),
    ):
        decorated = option(decorated)
    return decorated


def _acting(command: Callable[..., None]) -> Callable[..., None]:
    """The same for commands that change something: ids and --all too."""
    decorated = _choosing(command)
    for option in (
        click.option("--all", "is_all", is_flag=True, help="Everything that has failed."),
        click.argument("entry_ids", nargs=-1, metavar="[ID]...", type=CallText()),
    ):
        decorated = option(decorated)
    return decorated


@click.group()
def failed() -> None:
    """
    See what was given up on, and replay it.

    \b
    Example:
      buildr-calls failed list --since 24h
    """


@failed.command("list")
@_choosing
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_failed(*, choice: Choice, as_json: bool) -> None:
    """
    List failed calls and messages, oldest first.

    \b
    Example:
      buildr-calls failed list --source twilio --cause buildr_rejected
    """
    # One more, to know whether there are more.
    limit = choice.limit or LIST_LENGTH

    async def work(settings: Settings, store: Store) -> tuple[Settings, list[Failed], int]:
        entries = await select_failed(store, choice.filter, limit=limit + 1)
        return settings, entries, await store.failed.count()

    settings, selected, count = run_with_store(work)
    entries = selected[:limit]
    if as_json:
        print_json([as_dict(entry) for entry in entries])
        return
    rows = [
        (
            entry.entry_id,
            entry.kind,
            entry.cause,
            f"{entry.failed_at:%Y-%m-%d %H:%M:%S}",
            str(entry.attempts),
            entry.detail,
        )
        for entry in entries
    ]
    print_table(
        ("id", "kind", "cause", "failed at (UTC)", "attempts", "detail"),
        rows,
        empty=_empty(count),
    )
    if len(selected) > limit:
        command = command_line(settings, f"failed list --limit {10 * limit}")
        echo(f"{limit} are shown, there are more: {command}", is_error=True)


def _empty(count: int) -> str:
    if count == 0:
        return "Nothing has failed."
    return f"None of the {count} that have failed fits."


@failed.command()
@click.argument("entry_id", type=CallText())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(entry_id: str, *, as_json: bool) -> None:
    """
    Show one failed call or message: why, what Buildr answered, what is kept of it.

    \b
    Example:
      buildr-calls failed show twilio:CA00000000000000000000000000000001
    """

    async def find(_: Settings, store: Store) -> Failed | None:
        return await store.failed.get(entry_id)

    entry = run_with_store(find)
    if entry is None:
        raise Failure(f"nothing failed under the id {entry_id}; see: buildr-calls failed list")
    if as_json:
        print_json(as_dict(entry))
        return
    for name, value in as_dict(entry).items():
        if name != "answers" and value not in (None, [], ()):
            print_fact(name.replace("_", " "), str(value), width=FACT_WIDTH)
    for answer in entry.answers:
        value = f"{answer.at:%Y-%m-%d %H:%M:%S} {answer.cause} {answer.status_code or ''}"
        print_fact("answer", value, width=FACT_WIDTH)
        if answer.text:
            echo(answer.text)


@failed.command("replay")
@_acting
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
    Replay failed calls and messages, read anew from their raw messages.

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


@failed.command()
@_acting
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only say what would happen.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def discard(*, choice: Choice, is_all: bool, is_dry_run: bool, as_json: bool) -> None:
    """
    Take failed calls and messages off the list for good; what is in Buildr stays as it is.

    \b
    Example:
      buildr-calls failed discard --cause unsupported_event --until 7d
    """
    choice.demand(is_all=is_all)

    async def work(_: Settings, store: Store) -> list[Failed]:
        entries = await choice.entries(store)
        if not is_dry_run:
            await asyncio.gather(*(store.failed.discard(entry) for entry in entries))
        return entries

    entries = run_with_store(work)
    if not entries:
        raise Failure("no failed call or message fits; see: buildr-calls failed list")
    if as_json:
        print_json([entry.entry_id for entry in entries])
    else:
        step = "would discard" if is_dry_run else "discarded"
        echo(f"{step}: {len(entries)}")
