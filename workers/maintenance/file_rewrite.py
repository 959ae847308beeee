"""
Once a day one worker has Redis rewrite its append-only file: what expired or was deleted is on the
disk until then.
"""

from typing import Final

import structlog

from service.logs.events import LogEvent
from service.store.append_only_file import AppendOnlyFile

# How often it is tried: one process of all, once a day, does it.
CHECK_EVERY_S: Final = 3600.0

log = structlog.get_logger(__name__)


async def rewrite_file(file: AppendOnlyFile) -> None:
    """One turn. Raises redis-py's errors."""
    if await file.rewrite():
        log.info(LogEvent.REDIS_FILE_REWRITTEN)
