"""
Lists of calls: for people on a terminal, for programs as JSON or CSV.
"""

import csv
import io
import textwrap
from collections.abc import Sequence
from typing import Final

from service.logs.control_characters import one_line
from service.store.listed_call import ListedCall
from workers.cli.output import echo, print_table, terminal_width, utc_text

COLUMNS: Final = (
    "time (UTC)",
    "number",
    "agent",
    "direction",
    "result",
    "outcome",
    "state",
    "call",
    "why",
)
CSV_COLUMNS: Final = (
    "time",
    "number",
    "agent",
    "direction",
    "result",
    "outcome",
    "state",
    "call",
    "buildr_call_id",
    "line",
    "last_message_at",
    "why",
)
# Spreadsheets take a cell that begins so for a formula. A plus begins a number.
FORMULA: Final = ("=", "@", "-", "\t", "\r")
INDENT: Final = "    "
# The columns of the first line of a call, with their least widths.
SHORT_COLUMNS: Final = (19, 13, 8)


def print_calls(calls: Sequence[ListedCall], *, empty: str) -> None:
    """Print calls: two or three lines for each on a terminal, else a table."""
    width = terminal_width()
    if width is None or not calls:
        print_table(COLUMNS, [_row(call) for call in calls], empty=empty)
        return
    for call in calls:
        time, number, agent, direction, result, outcome, state, ref, why = _row(call)
        place = zip((time, number, direction), SHORT_COLUMNS, strict=True)
        parts = [cell.ljust(least) for cell, least in place]
        decided = " → ".join(part for part in (result, outcome) if part)
        parts += [part for part in (agent, decided, state) if part]
        echo("  ".join(parts).rstrip())
        echo(f"{INDENT}{ref}")
        if why:
            echo(_wrapped(why, width))


def calls_csv(calls: Sequence[ListedCall]) -> str:
    """Calls as CSV, with a heading."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for call in calls:
        cells = as_dict(call)
        writer.writerow([_cell(cells[name]) for name in CSV_COLUMNS])
    return text.getvalue()


def as_dict(call: ListedCall) -> dict[str, str | None]:
    """A call as plain JSON values; times are ISO 8601 in UTC."""
    started_at = None
    if call.started_at is not None:
        started_at = call.started_at.isoformat()
    return {
        "call": call.ref,
        "source": call.source,
        "time": started_at,
        "last_message_at": call.last_at.isoformat(),
        "number": call.customer,
        "line": call.line,
        "agent": call.agent,
        "direction": call.direction,
        "result": call.result,
        "outcome": call.outcome,
        "state": call.state,
        "why": call.reason,
        "buildr_call_id": call.buildr_call_id,
    }


def _row(call: ListedCall) -> tuple[str, ...]:
    return (
        utc_text(call.started_at or call.last_at),
        call.customer or "",
        call.agent or "",
        call.direction or "",
        call.result or "",
        call.outcome or "",
        call.state,
        call.ref,
        call.reason,
    )


def _wrapped(text: str, width: int) -> str:
    """A text over as many lines as it needs; ids in it stay whole."""
    return textwrap.fill(
        one_line(text),
        max(width, 2 * len(INDENT)),
        initial_indent=INDENT,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _cell(value: str | None) -> str:
    if value is None:
        return ""
    if value.startswith(FORMULA):
        return f"'{value}"
    return value
