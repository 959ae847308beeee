"""
Compares one call of a vendor's log with what is stored, and says what is missing.

The comparison is made before anything is written, and by the worker's own fold: a call whose
webhooks show its end gets nothing.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from service.errors import IgnoredEvent, MalformedPayload
from service.events import CallEvent, EventType, Result
from service.settings import Settings
from service.sources import SOURCES
from service.sources.common.signatures import digest
from service.sources.request import CALL_LOG, WebhookRequest
from service.store.calls import LoadedCall
from service.store.connection import Store
from service.store.keys import ref_of
from service.store.messages import Message, message_id
from service.webhook_urls import webhook_path
from workers.backfill.types import CallLog, LoggedCall, LogMessage, Untold
from workers.calls.call_log import split_logged
from workers.calls.fold import Call, fold
from workers.jobs.parse_messages import parse_messages
from workers.matching.continued_calls import load_whole

# The webhooks of a call's end may be on their way.
FRESH: Final = timedelta(minutes=2)


class Verdict(StrEnum):
    """
    What is to be done about a call of the log. Codes do not change between versions; labels may.
    """

    KNOWN = "known"
    FILLED = "filled"
    MISSING = "missing"
    UNENDED = "unended"
    MORE = "more"
    IN_PROGRESS = "in_progress"
    INTERNAL = "internal"
    UNTOLD = "untold"
    LEFT_ALONE = "left_alone"

    @property
    def label(self) -> str:
        """The verdict in words."""
        return _LABELS[self]


_LABELS: Final = {
    Verdict.KNOWN: "known here",
    Verdict.FILLED: "fed in before",
    Verdict.MISSING: "missing here",
    Verdict.UNENDED: "never ended here",
    Verdict.MORE: "changed since",
    Verdict.IN_PROGRESS: "not over, or only just",
    Verdict.INTERNAL: "among ourselves",
    Verdict.UNTOLD: "not told by the log",
    Verdict.LEFT_ALONE: "left alone",
}
# With these something is written.
FEEDS: Final = frozenset({Verdict.MISSING, Verdict.UNENDED, Verdict.MORE})


class CallAssessment(Struct, frozen=True, kw_only=True):
    """
    A verdict on one call of the log.

    `log_result` is how it ended by the log alone, `stored_result` by what is stored; None where
    that does not show it. `messages` are what would be written, on the call as it was `loaded`.
    """

    ref: str
    verdict: Verdict
    started_at: datetime | None
    reason: str = ""
    log_result: Result | None = None
    stored_result: Result | None = None
    loaded: LoadedCall | None = None
    messages: tuple[Message, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """
        The assessment as plain JSON values.

        Keys: call, verdict (a code), label, started_at, reason, log_result, stored_result.
        """
        return {
            "call": self.ref,
            "verdict": self.verdict.value,
            "label": self.verdict.label,
            "started_at": self.started_at and self.started_at.isoformat(),
            "reason": self.reason,
            "log_result": self.log_result,
            "stored_result": self.stored_result,
        }


class _Stored(Struct, frozen=True, kw_only=True):
    """What is stored of a call, unread messages included."""

    loaded: LoadedCall
    events: frozenset[CallEvent] = frozenset()
    part_reason: str | None = None
    by_webhooks: Call | None = None
    call: Call | None = None

    @property
    def result(self) -> Result | None:
        """How the call ended, by all that is stored."""
        if self.call is None:
            return None
        return self.call.result


class Assessor(Struct, frozen=True, kw_only=True):
    """
    Assesses calls of one source; with `compares_all` the log's own result is read of calls that are
    known, too.
    """

    slug: str
    log: CallLog
    store: Store
    settings: Settings
    clock: Callable[[], datetime]
    compares_all: bool = False

    async def assess(self, logged: LoggedCall) -> CallAssessment:
        """The verdict on a call. Raises `UpkeepError` if more of it cannot be read."""
        ref = ref_of(self.slug, logged.source_call_id)
        first = CallAssessment(ref=ref, verdict=Verdict.KNOWN, started_at=logged.started_at)
        if logged.is_internal:
            return replace(first, verdict=Verdict.INTERNAL)
        ended_at = logged.ended_at
        # Its webhooks may still be on their way, and they say more than the log.
        is_fresh = ended_at is not None and ended_at > self.clock() - FRESH
        if not logged.is_over or is_fresh:
            return replace(first, verdict=Verdict.IN_PROGRESS)
        stored = await self._read_stored(ref)
        first = replace(first, loaded=stored.loaded, stored_result=stored.result)
        early = _without_log(first, stored)
        # Reading more of a call may cost a request of the vendor's budget.
        if early is not None and not self.compares_all:
            return early
        made = await self.log.messages(logged)
        if isinstance(made, Untold):
            return early or replace(first, verdict=Verdict.UNTOLD, reason=made.reason)
        return self._compare(first, stored, logged, made, early)

    async def again(self, assessment: CallAssessment) -> CallAssessment:
        """The same call after it has changed here; nothing is read from the vendor."""
        stored = await self._read_stored(assessment.ref)
        first = replace(assessment, loaded=stored.loaded, stored_result=stored.result)
        early = _without_log(first, stored)
        if early is not None:
            return early
        return _against(first, stored, assessment.messages, _events_of(assessment.messages))

    async def _read_stored(self, ref: str) -> _Stored:
        loaded = await self.store.calls.load(ref)
        # A message that no worker has read yet counts too: it may hold the call's end.
        unread = await self.store.messages.get_many(list(loaded.pending))
        parsed = parse_messages(list(unread.values()), clock=self.clock)
        by_message = {**loaded.stored.events, **parsed.events}
        events = frozenset(event for group in by_message.values() for event in group)
        if not events:
            return _Stored(loaded=loaded)
        whole = await load_whole(self.store, ref, events, is_registered=False)
        # What an earlier run has fed in must not count as reported by webhooks.
        reported, _ = split_logged(whole.events)
        by_webhooks = None
        if reported:
            by_webhooks = fold(reported)
        return _Stored(
            loaded=loaded,
            events=whole.events,
            part_reason=whole.part_reason,
            by_webhooks=by_webhooks,
            call=fold(whole.events),
        )

    def _compare(
        self,
        first: CallAssessment,
        stored: _Stored,
        logged: LoggedCall,
        made: Sequence[LogMessage],
        early: CallAssessment | None,
    ) -> CallAssessment:
        messages = tuple(self._message(logged, item) for item in made)
        try:
            events = _events_of(messages)
        except IgnoredEvent as err:
            return early or replace(first, verdict=Verdict.INTERNAL, reason=str(err))
        except MalformedPayload as err:
            return early or replace(first, verdict=Verdict.UNTOLD, reason=str(err))
        reason = _unusable(logged, events)
        if reason is not None:
            return early or replace(first, verdict=Verdict.UNTOLD, reason=reason)
        if early is not None:
            return replace(early, log_result=fold(events).result)
        return _against(first, stored, messages, events)

    def _message(self, logged: LoggedCall, made: LogMessage) -> Message:
        """A message that is the same whenever the log's record is."""
        now = self.clock()
        # With the body: a record that has changed since is a new message, an equal one a repeat.
        key = f"backfill:{made.record_id}:{digest(made.body)}"
        url = self.settings.base_url + webhook_path(self.slug, account=self.settings.path_account)
        headers = {
            "content-type": (made.content_type,),
            CALL_LOG: (now.isoformat(timespec="seconds"),),
        }
        return Message(
            message_id=message_id(self.slug, key),
            source=self.slug,
            source_call_id=logged.source_call_id,
            received_at=now,
            request=WebhookRequest(method="POST", url=url, headers=headers, body=made.body),
        )


def _without_log(first: CallAssessment, stored: _Stored) -> CallAssessment | None:
    """The verdict where what is stored decides by itself."""
    if stored.part_reason is not None:
        return replace(first, verdict=Verdict.KNOWN, reason=stored.part_reason)
    if stored.by_webhooks is not None and stored.by_webhooks.is_final:
        return replace(first, verdict=Verdict.KNOWN)
    # An operator has to decide about it first; more messages would not change that.
    record = stored.loaded.stored.record
    if record.is_parked:
        return replace(first, verdict=Verdict.LEFT_ALONE, reason=record.reason)
    return None


def _against(
    first: CallAssessment,
    stored: _Stored,
    messages: tuple[Message, ...],
    events: Sequence[CallEvent],
) -> CallAssessment:
    """The verdict on messages, by what they make together with what is stored."""
    first = replace(first, log_result=fold(events).result)
    known_ids = {*stored.loaded.stored.events, *stored.loaded.pending}
    if all(message.message_id in known_ids for message in messages):
        return replace(first, verdict=Verdict.FILLED)
    together = fold([*stored.events, *events])
    # Nothing is written that shows no end: it would only put off that the call counts as overdue.
    if not together.is_final:
        return replace(first, verdict=Verdict.UNTOLD, reason=together.basis.sentence)
    verdict = Verdict.MISSING
    if stored.call is not None:
        verdict = Verdict.UNENDED
        if stored.call.is_final:
            verdict = Verdict.MORE
    return replace(first, verdict=verdict, log_result=together.result, messages=messages)


def _events_of(messages: Sequence[Message]) -> list[CallEvent]:
    """The events of messages. Raises `IgnoredEvent` and `MalformedPayload`."""
    return [
        event
        for message in messages
        for event in SOURCES[message.source].read(message.request, message.message_id)
    ]


def _unusable(logged: LoggedCall, events: Sequence[CallEvent]) -> str | None:
    """Why nothing may be read from the events of a log, or None."""
    if not events:
        return "the log holds no step of the call"
    # Under another id it would be a second call in Buildr, beside that of the webhooks.
    if any(event.source_call_id != logged.source_call_id for event in events):
        return "the log names another call than its webhooks would"
    unknown = sorted(
        {event.vendor_status or "" for event in events if event.event_type is EventType.UNKNOWN}
    )
    if unknown:
        return f"the log has values that are not known: {', '.join(unknown)}"
    return None
