"""
Outgoing HTTP, to Buildr and to the APIs of telephony vendors: one user agent, strict limits, no
redirects.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Final
from urllib.parse import urlsplit

import httpx

from service.errors import BuildrUnavailable

DISTRIBUTION: Final = "buildr-calls"
# A host that does not answer at all is found before the whole time of a request is over.
CONNECT_TIMEOUT_S: Final = 5.0
# Many servers close an idle connection after 5 s. One that we close before is never closed by the
# server while a request is sent on it.
IDLE_S: Final = 4.0
# Far above any answer of Buildr or a vendor; it bounds what a wrong server can make us hold.
MAX_ANSWER_BYTES: Final = 1024 * 1024
# How much of an answer is kept for people, in characters.
ANSWER_LENGTH: Final = 2000
HIDDEN: Final = "[hidden]"
# Escaped or as bytes; whole pairs are found too.
HALF_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
# Errors before the first byte of a request has left.
NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
# Statuses among the 400s that are about the moment, not about the request.
PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})


def open_http(
    url: str,
    *,
    timeout_s: float,
    connections: int = 1,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """A client for the server of `url`; each phase of a request may take `timeout_s` seconds."""
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=IDLE_S
    )
    return httpx.AsyncClient(
        headers=_headers(),
        # Per phase of a request. The whole is bounded by the callers with `asyncio.timeout`.
        timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s)),
        limits=limits,
        transport=transport,
        # A redirect would send the body to an address that nobody has set; after a 302 httpx even
        # repeats a PATCH as GET, and the answer would look like a success.
        follow_redirects=False,
        # It would need the package `h2`, and a few requests a second gain nothing by it.
        http2=False,
        # A proxy set in the environment cannot reach this machine's loopback addresses.
        trust_env=not _is_local(url),
    )


def user_agent() -> str:
    """The `User-Agent` of this program: name and version."""
    try:
        return f"{DISTRIBUTION}/{version(DISTRIBUTION)}"
    except PackageNotFoundError:
        return f"{DISTRIBUTION}/unknown"


def is_header_safe(token: str) -> bool:
    """Whether a token can be sent in a header: visible ASCII only."""
    return token.isascii() and token.isprintable() and " " not in token and token != ""


def _headers() -> Mapping[str, str]:
    # Without compression an answer cannot grow beyond its limit while it is read.
    return {"User-Agent": user_agent(), "Accept": "application/json", "Accept-Encoding": "identity"}


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """
    A whole answer; `is_cut` if the body was longer than is read, or broke off after an error's
    status.
    """

    status_code: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)
    is_cut: bool = False

    @property
    def is_success(self) -> bool:
        """Whether the status is a 2xx."""
        return HTTPStatus.OK <= self.status_code < HTTPStatus.MULTIPLE_CHOICES

    def text(self, *secrets: str) -> str:
        """The beginning of the body for people, without the secrets that were sent."""
        text = self.body.decode("utf-8", "replace")
        # A server may repeat what it was sent, and this text is stored with the call and shown to
        # operators.
        for secret in secrets:
            text = text.replace(secret, HIDDEN)
        return text[:ANSWER_LENGTH]

    def parsed(self) -> object:
        """
        The body as JSON values, with U+FFFD for half a surrogate pair. Raises `BuildrUnavailable`
        if it is none.
        """
        if self.is_cut:
            raise BuildrUnavailable(
                f"the answer is longer than {MAX_ANSWER_BYTES} bytes", status_code=self.status_code
            )
        try:
            parsed: object = json.loads(self.body)
            # JSON allows half a pair, which UTF-8 cannot write: not to Redis, nor back to Buildr.
            if HALF_PAIR.search(self.body):
                text = json.dumps(parsed, ensure_ascii=False)
                parsed = json.loads(
                    text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
                )
        # Deeply nested brackets make `json` raise RecursionError instead of ValueError.
        except (ValueError, RecursionError) as err:
            raise BuildrUnavailable(
                "the answer cannot be read as JSON", status_code=self.status_code
            ) from err
        return parsed


async def fetch(http: httpx.AsyncClient, request: httpx.Request) -> HttpAnswer:
    """
    Send a request and read its answer, at most `MAX_ANSWER_BYTES` of it. Raises `BuildrUnavailable`
    if none came.
    """
    try:
        # As a stream: httpx would otherwise read the whole body before its size can be checked.
        response = await http.send(request, stream=True)
        try:
            body, is_cut = await _read(response)
        finally:
            await response.aclose()
    # The type of the error and not its text, which may hold a whole URL with its query.
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as err:
        error = BuildrUnavailable(f"no answer from {request.url.host} ({type(err).__name__})")
        error.was_sent = not isinstance(err, NEVER_SENT)
        raise error from err
    return HttpAnswer(
        status_code=response.status_code, headers=response.headers, body=body, is_cut=is_cut
    )


async def _read(response: httpx.Response) -> tuple[bytes, bool]:
    parts: list[bytes] = []
    total = 0
    try:
        async for part in response.aiter_bytes():
            total += len(part)
            parts.append(part)
            if total > MAX_ANSWER_BYTES:
                return b"".join(parts)[:MAX_ANSWER_BYTES], True
    except httpx.HTTPError:
        # The status of a refusal is enough; a success whose body is lost is no answer.
        if response.is_success:
            raise
        return b"".join(parts), True
    return b"".join(parts), False
