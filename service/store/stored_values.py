"""
Small values as Redis holds them. One that is damaged counts as absent: it must not keep those
beside it from being read, and is written anew by whoever writes it next.
"""

import math
from datetime import UTC, datetime


def read_integer(stored: bytes | None) -> int | None:
    """A whole number; None of an absent or a damaged one."""
    try:
        return None if stored is None else int(stored)
    except ValueError:
        return None


def read_number(stored: bytes | None) -> float | None:
    """A finite number; None of an absent or a damaged one."""
    try:
        number = math.nan if stored is None else float(stored)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_ms(stored: bytes | None) -> datetime | None:
    """A moment (UTC) in milliseconds since 1970; None of an absent or a damaged one."""
    number = read_number(stored)
    try:
        return None if number is None else datetime.fromtimestamp(number / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def read_iso(stored: bytes | None) -> datetime | None:
    """A moment (UTC) in ISO 8601 with its offset; None of an absent or a damaged one."""
    try:
        moment = None if stored is None else datetime.fromisoformat(stored.decode())
        return None if moment is None or moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
