"""
`buildr-calls unmatched list` and `stalled list`: calls that wait for something.
"""

from datetime import UTC, datetime
from typing import Final

import click
from msgspec.structs import replace

from service.settings import Settings
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.listed_call import ListedCall, listed_call
from workers.cli.accounts import command_line, note_cut
from workers.cli.call_table import as_dict, print_calls
from workers.cli.output import echo, mask_option, print_json
from workers.cli.session import run_with_store
from workers.matching.reasons import LINK, between

EPOCH: Final = datetime.fromtimestamp(0, UTC)
LIMIT: Final = click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Show at most so many, the oldest first.",
)
AS_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def unmatched() -> None:
    """
    See calls that no Buildr call is known for.

    \b
    Example:
      buildr-calls unmatched list
    """


@click.group()
def stalled() -> None:
    """
    See calls whose final event never came.

    \b
    Example:
      buildr-calls stalled list
    """


def _list_index(name: str, *, limit: int, as_json: bool, empty: str) -> None:
    async def work(settings: Settings, store: Store) -> tuple[Settings, list[DeliveryRecord]]:
        # One more, to know whether there are more; records alone, since events take most of a call.
        return settings, await store.search.indexed_records(name, limit=limit + 1)

    settings, records = run_with_store(work)
    chosen = records[:limit]
    if len(records) > limit:
        note_cut(settings, limit)
    if as_json:
        print_json([_as_dict(record) for record in chosen])
        return
    listed = [_listed(record) for record in chosen]
    print_calls([replace(call, reason=between(call.reason)) for call in listed], empty=empty)
    # Once below them, in place of a line for each.
    if any(LINK in call.reason for call in listed):
        command = command_line(settings, "links set SOURCE CALL_ID BUILDR_CALL_ID")
        echo(f"look their ids up in Buildr, and link them: {command}", is_error=True)


def _listed(record: DeliveryRecord) -> ListedCall:
    return listed_call(record, last_at=record.last_received_at or EPOCH)


def _as_dict(record: DeliveryRecord) -> dict[str, object]:
    at = record.first_received_at
    listed = as_dict(_listed(record))
    return {
        "call": record.ref,
        "first_received_at": at and at.isoformat(),
        "result": record.result,
        "reason": record.reason,
        **{name: listed[name] for name in ("number", "agent", "direction", "time")},
    }


@unmatched.command("list")
@LIMIT
@mask_option
@AS_JSON
def list_unmatched(limit: int, *, as_json: bool) -> None:
    """
    List calls that have ended and wait for a link.

    \b
    Example:
      buildr-calls unmatched list --json
    """
    _list_index(
        "unmatched", limit=limit, as_json=as_json, empty="Every call that has ended is matched."
    )


@stalled.command("list")
@LIMIT
@mask_option
@AS_JSON
def list_stalled(limit: int, *, as_json: bool) -> None:
    """
    List calls whose final event never came.

    \b
    Example:
      buildr-calls stalled list --json
    """
    _list_index("stalled", limit=limit, as_json=as_json, empty="No call has stalled.")
