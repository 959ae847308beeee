"""
What the spool holds, and the error that says that it takes nothing.
"""

from datetime import datetime

from msgspec import Struct

from service.errors import BuildrCallsError


class SpoolUnavailable(BuildrCallsError):
    """Raised when the spool has not stored a message; the text says why, in words for people."""


class SpooledMessage(Struct, frozen=True, kw_only=True):
    """
    One genuine message of an account, with all that is needed to give it to Redis later.

    `packed_message` is the message as Redis keeps it. `source_call_id` is None for one that cannot
    be read; it has `failed_entry` instead, the entry (JSON) under which it is filed as failed.
    """

    account: str
    message_id: str
    source: str
    source_call_id: str | None
    received_at: datetime
    packed_message: bytes
    failed_entry: str | None = None


class Depth(Struct, frozen=True):
    """
    How many messages of an account wait in the spool, and when the oldest was received (UTC, None
    if none waits).

    `set_aside` are those that Redis refuses although it takes others, and damaged ones; they are
    not among the `messages`.
    """

    messages: int = 0
    oldest_at: datetime | None = None
    set_aside: int = 0

    def plus(self, other: "Depth") -> "Depth":
        """Both together."""
        moments = [at for at in (self.oldest_at, other.oldest_at) if at is not None]
        return Depth(
            self.messages + other.messages,
            min(moments, default=None),
            self.set_aside + other.set_aside,
        )

    def age_s(self, now: datetime) -> float | None:
        """For how many seconds the oldest has waited; None if none waits."""
        if self.oldest_at is None:
            return None
        return round(max(0.0, (now - self.oldest_at).total_seconds()), 1)
