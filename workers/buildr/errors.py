"""
One request to Buildr and what its answer means; httpx's errors end here.

Not decided here: whether and when to try again. The class of the error says that.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx

from service.errors import (
    BuildrError,
    BuildrRateLimited,
    BuildrRejected,
    BuildrUnauthorized,
    BuildrUnavailable,
)
from workers.http_client import PASSING, HttpAnswer

# Statuses that are about an update without fields, not about the call: Buildr's reference does not
# say whether it accepts one.
EMPTY_UPDATE_REFUSED: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UNPROCESSABLE_ENTITY}
)
HINTS: Final[Mapping[int, str]] = {
    HTTPStatus.NOT_FOUND: (
        "there is nothing at this address: no such call, or BUILDR_API_URL is wrong"
    ),
    HTTPStatus.GONE: "the call has been deleted",
    HTTPStatus.METHOD_NOT_ALLOWED: "check BUILDR_API_URL",
}


def refusal(answer: HttpAnswer, *, now: datetime, secrets: tuple[str, ...] = ()) -> BuildrError:
    """
    The error that an answer other than 2xx stands for.

    403 counts as `BuildrUnauthorized`: an operator has to grant the missing right, and then
    every call goes through. A redirect counts as `BuildrUnavailable`: the service is set to a
    wrong address, which says nothing about a call. The rest of the 400s is about the request itself
    and stops.
    """
    status = answer.status_code
    text = answer.text(*secrets)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return rate_limited(answer, now=now, secrets=secrets)
    if status == HTTPStatus.UNAUTHORIZED:
        cure = "check BUILDR_ACCESS_TOKEN, or BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET"
        return BuildrUnauthorized(
            f"Buildr refuses the access token (401): {cure}", status_code=status, answer=text
        )
    if status == HTTPStatus.FORBIDDEN:
        cure = "give them the right to write calls, and check BUILDR_SCOPE"
        return BuildrUnauthorized(
            f"the credentials may not do this in Buildr (403): {cure}",
            status_code=status,
            answer=text,
        )
    if (
        HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        and status not in PASSING
    ):
        message = f"Buildr answered {status}"
        if status in HINTS:
            message = f"{message}: {HINTS[status]}"
        return BuildrRejected(message, status_code=status, answer=text)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return BuildrUnavailable(
            f"Buildr answered with a redirect ({status}): check BUILDR_API_URL",
            status_code=status,
            answer=text,
        )
    return BuildrUnavailable(f"Buildr answered {status}", status_code=status, answer=text)


def rate_limited(
    answer: HttpAnswer, *, now: datetime, secrets: tuple[str, ...] = ()
) -> BuildrRateLimited:
    """
    The error that a 429 stands for.

    Header and body as in https://buildr.dev/introduction/rate-limiting; the beta version's body
    also names the `bucket`.
    """
    wait_s = retry_after_s(answer.headers, now=now)
    wait = "without saying for how long" if wait_s is None else f"for {wait_s:g} s"
    return BuildrRateLimited(
        f"Buildr asks to wait, {wait} (429)",
        retry_after_s=wait_s,
        bucket=_bucket(answer),
        answer=answer.text(*secrets),
    )


def retry_after_s(headers: httpx.Headers, *, now: datetime) -> float | None:
    """
    Seconds to wait by `X-Rate-Limited-For`, else by `Retry-After` (seconds or a date), or None.
    """
    # Buildr's own header first: https://buildr.dev/introduction/rate-limiting.
    buildr_wait_s = _seconds(headers.get("x-rate-limited-for"))
    if buildr_wait_s is not None:
        return buildr_wait_s
    standard = headers.get("retry-after")
    wait_s = _seconds(standard)
    if wait_s is not None:
        return wait_s
    until = _date(standard)
    # None and not 0: the caller then waits for a growing time of its own.
    if until is None:
        return None
    # By the server's own clock where it sends one, since ours may differ.
    server_now = _date(headers.get("date")) or now
    return max(0.0, (until - server_now).total_seconds())


def _bucket(answer: HttpAnswer) -> str | None:
    try:
        parsed = answer.parsed()
    except BuildrUnavailable:
        return None
    bucket = parsed.get("bucket") if isinstance(parsed, dict) else None
    # It goes to the log, and is whatever the server has sent.
    return bucket[:100] if isinstance(bucket, str) else None


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    # `float` reads `nan` and `inf` too, which are no time to wait.
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return seconds


def _date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    # OverflowError: a zone of too many digits.
    except (ValueError, OverflowError):
        return None
    # `parsedate_to_datetime` gives a naive time for the zone `-0000`, which is UTC by RFC 5322.
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment
