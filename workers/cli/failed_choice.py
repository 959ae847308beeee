"""
Which failed calls and messages a command is about: its options, and what they choose.
"""

from collections.abc import Callable
from datetime import datetime
from functools import wraps

import click
from msgspec import Struct

from service.errors import FailureCause
from service.sources import SOURCES
from service.store.connection import Store
from service.store.failed import Failed, FailedFilter
from workers.cli.arguments import CallText, OneOf
from workers.cli.failure import Failure
from workers.cli.session import Age
from workers.replay.failed_entries import select_failed


class Choice(Struct, frozen=True, kw_only=True):
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


def choosing(command: Callable[..., None]) -> Callable[..., None]:
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


def acting(command: Callable[..., None]) -> Callable[..., None]:
    """The same for commands that change something: ids and --all too."""
    decorated = choosing(command)
    for option in (
        click.option("--all", "is_all", is_flag=True, help="Everything that has failed."),
        click.argument("entry_ids", nargs=-1, metavar="[ID]...", type=CallText()),
    ):
        decorated = option(decorated)
    return decorated
