"""
Sending to one's own receiver what its signature says was sent to the public URL.
"""

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from service.settings import Settings
from service.sources import Incoming

ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 (compared with, not bound to)


def local_url(settings: Settings) -> str:
    """Where the receiver listens, as seen from this machine."""
    host = ANY_ADDRESS.get(settings.host, f"[{settings.host}]" if ":" in settings.host else settings.host)
    return f"http://{host}:{settings.port}"


def signed_url(settings: Settings) -> str:
    """What the URL of a request has to start with for its signature to be right: the public URL, else where it is sent to."""
    return settings.public_url or local_url(settings)


def local_path(settings: Settings, incoming: Incoming) -> str:
    """Path and query of a request as the receiver gets it: a proxy takes the prefix of the public URL away."""
    parts = urlsplit(incoming.url)
    prefix = urlsplit(settings.public_url or "").path
    return parts.path.removeprefix(prefix) + (f"?{parts.query}" if parts.query else "")


def to_account(incoming: Incoming, settings: Settings) -> Incoming:
    """A request for a source, sent to the account of the settings; one that names an account already stays as it is."""
    base, marker, rest = incoming.url.partition("/webhooks/")
    source = rest.partition("?")[0]
    if settings.is_default or not marker or "/" in source:
        return incoming
    return replace(incoming, url=base + settings.webhook_path(source) + rest.removeprefix(source))


def headers_of(incoming: Incoming) -> list[tuple[str, str]]:
    """The headers of a request, one pair for each value."""
    return [(name, value) for name, values in incoming.headers.items() for value in values]
