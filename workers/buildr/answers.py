"""
One request to Buildr and what its answer means; httpx's errors end here.

Not decided here: whether and when to try again. The class of the error says that.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx

from service.errors import BuildrError, BuildrRateLimited, BuildrRejected, BuildrUnauthorized, BuildrUnavailable

MAX_ANSWER_BYTES: Final = 1024 * 1024
ANSWER_LENGTH: Final = 2000
HIDDEN: Final = "[hidden]"
# Answers in the 400s that speak of the moment, not of the request.
PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})
HINTS: Final[Mapping[int, str]] = {
    HTTPStatus.NOT_FOUND: "there is nothing at this address: no such call, or BUILDR_API_URL is wrong",
    HTTPStatus.GONE: "the call has been deleted",
    HTTPStatus.METHOD_NOT_ALLOWED: "check BUILDR_API_URL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A whole answer; `is_cut` if the body was longer than is read, or broke off after an error's status."""

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
        for secret in secrets:
            text = text.replace(secret, HIDDEN)
        return text[:ANSWER_LENGTH]

    def parsed(self) -> object:
        """The body as JSON values. Raises `BuildrUnavailable` if it is none."""
        if self.is_cut:
            raise BuildrUnavailable(f"the answer is longer than {MAX_ANSWER_BYTES} bytes", status_code=self.status_code)
        try:
            parsed: object = json.loads(self.body)
        except (ValueError, RecursionError) as err:
            raise BuildrUnavailable("the answer cannot be read as JSON", status_code=self.status_code) from err
        return parsed


async def fetch(http: httpx.AsyncClient, request: httpx.Request) -> HttpAnswer:
    """Send a request and read its answer, at most `MAX_ANSWER_BYTES` of it. Raises `BuildrUnavailable` if none came."""
    try:
        response = await http.send(request, stream=True)
        try:
            body, is_cut = await _read(response)
        finally:
            await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as err:
        raise BuildrUnavailable(f"no answer from {request.url.host} ({type(err).__name__})") from err
    return HttpAnswer(status_code=response.status_code, headers=response.headers, body=body, is_cut=is_cut)


def refusal(answer: HttpAnswer, *, now: datetime, secrets: tuple[str, ...] = ()) -> BuildrError:
    """
    The error that an answer other than 2xx stands for.

    403 counts as `BuildrUnauthorized`: credentials that lack a right are mended by a person, and then every call goes through. A redirect
    counts as `BuildrUnavailable`: the service is set to a wrong address, which says nothing about a call. The rest of the 400s is about the
    request itself and stops.
    """
    status, text = answer.status_code, answer.text(*secrets)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return rate_limited(answer, now=now, secrets=secrets)
    if status == HTTPStatus.UNAUTHORIZED:
        cure = "check BUILDR_ACCESS_TOKEN, or BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET"
        return BuildrUnauthorized(f"Buildr refuses the access token (401): {cure}", status_code=status, answer=text)
    if status == HTTPStatus.FORBIDDEN:
        cure = "give them the right to write calls, and check BUILDR_SCOPE"
        return BuildrUnauthorized(f"the credentials may not do this in Buildr (403): {cure}", status_code=status, answer=text)
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in PASSING:
        hint = HINTS.get(status)
        return BuildrRejected(f"Buildr answered {status}" + (f": {hint}" if hint else ""), status_code=status, answer=text)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return BuildrUnavailable(f"Buildr answered with a redirect ({status}): check BUILDR_API_URL", status_code=status, answer=text)
    return BuildrUnavailable(f"Buildr answered {status}", status_code=status, answer=text)


def rate_limited(answer: HttpAnswer, *, now: datetime, secrets: tuple[str, ...] = ()) -> BuildrRateLimited:
    """
    The error that a 429 stands for.

    Header and body as in https://buildr.dev/introduction/rate-limiting; the beta version's body also names the `bucket`.
    """
    wait_s = retry_after_s(answer.headers, now=now)
    said = "without saying for how long" if wait_s is None else f"for {wait_s:g} s"
    return BuildrRateLimited(
        f"Buildr asks to wait, {said} (429)", retry_after_s=wait_s, bucket=_bucket(answer), answer=answer.text(*secrets)
    )


def retry_after_s(headers: httpx.Headers, *, now: datetime) -> float | None:
    """Seconds to wait by `X-Rate-Limited-For`, else by `Retry-After` (seconds or a date), or None."""
    own = _seconds(headers.get("x-rate-limited-for"))
    if own is not None:
        return own
    standard = headers.get("retry-after")
    wait_s = _seconds(standard)
    if wait_s is not None:
        return wait_s
    until = _date(standard)
    if until is None:
        return None
    # The server's own clock, where it tells, since ours may differ.
    return max(0.0, (until - (_date(headers.get("date")) or now)).total_seconds())


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
        # The status of a refusal has arrived and says enough; a success whose body is lost is no answer.
        if response.is_success:
            raise
        return b"".join(parts), True
    return b"".join(parts), False


def _bucket(answer: HttpAnswer) -> str | None:
    try:
        parsed = answer.parsed()
    except BuildrUnavailable:
        return None
    bucket = parsed.get("bucket") if isinstance(parsed, dict) else None
    return bucket[:100] if isinstance(bucket, str) else None


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
