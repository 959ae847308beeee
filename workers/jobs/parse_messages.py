"""
From pending messages to events: what a job parses before it decides anything.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import structlog
from msgspec import Struct, field
from msgspec.structs import replace

from service.errors import FailureCause, IgnoredEvent, MalformedPayload
from service.events import CallEvent, EventType, to_json
from service.logs.events import LogEvent
from service.sources import SOURCES
from service.store.failed import Failed, to_text
from service.store.messages import Message

log = structlog.get_logger(__name__)


class ParsedMessages(Struct, frozen=True, kw_only=True):
    """
    The events of the messages parsed in one run, by message id.

    `failed` are the failed entries to file (JSON by entry id), `ignored` the sources of messages
    that are known and not wanted.
    """

    events: Mapping[str, tuple[CallEvent, ...]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    @property
    def texts(self) -> dict[str, str]:
        """The stored form of the events, by message id."""
        return {message_id: to_json(events) for message_id, events in self.events.items()}

    @property
    def parsed_ids(self) -> tuple[str, ...]:
        """The messages of which everything was understood."""
        return tuple(message_id for message_id in self.events if message_id not in self.failed)

    def with_damaged(
        self, message_ids: Sequence[str], *, source: str, source_call_id: str, at: datetime
    ) -> "ParsedMessages":
        """The same, with messages of a call filed as failed whose stored form is damaged."""
        failed = dict(self.failed)
        for message_id in message_ids:
            entry = Failed(
                entry_id=message_id,
                kind="message",
                source=source,
                source_call_id=source_call_id,
                cause=FailureCause.DAMAGED_RECORD,
                detail="the stored message is damaged",
                failed_at=at,
                message_ids=(message_id,),
            )
            log.error(
                LogEvent.MESSAGE_KEPT, message_id=message_id, source=source, reason=entry.cause
            )
            failed[message_id] = to_text(entry)
        return replace(self, failed=failed)


class _Unparsable(Exception):
    """Raised for a message without events; the text is for the operator."""

    def __init__(self, cause: FailureCause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


def parse_messages(messages: Sequence[Message], *, clock: Callable[[], datetime]) -> ParsedMessages:
    """
    Parse messages; one that cannot be parsed is filed as failed, and the others are parsed.

    A message with a status that no vocabulary knows is both: its events are kept in the call, and
    it is filed, so that an operator learns of it and a later version can parse it.
    """
    events: dict[str, tuple[CallEvent, ...]] = {}
    failed: dict[str, str] = {}
    ignored: list[str] = []
    for message in messages:
        message_id = message.message_id
        try:
            events[message_id] = _parse(message)
        # Not filed as failed: these are messages that the vendor sends and nobody needs, such as
        # those about SMS. An operator sees them only as a counter in `buildr-calls status`.
        except IgnoredEvent:
            ignored.append(message.source)
        except _Unparsable as err:
            failed[message_id] = _failed_entry(message, err.cause, str(err), clock())
        else:
            statuses = _unknown_statuses(events[message_id])
            if statuses:
                detail = f"unknown word: {', '.join(statuses)}"
                failed[message_id] = _failed_entry(
                    message, FailureCause.UNSUPPORTED_EVENT, detail, clock()
                )
    return ParsedMessages(events=events, failed=failed, ignored=tuple(ignored))


def _parse(message: Message) -> tuple[CallEvent, ...]:
    """The events of a message. Raises `IgnoredEvent` and `_Unparsable`."""
    # A message may be older than this program, or newer: after a downgrade, messages of a source
    # that was added since are still in Redis. They become failed entries, which can be replayed
    # after the next upgrade.
    source = SOURCES.get(message.source)
    if source is None:
        detail = f"this version has no source named {message.source}"
        raise _Unparsable(FailureCause.MALFORMED_PAYLOAD, detail)
    try:
        return tuple(source.read(message.request, message.message_id))
    except IgnoredEvent:
        raise
    # The sender was authenticated and answered 2xx long ago, so nobody sends the message again.
    # Only the failed entry is left of it.
    except MalformedPayload as err:
        raise _Unparsable(FailureCause.MALFORMED_PAYLOAD, str(err)) from err
    except Exception as err:
        # A parser's bug, a KeyError too: the message is kept, and the job of its call goes on.
        log.exception(
            LogEvent.MESSAGE_UNREADABLE, message_id=message.message_id, source=message.source
        )
        raise _Unparsable(
            FailureCause.INTERNAL_ERROR, f"{type(err).__name__}: this is a bug"
        ) from err


def _unknown_statuses(events: tuple[CallEvent, ...]) -> list[str]:
    """The vendor's own names of what no vocabulary knows, sorted."""
    unknown = [event for event in events if event.event_type is EventType.UNKNOWN]
    return sorted({event.vendor_status or "" for event in unknown})


def _failed_entry(message: Message, cause: FailureCause, detail: str, at: datetime) -> str:
    log.warning(
        LogEvent.MESSAGE_KEPT,
        message_id=message.message_id,
        source=message.source,
        reason=cause,
        error=detail,
    )
    return to_text(
        Failed(
            entry_id=message.message_id,
            kind="message",
            source=message.source,
            source_call_id=message.source_call_id,
            cause=cause,
            detail=detail,
            failed_at=at,
            message_ids=(message.message_id,),
        )
    )
