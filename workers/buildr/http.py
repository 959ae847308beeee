"""
How requests to Buildr, and to the APIs of telephony vendors, are made: one agent name, strict limits, no redirects.
"""

import ipaddress
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final
from urllib.parse import urlsplit

import httpx

DISTRIBUTION: Final = "buildr-calls"
CONNECT_TIMEOUT_S: Final = 5.0
# Many servers close an idle connection after 5 s; one that is let go before is never closed under a request.
IDLE_S: Final = 4.0


def open_http(url: str, *, timeout_s: float, connections: int = 1, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client for the server of `url`; each phase of a request may take `timeout_s` seconds."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=IDLE_S)
    return httpx.AsyncClient(
        headers=_headers(),
        timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
        limits=limits,
        transport=transport,
        follow_redirects=False,
        http2=False,
        # A proxy of the machine leads out of it; what runs beside us is not behind it.
        trust_env=not _is_local(url),
    )


def user_agent() -> str:
    """The name under which others see this program."""
    try:
        return f"{DISTRIBUTION}/{version(DISTRIBUTION)}"
    except PackageNotFoundError:
        return f"{DISTRIBUTION}/unknown"


def is_header_safe(token: str) -> bool:
    """Whether a token can stand in a header: visible ASCII, nothing else."""
    return token.isascii() and token.isprintable() and " " not in token and token != ""


def _headers() -> Mapping[str, str]:
    # Answers are small; one that cannot be compressed cannot grow while it is read.
    return {"User-Agent": user_agent(), "Accept": "application/json", "Accept-Encoding": "identity"}


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
