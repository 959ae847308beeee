"""
`buildr-calls refused`: requests that the receiver did not take.
"""

from datetime import datetime
from typing import Final

import click

from service.settings import Settings
from service.sources import SOURCES
from service.store.connection import Store
from service.store.refused import MOST, UNKNOWN, RefusedRequests, as_dict, summed
from workers.cli.accounts import note_cut
from workers.cli.arguments import OneOf
from workers.cli.output import print_json, print_table
from workers.cli.refused_report import rows_of
from workers.cli.session import Age, run_with_store

COLUMNS: Final = ("last (UTC)", "count", "source", "path", "status", "from", "why")
NOTHING: Final = (
    "Nothing was refused. If nothing comes in either, nothing is sent here: look at the address "
    "that the vendor has (buildr-calls link-url)."
)


@click.group()
def refused() -> None:
    """
    See requests that were refused before their sender was proved: what, when, why, how often.

    \b
    Example:
      buildr-calls refused list
    """


@refused.command("list")
@click.option(
    "--source", type=OneOf((*sorted(SOURCES), UNKNOWN)), help="The source; unknown: a wrong path."
)
@click.option("--since", type=Age(), help='Since then, like 24h or "yesterday 14:00" (UTC).')
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_refused(*, source: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """
    List what was refused, summed by kind, the last one first.

    The last 500 entries of 30 days are kept, without bodies and secrets. A path shows only names
    that are known. Requests to a wrong path are in the default account.

    \b
    Example:
      buildr-calls refused list --source twilio --since 24h
    """

    async def work(settings: Settings, store: Store) -> tuple[Settings, list[RefusedRequests]]:
        recent = await store.refused.recent(source=source, since=since, limit=MOST)
        return settings, summed(recent)

    settings, kinds = run_with_store(work)
    entries = kinds[:limit]
    if len(kinds) > limit:
        note_cut(settings, limit)
    if as_json:
        print_json([as_dict(entry) for entry in entries])
        return
    print_table(COLUMNS, rows_of(entries), empty=NOTHING)
