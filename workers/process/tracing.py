"""
Traces of OpenTelemetry: one for each call, from its webhooks to the PATCH.

The trace's id is derived from the account's and the call's name. So receiver, queue and workers
need to pass nothing on, every process finds the same trace, and nothing is stored. Imported only
where traces go somewhere: the packages are optional.

No span holds a telephone number, a name, a body or a secret.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from threading import Thread
from typing import Final

import structlog
from msgspec import Struct
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from service.clock import steady_s
from service.logs.events import LogEvent
from service.logs.masking import mask_text
from service.settings import Settings
from service.store.delivery_record import DeliveryRecord
from service.store.messages import Message
from workers.buildr import RequestReport
from workers.http_client import user_agent

NAME: Final = "buildr-calls"
SEND_TIMEOUT_S: Final = 10.0
# A process that ends waits so long for the collector.
CLOSE_TIMEOUT_S: Final = 2.0
REPORT_EVERY_S: Final = 60.0
NS: Final = 1_000_000_000

log = structlog.get_logger(__name__)


class DerivedIds(IdGenerator):
    """Random ids, but for the next span where its own are set."""

    def __init__(self) -> None:
        self._random: Final = RandomIdGenerator()
        self.trace_id: int | None = None
        self.span_id: int | None = None

    def generate_span_id(self) -> int:
        """The id of the next span."""
        return self.span_id or self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        """The id of the next trace."""
        return self.trace_id or self._random.generate_trace_id()


class ReportingExporter(SpanExporter):
    """Sends spans; what a collector does not take is a line a minute, and never more."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter: Final = exporter
        self._reported_at: float | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; called in a thread of the library."""
        result = self._exporter.export(spans)
        now = steady_s()
        is_due = self._reported_at is None or now - self._reported_at >= REPORT_EVERY_S
        if result is SpanExportResult.FAILURE and is_due:
            self._reported_at = now
            log.warning(LogEvent.TRACES_NOT_SENT, spans=len(spans))
        return result

    def shutdown(self) -> None:
        """Close its connections."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is queued."""
        return self._exporter.force_flush(timeout_millis)


class Tracing(Struct, frozen=True):
    """The traces of a process; `of_account` gives those of an account."""

    provider: TracerProvider
    ids: DerivedIds

    @classmethod
    def of(cls, settings: Settings) -> "Tracing":
        """Traces to the collector that the settings name."""
        # Its own lines are of level error while a collector is away.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        exporter = OTLPSpanExporter(
            endpoint=f"{settings.otel_exporter_otlp_endpoint}/v1/traces",
            headers=settings.otlp_headers,
            timeout=SEND_TIMEOUT_S,
        )
        return cls.to(exporter, part=settings.otel_traces_sampler_arg)

    @classmethod
    def to(cls, exporter: SpanExporter, *, part: float = 1) -> "Tracing":
        """Traces of a part of all calls to an exporter; by their ids, so that none is torn."""
        ids = DerivedIds()
        version = user_agent().partition("/")[2]
        provider = TracerProvider(
            sampler=TraceIdRatioBased(part),
            resource=Resource.create({"service.name": NAME, "service.version": version}),
            shutdown_on_exit=False,
            id_generator=ids,
        )
        provider.add_span_processor(BatchSpanProcessor(ReportingExporter(exporter)))
        return cls(provider, ids)

    def of_account(self, account: str) -> "AccountTracing":
        """The traces of an account."""
        return AccountTracing(account, self.provider.get_tracer(NAME), self.ids)

    def close(self) -> None:
        """Send what is queued, for at most `CLOSE_TIMEOUT_S`."""
        # A thread: a collector that hangs must not hold the end of the process.
        thread = Thread(target=self.provider.shutdown, daemon=True)
        thread.start()
        thread.join(CLOSE_TIMEOUT_S)


class AccountTracing(Struct, frozen=True):
    """The traces of one account's calls; see `CallTracing`."""

    account: str
    tracer: trace.Tracer
    ids: DerivedIds

    @contextmanager
    def job(self, ref: str) -> Iterator[None]:
        """The time of a job; its trace's id is in the log lines of it."""
        trace_id = self._context(ref).trace_id
        span = self.tracer.start_span(
            "job", context=self._parent(ref), kind=SpanKind.CONSUMER, attributes=self._facts(ref)
        )
        with (
            trace.use_span(span, end_on_exit=True, record_exception=False),
            structlog.contextvars.bound_contextvars(trace_id=f"{trace_id:032x}"),
        ):
            yield

    def messages(self, ref: str, messages: Iterable[Message]) -> None:
        """Each message from its receipt until it was in Redis."""
        for message in messages:
            name = "webhook"
            if message.request.call_log_read_at is not None:
                name = "call log"
            # By the clock of the receiver, and by that of Redis: the second may be behind.
            ended_at = max(message.received_at, message.taken_at or message.received_at)
            self._add(
                name,
                self._parent(ref),
                _Span(
                    began_at=message.received_at,
                    ended_at=ended_at,
                    kind=SpanKind.SERVER,
                    # Derived, so that a message that is read once more is the same span.
                    span_id=_number(f"{self.account}:{message.message_id}", 8),
                    facts={**self._facts(ref), "buildr_calls.message_id": message.message_id},
                ),
            )

    def planned(self, record: DeliveryRecord) -> None:
        """What a job has decided."""
        span = trace.get_current_span()
        span.set_attribute("buildr_calls.state", record.state.value)
        if record.result is not None:
            span.set_attribute("buildr_calls.result", record.result)

    def request(self, report: RequestReport) -> None:
        """A request to Buildr, within the job whose task it is in."""
        # Outside of a job, such as the list of outcomes: no call's.
        if not trace.get_current_span().get_span_context().is_valid:
            return
        facts: dict[str, str | int] = {"http.request.method": report.method}
        if report.status_code is not None:
            facts["http.response.status_code"] = int(report.status_code)
        ended_at = report.began_at + timedelta(seconds=report.seconds)
        self._add(
            f"Buildr {report.method}",
            None,
            _Span(began_at=report.began_at, ended_at=ended_at, kind=SpanKind.CLIENT, facts=facts),
        )

    def delivered(self, record: DeliveryRecord, at: datetime) -> None:
        """The root of the trace: from the first message to Buildr's confirmation."""
        root = self._context(record.ref)
        facts = {**self._facts(record.ref), "buildr_calls.outcome": record.outcome or ""}
        began_at = record.first_received_at or at
        self._add(
            "call",
            Context(),
            _Span(
                began_at=began_at,
                ended_at=max(at, began_at),
                kind=SpanKind.INTERNAL,
                trace_id=root.trace_id,
                span_id=root.span_id,
                facts=facts,
            ),
        )

    def _add(self, name: str, parent: Context | None, span: "_Span") -> None:
        """Add a span that is over. No other begins meanwhile: there is no await."""
        self.ids.trace_id = span.trace_id
        self.ids.span_id = span.span_id
        started = self.tracer.start_span(
            name,
            context=parent,
            kind=span.kind,
            attributes=span.facts,
            start_time=_nanoseconds(span.began_at),
        )
        self.ids.trace_id = None
        self.ids.span_id = None
        started.end(_nanoseconds(span.ended_at))

    def _context(self, ref: str) -> SpanContext:
        """The root of a call's trace, the same in every process and at any time."""
        name = f"{self.account}:{ref}"
        return SpanContext(
            trace_id=_number(name, 16),
            span_id=_number(f"root:{name}", 8),
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )

    def _parent(self, ref: str) -> Context:
        return trace.set_span_in_context(NonRecordingSpan(self._context(ref)), Context())

    def _facts(self, ref: str) -> Mapping[str, str]:
        return {
            "buildr_calls.account": self.account,
            "buildr_calls.source": ref.partition(":")[0],
            "buildr_calls.call": mask_text(ref),
        }


class _Span(Struct, frozen=True, kw_only=True):
    """A span that is over; without ids of its own it gets random ones."""

    began_at: datetime
    ended_at: datetime
    kind: SpanKind
    facts: Mapping[str, str | int]
    trace_id: int | None = None
    span_id: int | None = None


def _number(text: str, length: int) -> int:
    """A number of so many bytes, which is not 0: that is no id."""
    return int.from_bytes(sha256(text.encode()).digest()[:length], "big") or 1


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * NS)
