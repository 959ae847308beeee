"""
What the receiver has to know of an HTTP request before anything is believed: its headers, its body
within limits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Final

from msgspec import Struct

from service.errors import PayloadTooLarge, ReadTimeout

Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[MutableMapping[str, object]]]
Headers = dict[str, tuple[str, ...]]


# In the scope of a request that has arrived as a whole.
IS_COMPLETE: Final = "buildr_calls.is_complete"
SENDER_GONE: Final = "the sender closed the connection"


class SenderGone(Exception):
    """
    Raised when the sender closed the connection before its request was complete; there is nobody to
    answer.
    """


class BodyLimits(Struct, frozen=True):
    """How large a body may be, and how many seconds it may take to arrive."""

    max_bytes: int
    timeout_s: float


def read_headers(scope: Mapping[str, object]) -> Headers:
    """The headers by lower-case name, every value of a repeated one in order."""
    pairs = scope.get("headers", ())
    if not isinstance(pairs, Collection):
        return {}
    headers: Headers = {
        name.decode("latin-1").lower(): (value.decode("latin-1"),) for name, value in pairs
    }
    # In nearly all requests no header is repeated.
    if len(headers) == len(pairs):
        return headers
    headers = {}
    for name, value in pairs:
        key = name.decode("latin-1").lower()
        if key in headers:
            headers[key] = (*headers[key], value.decode("latin-1"))
        else:
            headers[key] = (value.decode("latin-1"),)
    return headers


def check_length(headers: Mapping[str, tuple[str, ...]], limits: BodyLimits) -> None:
    """Raises `PayloadTooLarge` if the request itself says that it is too large."""
    for length in headers.get("content-length", ()):
        # `isdigit` alone accepts digits of other scripts. Cut to 20 characters, since Python
        # refuses to read more than 4,300 digits.
        if length.isascii() and length.isdigit() and int(length[:20]) > limits.max_bytes:
            raise PayloadTooLarge(f"announced {length[:20]} bytes")


async def read_body(receive: Receive, limits: BodyLimits, *, is_complete: bool = False) -> bytes:
    """
    The whole body, never holding more than its limit.

    Raises `PayloadTooLarge`, `ReadTimeout` and `SenderGone`.
    """
    parts: list[bytes] = []
    # Nothing is waited for then, and a timeout costs more than the rest of this.
    if is_complete:
        return await _read_parts(receive, limits, parts)
    try:
        async with asyncio.timeout(limits.timeout_s):
            return await _read_parts(receive, limits, parts)
    except TimeoutError as err:
        total = sum(len(part) for part in parts)
        raise ReadTimeout(f"{total} bytes arrived in {limits.timeout_s:g} s") from err


async def _read_parts(receive: Receive, limits: BodyLimits, parts: list[bytes]) -> bytes:
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderGone(SENDER_GONE)
        part = message.get("body", b"")
        if isinstance(part, bytes) and part:
            total += len(part)
            # Counted while it arrives: a body in chunks announces no length, and an announced one
            # may be wrong.
            if total > limits.max_bytes:
                raise PayloadTooLarge(f"more than {limits.max_bytes} bytes arrived")
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
