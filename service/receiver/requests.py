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
    How this service is reached from outside: a base URL that is set, else what trusted proxies
    report, else the request itself.
    """

    base_url: str | None
    trusted: tuple[Network, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        return cls(
            settings.public_url,
            tuple(ipaddress.ip_network(proxy, strict=False) for proxy in settings.trusted_proxies),
        )

    def url(self, scope: Mapping[str, object], headers: Mapping[str, tuple[str, ...]]) -> str:
        """
        The URL that the sender used, its path and query exactly as they were sent.

        Raises TypeError for a scope whose raw_path or query_string are no bytes, which no ASGI
        server makes.
        """
        path = scope.get("raw_path") or b""
        query = scope.get("query_string") or b""
        if not isinstance(path, bytes) or not isinstance(query, bytes):
            raise TypeError("an ASGI server gives raw_path and query_string as bytes")
        target = path.decode("latin-1")
        if query:
            target += "?" + query.decode("latin-1")
        return (self.base_url or self._origin(scope, headers)) + target

    def _origin(self, scope: Mapping[str, object], headers: Mapping[str, tuple[str, ...]]) -> str:
        scheme = str(scope.get("scheme", "http"))
        host = _last(headers.get("host", ()))
        if self._is_trusted(scope.get("client")):
            forwarded_scheme = _last(headers.get("x-forwarded-proto", ())).lower()
            if forwarded_scheme in SCHEMES:
                scheme = forwarded_scheme
            host = _last(headers.get("x-forwarded-host", ())) or host
        return f"{scheme}://{host}"

    def _is_trusted(self, client: object) -> bool:
        if not self.trusted or not isinstance(client, tuple | list) or not client:
            return False
        try:
            address = ipaddress.ip_address(str(client[0]))
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            # A dual-stack socket shows an IPv4 peer as ::ffff:10.0.0.1.
            address = address.ipv4_mapped
        return any(address in network for network in self.trusted)


def read_headers(scope: Mapping[str, object]) -> Headers:
    """The headers by lower-case name, every value of a repeated one in order."""
    pairs = scope.get("headers", ())
    headers: Headers = {}
    if not isinstance(pairs, Iterable):
        return headers
    for name, value in pairs:
        key = name.decode("latin-1").lower()
        headers[key] = (*headers.get(key, ()), value.decode("latin-1"))
    return headers


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
    if not values:
        return ""
    return values[-1].rpartition(",")[2].strip()
