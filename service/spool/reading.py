"""
Spool files as they are read by those who do not write them: commands, and whoever saves what is
left of a broken one.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from service.spool.messages import Depth, SpooledMessage
from service.spool.rows import message_of

# Another process may hold the file for some milliseconds.
BUSY_TIMEOUT_S: Final = 5.0
DEPTHS: Final = """
SELECT account, problem = '', count(*), min(received_ms) FROM messages GROUP BY 1, 2
"""
# Along the table itself, since an index may be what is damaged; in both directions.
SALVAGE: Final = (
    "SELECT * FROM messages NOT INDEXED ORDER BY position",
    "SELECT * FROM messages NOT INDEXED ORDER BY position DESC",
)


def read_depths(path: Path) -> dict[str, Depth]:
    """
    The depths of a file that a receiver may have open, by account.

    Raises `sqlite3.Error`, also for a file that is none of ours.
    """
    with contextlib.closing(
        sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)
    ) as connection:
        return _depths(connection.execute(DEPTHS))


def salvage(path: Path) -> Iterator[SpooledMessage]:
    """
    The messages of a broken file that can still be read: from the oldest on up to the first damaged
    page, then from the newest on down to it.
    """
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for query in SALVAGE:
            # A damaged page ends the reading in one direction.
            with contextlib.suppress(sqlite3.Error):
                for values in connection.execute(query):
                    message = message_of(values)
                    if message is not None:
                        yield message


def _depths(rows: Iterable[tuple[str, int, int, int]]) -> dict[str, Depth]:
    depths: dict[str, Depth] = {}
    for account, is_waiting, count, oldest_ms in rows:
        depth = Depth(set_aside=count)
        if is_waiting:
            depth = Depth(count, datetime.fromtimestamp(oldest_ms / 1000, UTC))
        depths[account] = depths.get(account, Depth()).plus(depth)
    return depths
