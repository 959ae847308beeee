"""
The time of this machine.
"""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present, aware and in UTC."""
    return datetime.now(UTC)
