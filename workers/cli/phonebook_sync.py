"""
`buildr-calls phonebook sync`: Buildr's contacts into the phone book.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
from msgspec import Struct

from service.clock import utc_now
from service.counts import counted
from service.errors import BuildrError, BuildrRejected
from service.settings import Settings
from service.store.connection import Store
from service.store.phone_book import SyncCursor
from workers.buildr import BuildrClient, token_provider
from workers.cli.failure import Failure, buildr_failure
from workers.cli.output import echo, print_json, progress
from workers.cli.session import run_with_store
from workers.contacts.fields import ContactFields
from workers.contacts.reading import ContactReader, SyncRunning
from workers.contacts.sync import ContactSync
from workers.process.timing import hold_s

NOT_DOCUMENTED = (
    "Buildr does not document its list of contacts: see BUILDR_CONTACTS_PATH and what follows it "
    "in the settings"
)


class SyncReport(Struct, frozen=True, kw_only=True):
    """What a synchronisation has read; `removed` is None of a dry run."""

    contacts: int
    entries: int
    unreadable: int
    removed: int | None = None
    is_resumed: bool = False

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "is_dry_run": self.removed is None,
            "is_resumed": self.is_resumed,
            "contacts": self.contacts,
            "entries": self.entries,
            "unreadable": self.unreadable,
            "removed": self.removed,
        }

    def as_text(self) -> str:
        """The same in a line."""
        text = (
            f"{counted(self.contacts, 'contact', 'contacts')} with "
            f"{counted(self.entries, 'number', 'numbers')}; "
            f"numbers that could not be read: {self.unreadable}"
        )
        if self.removed is None:
            return f"would read, on the first page: {text}"
        return f"synchronised: {text}; removed: {self.removed}"


@click.command("sync")
@click.option("--restart", "restarts", is_flag=True, help="Do not go on where a run was ended.")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Read one page and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sync_contacts(*, restarts: bool, is_dry_run: bool, as_json: bool) -> None:
    """
    Read all contacts from Buildr, behind all calls and within the budget.

    What Buildr does not list any more is removed, of the entries that came from there. A run that
    was ended goes on where it was, within 24 hours.

    \b
    Examples:
      buildr-calls phonebook sync --dry-run
      buildr-calls phonebook sync
    """

    async def work(settings: Settings, store: Store) -> SyncReport:
        async with _opened(settings, store) as sync:
            if is_dry_run:
                return await _read_one_page(sync)
            return await _synchronise(sync, restarts=restarts)

    try:
        report = run_with_store(work)
    except SyncRunning as err:
        raise Failure("another synchronisation of this phone book is running") from err
    except BuildrRejected as err:
        raise buildr_failure(err, advice=f". {NOT_DOCUMENTED}") from err
    except BuildrError as err:
        raise buildr_failure(err, advice="; the next run goes on where this one ended") from err
    if as_json:
        print_json(report.as_dict())
    else:
        echo(report.as_text())
    if report.contacts and not report.entries:
        echo(f"warning: no contact has a telephone number. {NOT_DOCUMENTED}", is_error=True)


@asynccontextmanager
async def _opened(settings: Settings, store: Store) -> AsyncIterator[ContactSync]:
    async with BuildrClient(settings, tokens=token_provider(settings, store.tokens)) as client:
        reader = ContactReader(store=store, client=client, hold_s=hold_s(settings), clock=utc_now)
        try:
            yield ContactSync(reader=reader, fields=ContactFields.of(settings))
        finally:
            await store.phone_book.unlock()


async def _read_one_page(sync: ContactSync) -> SyncReport:
    contacts, _ = await sync.read_page(None)
    entries, unreadable = sync.read_contacts(contacts)
    return SyncReport(contacts=len(contacts), entries=len(entries), unreadable=unreadable)


async def _synchronise(sync: ContactSync, *, restarts: bool) -> SyncReport:
    cursor = await sync.begin(restarts=restarts)
    is_resumed = cursor.contacts > 0
    with progress(is_transient=True) as bar:
        task = bar.add_task(_description(cursor), total=None)
        async for page_cursor in sync.read_pages(cursor):
            cursor = page_cursor
            bar.update(task, description=_description(cursor))
    removed = await sync.finish(cursor)
    return SyncReport(
        contacts=cursor.contacts,
        entries=cursor.entries,
        unreadable=cursor.unreadable,
        removed=removed,
        is_resumed=is_resumed,
    )


def _description(cursor: SyncCursor) -> str:
    return f"Reading contacts: {cursor.contacts}"
