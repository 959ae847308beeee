"""
What the receiver has to know of an HTTP request before anything is believed: its public URL, its
headers, its body within limits.

Works on the plain ASGI scope, so that path and query stay byte for byte what the sender signed.
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final, Self

from service.errors import PayloadTooLarge, ReadTimeout
from service.settings import Settings

Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[MutableMapping[str, object]]]
Headers = dict[str, tuple[str, ...]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SCHEMES: Final = frozenset({"http", "https"})


class SenderGone(Exception):
    """
    Raised when the sender closed the connection before its request was complete; there is nobody to
    answer.
    """


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How large a body may be, and how many seconds it may take to arrive."""

    max_bytes: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class PublicUrlResolver:
    """
    How this service is reached from outside: a base URL that is set, else what listed proxies say,
    else the request itself.
    """

    base_url: str | None
    trusted: tuple[Network, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        return cls(
            settings.public_url,
            tuple(ipaddress.ip_network(each, strict=False) for each in settings.trusted_proxies),
        )

    def url(self, scope: Mapping[str, object], headers: Mapping[str, tuple[str, ...]]) -> str:
        """The URL that the sender used, its path and query exactly as they were sent."""
        path, query = scope.get("raw_path") or b"", scope.get("query_string") or b""
        if not isinstance(path, bytes) or not isinstance(query, bytes):
            raise TypeError("an ASGI server gives raw_path and query_string as bytes")
        target = path.decode("latin-1") + ("?" + query.decode("latin-1") if query else "")
        return (self.base_url or self._origin(scope, headers)) + target

    def _origin(self, scope: Mapping[str, object], headers: Mapping[str, tuple[str, ...]]) -> str:
        scheme, host = str(scope.get("scheme", "http")), _last(headers.get("host", ()))
        if self._is_trusted(scope.get("client")):
            forwarded = _last(headers.get("x-forwarded-proto", ())).lower()
            scheme = forwarded if forwarded in SCHEMES else scheme
            host = _last(headers.get("x-forwarded-host", ())) or host
        return f"{scheme}://{host}"

    def _is_trusted(self, client: object) -> bool:
        if not self.trusted or not isinstance(client, tuple | list) or not client:
            return False
        try:
            address = ipaddress.ip_address(str(client[0]))
        except ValueError:
            return False
        # A dual-stack socket shows an IPv4 peer as ::ffff:10.0.0.1.
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self.trusted)


def read_headers(scope: Mapping[str, object]) -> Headers:
    """The headers by lower-case name, every value of a repeated one in order."""
    pairs = scope.get("headers", ())
    found: Headers = {}
    if not isinstance(pairs, Iterable):
        return found
    for name, value in pairs:
        key = name.decode("latin-1").lower()
        found[key] = (*found.get(key, ()), value.decode("latin-1"))
    return found


def check_length(headers: Mapping[str, tuple[str, ...]], limits: BodyLimits) -> None:
    """Raises `PayloadTooLarge` if the request itself says that it is too large."""
    for length in headers.get("content-length", ()):
        if length.isascii() and length.isdigit() and int(length[:20]) > limits.max_bytes:
            raise PayloadTooLarge(f"announced {length[:20]} bytes")


async def read_body(receive: Receive, limits: BodyLimits) -> bytes:
    """
    The whole body, never holding more than its limit.

    Raises `PayloadTooLarge`, `ReadTimeout` and `SenderGone`.
    """
    parts: list[bytes] = []
    total = 0
    try:
        async with asyncio.timeout(limits.timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise SenderGone("the sender closed the connection")
                part = message.get("body", b"")
                if isinstance(part, bytes) and part:
                    total += len(part)
                    if total > limits.max_bytes:
                        raise PayloadTooLarge(f"more than {limits.max_bytes} bytes arrived")
                    parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError as err:
        raise ReadTimeout(f"{total} bytes arrived in {limits.timeout_s:g} s") from err


def _last(values: tuple[str, ...]) -> str:
    """The value that the nearest proxy wrote: the last one of a list."""
    return values[-1].rpartition(",")[2].strip() if values else ""
