"""
`buildr-calls phonebook`: telephone numbers, and who has them in Buildr.
"""

import click

from service.listed_numbers import read_listed_number
from service.settings import Settings
from service.store.connection import Store
from service.store.phone_book import PhoneBookCounts, PhoneBookEntry, PhoneBookState
from workers.cli.arguments import Digits
from workers.cli.failure import Failure
from workers.cli.output import echo, print_json, print_table, utc_text
from workers.cli.phonebook_import import import_people
from workers.cli.phonebook_sync import sync_contacts
from workers.cli.session import run_with_store
from workers.matching.callers import choose_caller


@click.group()
def phonebook() -> None:
    """
    Know who called: telephone numbers of contacts, companies and projects.

    \b
    Example:
      buildr-calls phonebook import people.csv
    """


@phonebook.command("show")
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_number(number: str, *, as_json: bool) -> None:
    """
    Show who has a number, and what of it is sent with a call.

    \b
    Example:
      buildr-calls phonebook show "+1 500 555 0006"
    """

    async def work(settings: Settings, store: Store) -> tuple[str, tuple[PhoneBookEntry, ...]]:
        listed_number = _read_number(number, settings)
        return listed_number, await store.phone_book.find(listed_number)

    listed_number, entries = run_with_store(work)
    match = choose_caller(entries)
    if not entries:
        raise Failure("the phone book does not have this number")
    if as_json:
        print_json(
            {
                "number": listed_number,
                "people": [entry.as_dict() for entry in entries],
                "sent": dict(match.ids),
                "reason": match.reason,
            }
        )
        return
    rows = [tuple(value or "" for value in entry.as_dict().values()) for entry in entries]
    print_table(("contact", "company", "project", "from"), rows, empty="")
    echo(match.reason)


@phonebook.command("remove")
@click.argument("number")
@click.option("--contact-id", type=Digits(), help="Only this contact's; others keep the number.")
def remove_number(number: str, contact_id: str | None) -> None:
    """
    Take a number out of the phone book; what was written to Buildr stays.

    \b
    Example:
      buildr-calls phonebook remove "+1 500 555 0006"
    """

    async def work(settings: Settings, store: Store) -> int:
        return await store.phone_book.remove(_read_number(number, settings), contact_id=contact_id)

    removed = run_with_store(work)
    if not removed:
        owner = "" if contact_id is None else f" of contact {contact_id}"
        raise Failure(f"the phone book does not have this number{owner}")
    echo(f"removed: {removed}")


@phonebook.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def phonebook_status(*, as_json: bool) -> None:
    """
    Show how much is in the phone book, and when it was last changed as a whole.

    \b
    Example:
      buildr-calls phonebook status
    """

    async def work(_: Settings, store: Store) -> tuple[PhoneBookCounts, PhoneBookState]:
        return await store.phone_book.count(), await store.phone_book.state()

    counts, state = run_with_store(work)
    if as_json:
        print_json(_status_as_dict(counts, state))
        return
    rows = [
        ("numbers", str(counts.numbers)),
        ("of several people", str(counts.shared)),
        ("imported entries", str(counts.imported)),
        ("synchronised entries", str(counts.synchronised)),
        ("last import (UTC)", utc_text(state.imported_at) or "never"),
        ("last synchronisation (UTC)", utc_text(state.synchronised_at) or "never"),
    ]
    if state.cursor is not None:
        rows.append(("unfinished synchronisation", f"{state.cursor.contacts} contacts so far"))
    print_table(("phone book", ""), rows, empty="")


phonebook.add_command(import_people)
phonebook.add_command(sync_contacts)


def _status_as_dict(counts: PhoneBookCounts, state: PhoneBookState) -> dict[str, object]:
    unfinished = None
    if state.cursor is not None:
        unfinished = {
            "started_at": utc_text(state.cursor.started_at),
            "contacts": state.cursor.contacts,
            "entries": state.cursor.entries,
            "unreadable": state.cursor.unreadable,
        }
    return {
        "numbers": counts.numbers,
        "shared_numbers": counts.shared,
        "imported_entries": counts.imported,
        "synchronised_entries": counts.synchronised,
        "imported_at": state.imported_at and state.imported_at.isoformat(),
        "synchronised_at": state.synchronised_at and state.synchronised_at.isoformat(),
        "unfinished_sync": unfinished,
    }


def _read_number(text: str, settings: Settings) -> str:
    """A number as the book has it. Raises click's usage error."""
    number = read_listed_number(text, region=settings.default_region)
    if number is None:
        raise click.UsageError("this is no telephone number; write it like +15005550006")
    return number
