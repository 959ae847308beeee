"""
From pending messages to events: what a job reads before it decides anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from service.errors import FailureCause, IgnoredEvent, MalformedPayload
from service.events import CallEvent, EventType, to_json
from service.sources import SOURCES
from service.store.failed import Failed, to_text
from service.store.messages import Message

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    Events per message read now, the entries to file as failed, and what was left out on purpose,
    per source.
    """

    events: Mapping[str, tuple[CallEvent, ...]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    @property
    def texts(self) -> dict[str, str]:
        """The events as they are kept."""
        return {message_id: to_json(events) for message_id, events in self.events.items()}


def read(messages: Sequence[Message], *, clock: Callable[[], datetime]) -> Reading:
    """
    Parse messages; whatever one of them holds, the others are read.

    A word that no table knows is kept in the call and filed as failed, so that a person hears of it
    and a later version can read it.
    """
    events: dict[str, tuple[CallEvent, ...]] = {}
    failed: dict[str, str] = {}
    ignored: list[str] = []
    for message in messages:
        try:
            found = tuple(SOURCES[message.source].read(message.request, message.message_id))
        except IgnoredEvent:
            ignored.append(message.source)
            continue
        except (MalformedPayload, KeyError) as err:
            failed[message.message_id] = _entry(
                message, FailureCause.MALFORMED_PAYLOAD, str(err), clock()
            )
            continue
        except Exception as err:
            log.exception(
                "message.unreadable", message_id=message.message_id, source=message.source
            )
            failed[message.message_id] = _entry(
                message,
                FailureCause.INTERNAL_ERROR,
                f"{type(err).__name__}: this is a bug",
                clock(),
            )
            continue
        events[message.message_id] = found
        words = sorted(
            {event.vendor_status or "" for event in found if event.event_type is EventType.UNKNOWN}
        )
        if words:
            failed[message.message_id] = _entry(
                message,
                FailureCause.UNSUPPORTED_EVENT,
                f"unknown word: {', '.join(words)}",
                clock(),
            )
    return Reading(events=events, failed=failed, ignored=tuple(ignored))


def _entry(message: Message, cause: FailureCause, detail: str, at: datetime) -> str:
    log.warning(
        "message.kept",
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
