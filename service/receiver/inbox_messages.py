"""
A genuine message as the inbox gives it to Redis or to the spool, and the limits under which it is
kept.
"""

from dataclasses import dataclass, field
from typing import Final, Self

from msgspec.structs import replace

from service.errors import FailureCause
from service.settings import Settings
from service.spool.messages import SpooledMessage
from service.store import accept_scripts
from service.store.accept_scripts import AcceptResult
from service.store.compression import make_small
from service.store.failed import Failed, to_text
from service.store.keys import ref_of
from service.store.messages import Message, frame_message, pack_message
from service.store.script_runner import ScriptCall

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxLimits:
    """
    The limits of one account's inbox; names end in their unit: hours, days or seconds.

    A repeated message is recognised for `dedupe_h`. At most `max_pending` messages wait for a
    worker. Redis has `accept_timeout_s` for one answer. `keep_messages_d` is for messages that were
    handled, `keep_failed_d` for those that could not be read.
    """

    dedupe_h: float
    keep_failed_d: float
    max_pending: int
    accept_timeout_s: float
    keep_messages_d: float = 0
    # For how long the id of a message is kept beside it; 0 if the message itself is kept for as
    # long, which is enough to recognise it.
    dedupe_ms: int = field(init=False)

    def __post_init__(self) -> None:
        dedupe_ms = int(self.dedupe_h * HOUR_MS)
        if min(self.keep_messages_d, self.keep_failed_d) * DAY_MS >= self.dedupe_h * HOUR_MS:
            dedupe_ms = 0
        object.__setattr__(self, "dedupe_ms", dedupe_ms)

    @property
    def keep_failed_ms(self) -> int:
        """For how long a message that cannot be read is kept."""
        return int(self.keep_failed_d * DAY_MS)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that the settings give."""
        return cls(
            dedupe_h=settings.dedupe_h,
            keep_failed_d=settings.keep_failed_d,
            keep_messages_d=settings.keep_messages_d,
            max_pending=settings.max_pending,
            accept_timeout_s=settings.accept_timeout_s,
        )


def spooled_message(
    account: str, message: Message, *, failed_entry: str | None = None
) -> SpooledMessage:
    """
    A message of an account, framed; one that cannot be read, packed and with a failed entry (JSON).
    """
    # No worker reads that one, and makes it small.
    packed_message = frame_message(message) if failed_entry is None else pack_message(message)
    return SpooledMessage(
        account=account,
        message_id=message.message_id,
        source=message.source,
        source_call_id=message.source_call_id,
        received_at=message.received_at,
        packed_message=packed_message,
        failed_entry=failed_entry,
    )


def small(message: SpooledMessage) -> SpooledMessage:
    """The same message made small, for a disk that has little room."""
    return replace(message, packed_message=make_small(message.packed_message))


def failed_entry(message: Message, *, cause: FailureCause, detail: str) -> str:
    """The entry under which a message that cannot be read is filed as failed (JSON)."""
    return to_text(
        Failed(
            entry_id=message.message_id,
            kind="message",
            source=message.source,
            source_call_id=message.source_call_id,
            cause=cause,
            detail=detail,
            failed_at=message.received_at,
            message_ids=(message.message_id,),
        )
    )


def script_call(message: SpooledMessage, limits: InboxLimits) -> ScriptCall[AcceptResult]:
    """What gives a message to Redis, under the limits of now."""
    if message.failed_entry is not None or message.source_call_id is None:
        return accept_scripts.keep_failed(
            message_id=message.message_id,
            source=message.source,
            dedupe_ms=limits.dedupe_ms,
            keep_ms=limits.keep_failed_ms,
            entry=message.failed_entry or "",
            packed_message=message.packed_message,
        )
    return accept_scripts.accept(
        message_id=message.message_id,
        ref=ref_of(message.source, message.source_call_id),
        dedupe_ms=limits.dedupe_ms,
        max_pending=limits.max_pending,
        packed_message=message.packed_message,
    )
