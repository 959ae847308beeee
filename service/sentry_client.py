"""
The client of Sentry, with everything left out that could hold content. Imported only where a DSN is
set: the package is optional.
"""

from collections.abc import Mapping, MutableMapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, cast

from sentry_sdk.client import Client
from sentry_sdk.types import Event
from sentry_sdk.utils import event_from_exception
from structlog.typing import ExcInfo

# A process that ends waits so long.
CLOSE_TIMEOUT_S: Final = 2.0
OURS: Final = ("service", "workers")
HIDDEN: Final = "[left out]"
# What is sent of an event and of a place in the code; everything else is dropped, also what a later
# version of the library may add.
EVENT_KEYS: Final = frozenset(
    {
        "environment",
        "event_id",
        "exception",
        "level",
        "platform",
        "release",
        "sdk",
        "tags",
        "timestamp",
    }
)
FRAME_KEYS: Final = frozenset(
    {
        "context_line",
        "filename",
        "function",
        "in_app",
        "lineno",
        "module",
        "post_context",
        "pre_context",
    }
)


class SentryClient:
    """Reports exceptions in the background; nothing of the library's own hooks is on."""

    def __init__(self, dsn: str) -> None:
        self._client: Final = Client(
            dsn=dsn,
            release=_release(),
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            include_local_variables=False,
            max_breadcrumbs=0,
            max_request_body_size="never",
            in_app_include=list(OURS),
            before_send=scrubbed,
            shutdown_timeout=CLOSE_TIMEOUT_S,
        )

    def capture(self, exc_info: ExcInfo, tags: MutableMapping[str, str]) -> None:
        """Queue a report."""
        event, hint = event_from_exception(exc_info, client_options=self._client.options)
        event["tags"] = dict(tags)
        event["level"] = "error"
        self._client.capture_event(event, hint)

    def close(self) -> None:
        """Send what is queued, for at most `CLOSE_TIMEOUT_S`."""
        self._client.close(timeout=CLOSE_TIMEOUT_S)


def scrubbed(event: Event, _: Mapping[str, Any]) -> Event:
    """The event with the keys that are known to hold no content."""
    plain = cast("dict[str, Any]", event)
    harmless = {key: value for key, value in plain.items() if key in EVENT_KEYS}
    # The text of an exception may quote a message; pydantic's does.
    harmless["exception"] = {
        "values": [
            {
                "type": value.get("type"),
                "module": value.get("module"),
                "value": HIDDEN,
                "stacktrace": {"frames": [*map(_frame, _frames(value))]},
            }
            for value in plain.get("exception", {}).get("values", ())
        ]
    }
    return cast("Event", harmless)


def _frames(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (value.get("stacktrace") or {}).get("frames") or []


def _frame(frame: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in frame.items() if key in FRAME_KEYS}


def _release() -> str:
    try:
        return f"buildr-calls@{version('buildr-calls')}"
    except PackageNotFoundError:
        return "buildr-calls@unknown"
