"""
What the receiver has to know of an HTTP request before anything is believed: its headers, its body
within limits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass

from service.errors import PayloadTooLarge, ReadTimeout

Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[MutableMapping[str, object]]]
Headers = dict[str, tuple[str, ...]]


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
        # `isdigit` alone accepts digits of other scripts. Cut to 20 characters, since Python
        # refuses to read more than 4,300 digits.
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
                    # Counted while it arrives: a body in chunks announces no length, and an
                    # announced one may be wrong.
                    if total > limits.max_bytes:
                        raise PayloadTooLarge(f"more than {limits.max_bytes} bytes arrived")
                    parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError as err:
        raise ReadTimeout(f"{total} bytes arrived in {limits.timeout_s:g} s") from err
