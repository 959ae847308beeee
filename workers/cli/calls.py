"""
`buildr-calls calls`: calls found by what people know of them.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import click
from msgspec.structs import replace

from service.buildr_ids import is_buildr_call_id
from service.counts import counted
from service.events import Result
from service.phone_numbers import read_number
from service.settings import Settings
from service.sources import SOURCES
from service.store.call_listing import UNREAD, CallPage, CallQuery
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.listed_call import listed_call
from workers.cli.accounts import same_command
from workers.cli.arguments import CallText, OneOf, e164_of
from workers.cli.call_table import as_dict, calls_csv, print_calls
from workers.cli.output import echo, mask_option, print_json
from workers.cli.session import Age, run_with_store
from workers.replay.find_calls import find_by_name

STATES: Final = (*(state.value for state in DeliveryState), UNREAD)


@click.command()
@click.argument("text", required=False, type=CallText())
@click.option("--number", help="A telephone number in any form, the customer's or yours.")
@click.option("--agent", help="Who talked: the whole name, or a part of it.")
@click.option("--buildr-call", help="The call's id in Buildr.")
@click.option("--source", type=OneOf(sorted(SOURCES)), help="The source, like twilio.")
@click.option(
    "--result", type=OneOf(result.value for result in Result), help="How it ended, like busy."
)
@click.option("--outcome", help='The outcome, like "Left Voicemail".')
@click.option("--state", type=OneOf(STATES), help="Its state, like unmatched.")
@click.option("--since", type=Age(), help='Since then, like 24h or "yesterday 14:00" (UTC).')
@click.option("--until", type=Age(), help="Before then.")
@click.option(
    "--limit",
    type=click.IntRange(min=1, max=1000),
    default=20,
    show_default=True,
    help="Calls of a page.",
)
@click.option("--after", metavar="CURSOR", help="The next page, as the last one named it.")
@mask_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def calls(
    *,
    text: str | None,
    number: str | None,
    agent: str | None,
    buildr_call: str | None,
    source: str | None,
    result: str | None,
    outcome: str | None,
    state: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """
    Find calls, the newest first. Without TEXT and options: all of them.

    TEXT is a telephone number in any form, an id at the source or in Buildr, or an agent's name.

    \b
    Examples:
      buildr-calls calls "(500) 555-0006"
      buildr-calls calls "Ana Lima" --since "yesterday 14:00"
      buildr-calls calls --state unmatched --csv
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    query = CallQuery(
        agent=agent,
        buildr_call_id=buildr_call,
        source=source,
        result=result,
        outcome=outcome,
        state=state,
        since=since,
        until=until,
    )

    async def work(settings: Settings, store: Store) -> tuple[Settings, CallPage, bool]:
        region = settings.default_region
        chosen = with_text(with_number(query, number, region=region), text, region=region)
        try:
            page = await page_of(store, chosen, text, limit=limit, after=after)
        except ValueError as err:
            raise click.UsageError(f"--after: {err}") from err
        return settings, page, await store.listing.is_complete()

    settings, page, is_complete = run_with_store(work)
    if as_json:
        print_json(_as_json(page))
        return
    if as_csv:
        echo(calls_csv(page.calls).rstrip("\n"))
    else:
        print_calls(page.calls, empty=_empty(page))
    for note in _notes(settings, page, limit, is_complete=is_complete):
        echo(note, is_error=True)


def _as_json(page: CallPage) -> dict[str, object]:
    listed = [as_dict(call) for call in page.calls]
    return {"calls": listed, "after": page.after, "looked_at": page.looked_at}


def with_number(query: CallQuery, number: str | None, *, region: str) -> CallQuery:
    """The query with a number as people write it. Raises click's usage error for none."""
    if number is None:
        return query
    return replace(query, number=e164_of(number, region=region))


def with_text(query: CallQuery, text: str | None, *, region: str) -> CallQuery:
    """The query with what a text most likely is: a number, an id in Buildr, or an agent's name."""
    if text is None:
        return query
    # In this order: a number of digits only could be an id too, and is far more often a number.
    number = read_number(text, region=region)
    if number is not None:
        return replace(query, number=number.e164)
    if is_buildr_call_id(text):
        return replace(query, buildr_call_id=text)
    return replace(query, agent=text)


async def page_of(
    store: Store, query: CallQuery, text: str | None, *, limit: int, after: str | None
) -> CallPage:
    """One page; an id of a source is one call, whatever else the text may be."""
    # Not for a later page: its cursor is one of the listing.
    if text is not None and after is None:
        for ref in await find_by_name(store, text):
            stored = await store.calls.get(ref)
            if stored is not None:
                at = stored.record.last_received_at or await store.time()
                call = listed_call(stored.record, last_at=at)
                return CallPage(calls=(call,), after=None, looked_at=1)
    return await store.listing.page(query, limit=limit, after=after)


def _empty(page: CallPage) -> str:
    if page.after is None:
        return "No call fits."
    return "No call fits among those that were looked at."


def _notes(settings: Settings, page: CallPage, limit: int, *, is_complete: bool) -> Iterator[str]:
    if page.after is not None:
        yield _more(settings, page, limit)
    if not is_complete:
        yield "calls that an older version stored are still being indexed"


def _more(settings: Settings, page: CallPage, limit: int) -> str:
    """How to see the next page."""
    command = same_command(settings, after=page.after or "")
    # Paging ends after so many calls, so that a search that fits little stays quick.
    if len(page.calls) < limit:
        looked_at = counted(page.looked_at, "call was", "calls were")
        return f"{looked_at} looked at; there may be more: {command}"
    return f"more: {command}"
