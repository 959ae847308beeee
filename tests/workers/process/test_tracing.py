"""
One trace for each call, from its webhooks to the PATCH.
"""

from collections.abc import Callable

import pytest
from msgspec.structs import force_setattr
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext
from structlog.testing import capture_logs

from service.errors import SettingsError
from service.settings import Installation, Settings
from service.store.connection import Store
from tests.doubles.hooks import hook_server
from tests.fundamentals.system import System, start_system
from workers.process.extras import open_tracing
from workers.process.tracing import ReportingExporter, Tracing

NUMBER = "+15005550001"


@pytest.fixture
def installation(make_installation: Callable[..., Installation], redis_url: str) -> Installation:
    """An installation over the test's Redis."""
    return make_installation(REDIS_URL=redis_url)


async def _traced(system: System, tracing: Tracing) -> None:
    """One call, whose worker traces."""
    force_setattr(system.observer, "tracing", tracing.of_account("default"))
    await system.receive_call(buildr_call_id="110")
    await system.run_worker()
    tracing.provider.force_flush()


async def test_a_call_is_one_trace(store: Store, installation: Installation) -> None:
    """Its messages, its job and the request to Buildr, below one root; no content."""
    exporter = InMemorySpanExporter()
    tracing = Tracing.to(exporter)
    async with start_system(store, installation) as system:
        await _traced(system, tracing)
    tracing.close()
    spans = exporter.get_finished_spans()
    assert ["Buildr PATCH", "call", "job", "webhook", "webhook", "webhook"] == sorted(
        span.name for span in spans
    )
    assert 1 == len({_context(span).trace_id for span in spans})
    by_name = {span.name: span for span in spans}
    root = _context(by_name["call"]).span_id
    assert by_name["call"].parent is None
    assert [root, root] == [_parent(by_name["webhook"]), _parent(by_name["job"])]
    assert _context(by_name["job"]).span_id == _parent(by_name["Buildr PATCH"])
    assert 200 == (by_name["Buildr PATCH"].attributes or {})["http.response.status_code"]
    assert "delivered" not in str(by_name["webhook"].attributes)
    assert "Connected" == (by_name["call"].attributes or {})["buildr_calls.outcome"]
    assert all((span.end_time or 0) >= (span.start_time or 0) for span in spans)
    assert NUMBER not in str([span.to_json() for span in spans])


async def test_every_process_finds_the_same_trace(store: Store, installation: Installation) -> None:
    """Another worker, at another time; another account has another one."""
    first = Tracing.to(InMemorySpanExporter())
    second = Tracing.to(InMemorySpanExporter())
    contexts = [
        tracing.of_account(account)._context("twilio:CA1")
        for tracing, account in ((first, "a"), (second, "a"), (second, "b"))
    ]
    assert contexts[0] == contexts[1]
    assert contexts[1].trace_id != contexts[2].trace_id
    first.close()
    second.close()


async def test_a_part_of_the_calls(store: Store, installation: Installation) -> None:
    """Of a call all spans are sent, or none."""
    exporter = InMemorySpanExporter()
    tracing = Tracing.to(exporter, part=0)
    async with start_system(store, installation) as system:
        await _traced(system, tracing)
    tracing.close()
    assert () == exporter.get_finished_spans()


async def test_traces_are_sent_over_http(
    store: Store, installation: Installation, make_settings: Callable[..., Settings]
) -> None:
    """To the collector's path, with the headers of the settings."""
    with hook_server() as hook:
        tracing = open_tracing(
            make_settings(
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{hook.port}",
                OTEL_EXPORTER_OTLP_HEADERS="api-key=fake-key, x-team=calls",
            )
        )
        assert tracing is not None
        async with start_system(store, installation) as system:
            await _traced(system, tracing)
        tracing.close()
    assert {"/v1/traces"} == set(hook.paths)
    request = ExportTraceServiceRequest.FromString(hook.bodies[0])
    resource = request.resource_spans[0].resource
    assert "buildr-calls" in [value.value.string_value for value in resource.attributes]


def test_a_collector_that_is_away_is_a_line_a_minute() -> None:
    """And of level warning: nothing of the service depends on it."""

    class Away(InMemorySpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            return SpanExportResult.FAILURE

    exporter = ReportingExporter(Away())
    with capture_logs() as lines:
        exporter.export([])
        exporter.export([])
    assert exporter.force_flush()
    exporter.shutdown()
    assert [("traces.not_sent", "warning")] == [
        (line["event"], line["log_level"]) for line in lines
    ]


def test_off_and_without_the_package(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off is nothing; a package that is missing is named at the start."""
    assert open_tracing(make_settings()) is None
    monkeypatch.setattr("service.error_reports.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"buildr-calls\[tracing\]"):
        open_tracing(make_settings(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318"))


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key", "must be like api-key=THEKEY"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318", "http"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "at most 1"),
        ("SENTRY_DSN", "https://sentry.example.com/1", "must be like https://KEY@HOST/PROJECT"),
    ],
)
def test_settings_that_are_wrong(
    make_settings: Callable[..., Settings], name: str, value: str, fault: str
) -> None:
    """Reported at the start."""
    with pytest.raises(SettingsError, match=fault):
        make_settings(**{name: value})


def _context(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def _parent(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id
