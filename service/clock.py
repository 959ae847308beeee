"""
The time of this machine.
"""

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present, aware and in UTC."""
    return datetime.now(UTC)


def steady_s() -> float:
    """
    Seconds that never go back, and go on while the machine is suspended.

    On Linux and macOS `time.monotonic` stops meanwhile.
    """
    # Linux; other systems have no such clock.
    clock_id = getattr(time, "CLOCK_BOOTTIME", None)
    if clock_id is None:
        clock_id = getattr(time, "CLOCK_MONOTONIC", None)
    if clock_id is None:
        return time.monotonic()
    return time.clock_gettime(clock_id)
