"""
`buildr-calls links`: which Buildr call a telephone call is.
"""

from collections.abc import Sequence

import click

from service.settings import Settings
from service.sources import SOURCES
from service.store.connection import Store
from service.store.links import Link, StoredLink, UnreadableLink
from workers.cli.accounts import note_cut
from workers.cli.arguments import CallDigits, CallText, Digits, OneOf
from workers.cli.csv_file import CsvFileError
from workers.cli.failure import Failure
from workers.cli.imports import (
    AS_JSON,
    DRY_RUN,
    FILE,
    SKIP_INVALID,
    check_rows,
    in_batches,
    open_csv,
    report,
)
from workers.cli.link_csv import COLUMNS, read_links
from workers.cli.output import echo, print_json, print_table
from workers.cli.program import PROGRAM
from workers.cli.session import run_with_store

# Source, source call id, link.
LinkOfCall = tuple[str, str, StoredLink]
SOURCE = OneOf(sorted(SOURCES))


@click.group()
def links() -> None:
    """
    Tell which Buildr call a telephone call is.

    \b
    Example:
      buildr-calls links set twilio CA00000000000000000000000000000001 110
    """


@links.command("set")
@click.argument("source", type=SOURCE)
@click.argument("source_call_id", type=CallText())
@click.argument("buildr_call_id", type=CallDigits())
@click.option("--company-id", type=Digits(), help="File the call under this company of Buildr's.")
@click.option("--contact-id", type=Digits(), help="File the call under this contact of Buildr's.")
@click.option("--project-id", type=Digits(), help="File the call under this project of Buildr's.")
@click.option(
    "--replace",
    "is_replacing",
    is_flag=True,
    help="Counts before the Buildr call that the call's own messages name.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def set_link(
    *,
    source: str,
    source_call_id: str,
    buildr_call_id: str,
    company_id: str | None,
    contact_id: str | None,
    project_id: str | None,
    is_replacing: bool,
    as_json: bool,
) -> None:
    """
    Set or replace a link; a call that waits for it goes on at once.

    A wrong Buildr call in the call's own messages is corrected with --replace. What was written to
    that one stays there.

    \b
    Examples:
      buildr-calls links set twilio CA00000000000000000000000000000001 110 --project-id 372
      buildr-calls links set twilio CA00000000000000000000000000000001 111 --replace
    """
    link = Link(
        buildr_call_id=buildr_call_id,
        company_id=company_id,
        contact_id=contact_id,
        project_id=project_id,
        replaces=is_replacing,
    )

    async def work(_: Settings, store: Store) -> tuple[bool, bool, tuple[str, ...]]:
        is_new, is_known = await store.links.put(source, source_call_id, link)
        stored = await store.calls.get(f"{source}:{source_call_id}")
        # Reported to the operator: the link has no effect then, and nothing else would show it.
        other_ids: set[str] = set()
        if stored is not None:
            other_ids = {event.buildr_call_id or "" for event in stored.all_events}
        return is_new, is_known, tuple(sorted(other_ids - {buildr_call_id, ""}))

    is_new, is_known, others = run_with_store(work)
    if others:
        echo(_note_about(others, is_replacing=is_replacing), is_error=True)
    if as_json:
        print_json(
            {
                "source": source,
                "source_call_id": source_call_id,
                **link.ids(),
                "is_new": is_new,
                "is_call_known": is_known,
            }
        )
        return
    step = "set" if is_new else "replaced"
    effect = "no message of this call has come yet"
    if is_known:
        effect = f"the call goes on now, see: buildr-calls explain {source}:{source_call_id}"
    echo(f"{step}: {source}:{source_call_id} is Buildr call {buildr_call_id}; {effect}")


def _note_about(others: Sequence[str], *, is_replacing: bool) -> str:
    """What to know about other Buildr calls that the call's own messages name."""
    names = f"the call's own messages name Buildr call {', '.join(others)}"
    if is_replacing:
        return f"{names}: what was written there stays"
    return f"warning: {names}, which counts before a link; with --replace the link counts"


@links.command("get")
@click.argument("source", type=SOURCE)
@click.argument("source_call_id", type=CallText())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def get_link(source: str, source_call_id: str, *, as_json: bool) -> None:
    """
    Show the link of a call.

    \b
    Example:
      buildr-calls links get twilio CA00000000000000000000000000000001
    """

    async def work(_: Settings, store: Store) -> StoredLink | None:
        return await store.links.get(source, source_call_id)

    link = run_with_store(work)
    if link is None:
        raise Failure(
            f"{source}:{source_call_id} has no link; set one: {PROGRAM} links set {source} "
            f"{source_call_id} BUILDR_CALL_ID"
        )
    if isinstance(link, UnreadableLink):
        raise Failure(_damaged(source, source_call_id))
    if as_json:
        print_json({"source": source, "source_call_id": source_call_id, **link.ids()})
    else:
        echo(" ".join(f"{name}={value}" for name, value in link.ids().items() if value))


@links.command("list")
@click.option("--source", type=SOURCE, help="Only this source's.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Show at most so many.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_links(source: str | None, limit: int, *, as_json: bool) -> None:
    """
    List links, those that expire first coming first.

    \b
    Example:
      buildr-calls links list --source twilio
    """

    async def work(settings: Settings, store: Store) -> tuple[Settings, list[LinkOfCall]]:
        gathered = []
        async for entry in store.links.scan(source):
            gathered.append(entry)
            # One more, to know whether there are more.
            if len(gathered) > limit:
                break
        return settings, gathered

    settings, gathered = run_with_store(work)
    if len(gathered) > limit:
        note_cut(settings, limit)
    entries = _readable(gathered[:limit])
    if as_json:
        print_json(
            [{"source": slug, "source_call_id": call, **link.ids()} for slug, call, link in entries]
        )
        return
    rows = [
        (slug, call, *(value or "" for value in link.ids().values()))
        for slug, call, link in entries
    ]
    print_table(COLUMNS, rows, empty="There are no links.")


def _readable(entries: Sequence[LinkOfCall]) -> list[tuple[str, str, Link]]:
    """The links that can be read; each other one is named on stderr."""
    readable = []
    for slug, source_call_id, link in entries:
        if isinstance(link, Link):
            readable.append((slug, source_call_id, link))
            continue
        echo(f"left out: {_damaged(slug, source_call_id)}", is_error=True)
    return readable


def _damaged(source: str, source_call_id: str) -> str:
    return (
        f"what is stored of the link of {source}:{source_call_id} cannot be read; "
        f"set it again: {PROGRAM} links set {source} {source_call_id} BUILDR_CALL_ID"
    )


@links.command("import")
@FILE
@DRY_RUN
@SKIP_INVALID
@AS_JSON
def import_links(file: str, *, is_dry_run: bool, skips: bool, as_json: bool) -> None:
    """
    Set many links from a CSV file with the columns source, source_call_id, buildr_call_id.

    The columns company_id, contact_id and project_id may be there too. UTF-8, UTF-16 and Latin-1
    are read, with commas, semicolons or tabs. Nothing is set unless every row is right, or the
    others are to be skipped. `-` reads standard input.

    \b
    Examples:
      buildr-calls links import links.csv --dry-run
      buildr-calls links import links.csv --skip-invalid
    """
    try:
        # The whole file before the first write: half an import is hard to take back.
        result = read_links(open_csv(file))
    except CsvFileError as err:
        raise Failure(f"nothing was set: {err}") from err
    check_rows(result, skips=skips, is_dry_run=is_dry_run, as_json=as_json)

    async def work(_: Settings, store: Store) -> None:
        rows = [row for _, row in result.values]
        with in_batches("Setting links", rows) as batches:
            for batch in batches:
                for is_new, is_known in await store.links.put_many(batch):
                    result.done += 1
                    result.new += is_new
                    result.woken += is_known

    if not is_dry_run:
        run_with_store(work)
    report(result, is_dry_run=is_dry_run, as_json=as_json)


@links.command("rm")
@click.argument("source", type=SOURCE)
@click.argument("source_call_id", type=CallText())
def remove_link(source: str, source_call_id: str) -> None:
    """
    Take a link away; what was written to Buildr stays.

    \b
    Example:
      buildr-calls links rm twilio CA00000000000000000000000000000001
    """

    async def work(_: Settings, store: Store) -> bool:
        return await store.links.remove(source, source_call_id)

    if not run_with_store(work):
        raise Failure(f"{source}:{source_call_id} has no link")
    echo(f"removed: {source}:{source_call_id}")
