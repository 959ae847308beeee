"""
One run of a job: the call as it was loaded, the messages parsed, and the updates made from both.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from msgspec import Struct, field
from msgspec.structs import replace

from service.errors import FailureCause
from service.events import CallEvent
from service.store.call_update import CallUpdate
from service.store.calls import LoadedCall
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from service.store.failed import Failed, to_text
from service.store.messages import Message
from workers.calls.fold import Call
from workers.delivery.failure_policy import Sent
from workers.jobs.parse_messages import ParsedMessages
from workers.jobs.planner import PlanResult
from workers.matching.continued_calls import WholeCall


class JobRun(Struct, frozen=True, kw_only=True):
    """
    What one run of a job has to work with.

    `record` is the stored one with the messages of this run received. `wakes` are the calls that
    take in the events of this one.
    """

    loaded: LoadedCall
    parsed: ParsedMessages = field(default_factory=ParsedMessages)
    # Not the stored one: the messages of this run are in it, so that a plan that waits or fails
    # keeps the times at which they were received.
    record: DeliveryRecord
    wakes: tuple[str, ...] = ()

    @property
    def before(self) -> DeliveryRecord:
        """The record as it was loaded."""
        return self.loaded.stored.record

    @property
    def events(self) -> frozenset[CallEvent]:
        """The events of all messages; one that was parsed again replaces its stored events."""
        # Whole messages are replaced and never single events. A newer version may parse a message
        # to other events than those stored, and both together would contradict each other.
        by_message = {**self.loaded.stored.events, **self.parsed.events}
        return frozenset(event for events in by_message.values() for event in events)

    def within(self, whole: WholeCall) -> Self:
        """
        The same run of a call that takes in others, or is taken in.

        What is received under another id counts as received for this call: until then it goes on,
        and it settles after that.
        """
        record = self.record
        if whole.last_received_at is not None and record.last_received_at is not None:
            last_received_at = max(record.last_received_at, whole.last_received_at)
            record = replace(record, last_received_at=last_received_at)
        return replace(self, record=record, wakes=whole.first_refs)

    def update(
        self,
        record: DeliveryRecord,
        due_at: datetime | None = None,
        *,
        result: PlanResult | None = None,
    ) -> CallUpdate:
        """The update that writes a record with everything that this run has parsed."""
        update = CallUpdate(
            record=record,
            version=self.loaded.stored.version,
            before=self.before,
            events=self.parsed.texts,
            # All that were pending, also the unreadable and the ignored: a message that stays
            # pending would run the call for ever. What arrives during the run is not among them and
            # stays.
            done=self.loaded.pending,
            framed=self.loaded.unread.framed,
            failed=self.parsed.failed,
            drop_failed=self._resolved_entries(record),
            wakes=self.wakes,
            due_at=due_at,
            replay_request_text=self.loaded.stored.replay_request_text,
        )
        if result is None:
            return update
        return replace(
            update,
            link_text=result.link_text or "",
            numbers=result.numbers,
            started_at=result.started_at,
            claimed=result.claimed,
        )

    def update_after_sending(self, sent: Sent, result: PlanResult) -> CallUpdate:
        """The update that writes what became of a write, after `update` was committed."""
        # Without `events`, `done` and `failed`: the commit before the request has written them.
        # Without `numbers` too, since only an unmatched call needs them and this one is matched.
        return CallUpdate(
            record=sent.record,
            # `update` was committed once in this run, and each commit counts one up. Another number
            # means that somebody else has written while the request was under way.
            version=self.loaded.stored.version + 1,
            before=sent.record,
            due_at=sent.due_at,
            link_text=result.link_text or "",
            claimed=result.claimed,
        )

    def with_failed_call(
        self, update: CallUpdate, call: Call, *, cause: FailureCause, at: datetime
    ) -> CallUpdate:
        """The update, with the call filed as failed."""
        record = update.record
        entry = Failed(
            entry_id=record.ref,
            kind="call",
            source=call.source,
            source_call_id=call.source_call_id,
            cause=cause,
            detail=record.reason,
            failed_at=at,
            # All messages of the call and not only the last ones: its replay parses all of them
            # anew.
            message_ids=tuple(sorted({*self.loaded.stored.events, *self.parsed.events})),
            buildr_call_id=record.buildr_call_id,
            attempts=record.attempts + record.not_taken,
            answers=record.answers,
        )
        return replace(update, failed={**update.failed, record.ref: to_text(entry)})

    def _resolved_entries(self, record: DeliveryRecord) -> tuple[str, ...]:
        """The failed entries to remove: of messages parsed now, and of a reopened call."""
        # A call that leaves `failed` would otherwise still be listed by `buildr-calls failed list`,
        # until an operator replays or discards what is delivered already.
        was_failed = self.before.state is DeliveryState.FAILED
        if was_failed and record.state is not DeliveryState.FAILED:
            return (*self.parsed.parsed_ids, record.ref)
        return self.parsed.parsed_ids


def begin_run(loaded: LoadedCall, messages: Sequence[Message], parsed: ParsedMessages) -> JobRun:
    """A run over a loaded call and its pending messages, whose parsed forms are `parsed`."""
    record = loaded.stored.record
    # Pending is the order in which Redis took the messages; several receivers may store them in
    # another order than they were received. The history is read from top to bottom.
    for message in sorted(messages, key=lambda message: message.received_at):
        events = parsed.events.get(message.message_id, ())
        statuses = [event.vendor_status or event.event_type.value for event in events]
        summary = ", ".join(statuses) or "not readable"
        read_at = message.request.call_log_read_at
        if read_at is not None:
            summary = f"from the vendor's call log, read at {read_at}: {summary}"
        # The receiver's clock decides nothing; but messages that are parsed again came long ago.
        counts_at = message.taken_at
        if loaded.stored.replay_request_text:
            counts_at = message.received_at
        record = record.received(
            message.received_at, message.message_id, summary, counts_at=counts_at
        )
    return JobRun(loaded=loaded, parsed=parsed, record=record)
