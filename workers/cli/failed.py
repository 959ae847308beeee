"""
`buildr-calls failed`: what was given up on.
"""

import asyncio
from typing import Final

import click

from service.settings import Settings
from service.store.connection import Store
from service.store.failed import Failed, as_dict
from workers.cli.accounts import note_cut
from workers.cli.arguments import CallText
from workers.cli.command_table import CommandEntry, CommandTable, LazyCommands
from workers.cli.failed_choice import Choice, acting, choosing
from workers.cli.failure import Failure
from workers.cli.output import echo, print_fact, print_json, print_table
from workers.cli.session import run_with_store
from workers.replay.call_summary import runbook_of
from workers.replay.failed_entries import select_failed

# Wider than the longest name of a field.
FACT_WIDTH: Final = 16
# Entries that `list` shows without --limit.
LIST_LENGTH: Final = 1000

COMMANDS: Final = {
    "list": CommandEntry(
        module="failed", function="list_failed", help="List failed calls and messages."
    ),
    "show": CommandEntry(module="failed", function="show", help="Show one of them."),
    "replay": CommandEntry(
        module="failed_replay",
        function="replay_failed",
        help="Replay failed calls and messages, read again.",
        logs=True,
    ),
    "discard": CommandEntry(
        module="failed", function="discard", help="Take them off the list for good."
    ),
}


@click.group(cls=LazyCommands, commands=CommandTable(COMMANDS))
def failed() -> None:
    """
    See what was given up on, and replay it.

    \b
    Example:
      buildr-calls failed list --since 24h
    """


@click.command("list")
@choosing
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
    if len(selected) > limit:
        note_cut(settings, limit)
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


def _empty(count: int) -> str:
    if count == 0:
        return "Nothing has failed."
    return f"None of the {count} that have failed fits."


@click.command()
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
    print_fact("runbook", runbook_of(entry.cause), width=FACT_WIDTH)
    for answer in entry.answers:
        value = f"{answer.at:%Y-%m-%d %H:%M:%S} {answer.cause} {answer.status_code or ''}"
        print_fact("answer", value, width=FACT_WIDTH)
        if answer.text:
            echo(answer.text)


@click.command()
@acting
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
