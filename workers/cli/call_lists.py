"""
`buildr-calls unmatched list` and `stalled list`: calls that wait for something.
"""

from datetime import datetime
from typing import Final

import click

from service.settings import Settings
from service.store.connection import Store
from workers.cli.output import (
    print_json,
    print_table,
    utc_text,
)
from workers.cli.session import run_with_store

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
    async def work(_: Settings, store: Store) -> list[tuple[str, datetime | None, str, str]]:
        return [
            (
                stored.record.ref,
                stored.record.first_received_at,
                stored.record.result or "",
                stored.record.reason,
            )
            async for stored in store.calls.indexed(name, limit=limit)
        ]

    calls = run_with_store(work)
    if as_json:
        print_json(
            [
                {
                    "call": ref,
                    "first_received_at": at and at.isoformat(),
                    "result": result or None,
                    "reason": reason,
                }
                for ref, at, result, reason in calls
            ]
        )
        return
    rows = [(ref, utc_text(at), result, reason) for ref, at, result, reason in calls]
    print_table(("call", "first webhook (UTC)", "result", "reason"), rows, empty=empty)


@unmatched.command("list")
@LIMIT
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
@AS_JSON
def list_stalled(limit: int, *, as_json: bool) -> None:
    """
    List calls whose final event never came.

    \b
    Example:
      buildr-calls stalled list --json
    """
    _list_index("stalled", limit=limit, as_json=as_json, empty="No call has stalled.")
