"""
What a worker reports elsewhere, if the settings name where: nothing of it is imported otherwise.
"""

from typing import TYPE_CHECKING

from service.error_reports import require_extra
from service.settings import Settings

if TYPE_CHECKING:
    from workers.process.tracing import Tracing


def open_tracing(settings: Settings) -> "Tracing | None":
    """
    Traces to the collector of the settings; None without one. Raises `SettingsError` if the
    packages are not installed.
    """
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    for package in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        require_extra(package, setting="OTEL_EXPORTER_OTLP_ENDPOINT", extra="tracing")
    from workers.process.tracing import Tracing

    return Tracing.of(settings)
