"""
Traces to OpenTelemetry and errors to Sentry; both need packages that are optional.
"""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from service.settings.parts import SettingsPart
from service.settings.types import CredentialsUrl


def _check_headers(value: SecretStr) -> SecretStr:
    for pair in value.get_secret_value().split(","):
        name, equals, text = pair.partition("=")
        if not (equals and name.strip() and text.strip()):
            raise ValueError("must be like api-key=THEKEY, several separated by commas")
    return value


def _check_dsn(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in ("http", "https") or not (parts.username and parts.path.strip("/")):
        raise ValueError("must be like https://KEY@HOST/PROJECT, as Sentry shows it")
    return value


class ReportSettings(SettingsPart):
    """Where traces and errors go; the names are those that the field knows."""

    otel_exporter_otlp_endpoint: CredentialsUrl | None = Field(
        None,
        description=(
            "Collector of OpenTelemetry to which workers send traces by OTLP over HTTP, like "
            "http://127.0.0.1:4318; needs the extra `tracing`."
        ),
    )
    otel_exporter_otlp_headers: Annotated[SecretStr, AfterValidator(_check_headers)] | None = Field(
        None, description="Headers of these requests, like `api-key=THEKEY`, separated by commas."
    )
    otel_traces_sampler_arg: float = Field(
        1, ge=0, le=1, description="The part of calls that are traced: 1 for all, 0.1 for a tenth."
    )
    sentry_dsn: Annotated[SecretStr, AfterValidator(_check_dsn)] | None = Field(
        None,
        description=(
            "Project of Sentry to which bugs are reported, without any content; needs the extra "
            "`sentry`."
        ),
    )

    @property
    def otlp_headers(self) -> dict[str, str]:
        """The headers by name."""
        if self.otel_exporter_otlp_headers is None:
            return {}
        pairs = self.otel_exporter_otlp_headers.get_secret_value().split(",")
        return {
            name.strip(): text.strip() for name, _, text in (pair.partition("=") for pair in pairs)
        }
