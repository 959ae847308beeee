"""
A message as a row of a spool file, with a checksum over all that it holds.
"""

import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from service.spool.messages import SpooledMessage


def values_of(message: SpooledMessage) -> tuple[object, ...]:
    """The values of a message's row in the order of the table, without position and problem."""
    values = (
        message.account,
        message.message_id,
        message.source,
        message.source_call_id,
        int(message.received_at.timestamp() * 1000),
        message.packed_message,
        message.failed_entry,
    )
    return (*values, _checksum(values))


def message_of(values: Sequence[object]) -> SpooledMessage | None:
    """The message of a row, or None if it is not the one that was stored."""
    _, *fields, checksum, _ = values
    if _checksum(fields) != checksum:
        return None
    account, message_id, source, source_call_id, received_ms, packed_message, failed_entry = fields
    if not (isinstance(received_ms, int) and isinstance(packed_message, bytes)):
        return None
    return SpooledMessage(
        account=str(account),
        message_id=str(message_id),
        source=str(source),
        source_call_id=_text_or_none(source_call_id),
        received_at=datetime.fromtimestamp(received_ms / 1000, UTC),
        packed_message=packed_message,
        failed_entry=_text_or_none(failed_entry),
    )


def _text_or_none(value: object) -> str | None:
    if value is None:
        return None
    return str(value)


def _checksum(values: Iterable[object]) -> int:
    return zlib.crc32(b"\0".join(_bytes_of(value) for value in values))


def _bytes_of(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return repr(value).encode()
