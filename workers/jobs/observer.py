"""
What is counted and traced of a job. Nothing of the job depends on it.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct, field

from service.store.delivery_record import DeliveryRecord
from service.store.figures import Tally
from service.store.messages import Message
from workers.buildr import RequestReport
from workers.calls.fold import Call
from workers.delivery.difference import OUTCOME_FIELD
from workers.jobs.job_run import JobRun

NO_ANSWER: Final = "none"


class CallTracing(Protocol):
    """Traces of the calls of one account: one for each call, from its messages to Buildr."""

    def job(self, ref: str) -> AbstractContextManager[None]:
        """The time of a job; what is traced meanwhile in the same task belongs to it."""

    def messages(self, ref: str, messages: Iterable[Message]) -> None:
        """Messages that a job has read: each from its receipt until it was in Redis."""

    def planned(self, record: DeliveryRecord) -> None:
        """What a job has decided."""

    def request(self, report: RequestReport) -> None:
        """A request to Buildr."""

    def delivered(self, record: DeliveryRecord, at: datetime) -> None:
        """The whole way of a call, once Buildr has confirmed its first outcome."""


class JobObserver(Struct, frozen=True, kw_only=True):
    """Counts, and traces where that is on."""

    tally: Tally = field(default_factory=Tally)
    tracing: CallTracing | None = None

    def job(self, ref: str) -> AbstractContextManager[None]:
        """Around a whole job."""
        if self.tracing is None:
            return nullcontext()
        return self.tracing.job(ref)

    def folded(self, run: JobRun, call: Call, messages: Iterable[Message], now: datetime) -> None:
        """A call's events, and the messages that this run has read."""
        if call.unknown_values and run.parsed.events:
            self.tally.note_values(call.source, call.unknown_values, now)
        if self.tracing is not None:
            self.tracing.messages(run.record.ref, messages)

    def request(self, report: RequestReport) -> None:
        """A request to Buildr, whoever asked for it."""
        label = NO_ANSWER
        if report.status_code is not None:
            label = f"{report.status_code // 100}xx"
        self.tally.note_time("buildr_request_seconds", label, report.seconds)
        if self.tracing is not None:
            self.tracing.request(report)

    def planned(self, record: DeliveryRecord) -> None:
        """What is to become of a call."""
        if self.tracing is not None:
            self.tracing.planned(record)

    def delivered(self, run: JobRun, record: DeliveryRecord, call: Call, now: datetime) -> None:
        """A call that was delivered: its outcome, and the time that it took at first."""
        # By what was written and not by what was decided: a call that has settled, or waited, was
        # decided by an earlier job.
        is_new = record.written.get(OUTCOME_FIELD) != run.before.written.get(OUTCOME_FIELD)
        if record.outcome is not None and is_new:
            day = (record.first_received_at or now).date()
            self.tally.note_outcome(record.outcome, day)
        # A replay, and what is written once more, have waited for an operator or a new message.
        if run.before.written_at is not None or run.loaded.stored.replay_request is not None:
            return
        if record.last_received_at is not None:
            seconds = (now - record.last_received_at).total_seconds()
            self.tally.note_time("delivery_seconds", call.source, max(0.0, seconds))
        if self.tracing is not None:
            self.tracing.delivered(record, now)
