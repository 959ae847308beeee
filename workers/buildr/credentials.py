"""
Client credentials, and the one request that turns them into an access token.

Buildr's page: https://buildr.dev/introduction/authentication-machine. There is no refresh token:
the same credentials buy the next one.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

import httpx
import structlog

from service.errors import BuildrError, BuildrUnauthorized, BuildrUnavailable
from service.logs.events import LogEvent
from service.store.tokens import StoredToken
from workers.buildr.errors import rate_limited
from workers.http_client import PASSING, HttpAnswer, fetch, is_header_safe, open_http

# An hour is usual. Too long a guess is harmless: a token that has run out is refused with 401,
# which makes the next request get a new one.
ASSUMED_LIFE_S: Final = 3600.0
# A larger number is no life but a mistake, and `timedelta` would overflow with some of them.
LONGEST_LIFE_S: Final = 30 * 86_400.0

# Error codes of OAuth (RFC 6749, 5.2) -> what to do.
CURES: Final = {
    "invalid_client": "check BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET",
    "unauthorized_client": "check BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET",
    "invalid_scope": "check BUILDR_SCOPE",
}
UNKNOWN_CURE: Final = "check BUILDR_TOKEN_URL, BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET"
_OAUTH_ERROR: Final = re.compile(r"[a-z_]{1,40}")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a request for a token sends, and how many seconds it may take."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str
    timeout_s: float


async def request_token(
    credentials: Credentials,
    *,
    clock: Callable[[], datetime],
    transport: httpx.AsyncBaseTransport | None = None,
) -> StoredToken:
    """
    Request a token from Buildr.

    Without `expires_in` in the answer it counts as valid for an hour. Raises `BuildrUnauthorized`,
    `BuildrRateLimited` and `BuildrUnavailable`.
    """
    # Counted from before the request: a slow answer must not extend the life of a token.
    requested_at = clock()
    body = {
        "grant_type": "client_credentials",
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
        "scope": credentials.scope,
    }
    try:
        async with (
            asyncio.timeout(credentials.timeout_s),
            # A connection of its own for one request an hour: the token endpoint may be another
            # server than the API, and a kept connection would be closed by then.
            open_http(
                credentials.token_url, timeout_s=credentials.timeout_s, transport=transport
            ) as http,
        ):
            answer = await fetch(http, http.build_request("POST", credentials.token_url, json=body))
    except TimeoutError as err:
        raise BuildrUnavailable(
            f"no access token from Buildr within {credentials.timeout_s:g} s"
        ) from err
    if not answer.is_success:
        raise _refusal(answer, credentials, now=clock())
    access_token, life_s = _read(answer.parsed())
    log.info(LogEvent.BUILDR_TOKEN_REFRESHED, expires_in_s=life_s)
    return StoredToken(
        access_token=access_token,
        obtained_at=requested_at,
        expires_at=requested_at + timedelta(seconds=life_s),
    )


def _refusal(answer: HttpAnswer, credentials: Credentials, *, now: datetime) -> BuildrError:
    secrets = (credentials.client_secret,)
    status = answer.status_code
    text = answer.text(*secrets)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return rate_limited(answer, now=now, secrets=secrets)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        message = f"the token endpoint answered with a redirect ({status}): check BUILDR_TOKEN_URL"
        return BuildrUnavailable(message, status_code=status, answer=text)
    # About the moment. The rest of the 400s is about the credentials.
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in PASSING:
        return BuildrUnavailable(
            f"the token endpoint answered {status}", status_code=status, answer=text
        )
    oauth_error = _oauth_error(answer)
    cure = CURES.get(oauth_error, UNKNOWN_CURE)
    if status == HTTPStatus.UNAUTHORIZED:
        cure = CURES["invalid_client"]
    return BuildrUnauthorized(
        f"Buildr gives no access token ({oauth_error or status}): {cure}",
        status_code=status,
        answer=text,
    )


def _oauth_error(answer: HttpAnswer) -> str:
    """The `error` of an OAuth answer; empty if there is none that is safe to print."""
    try:
        parsed = answer.parsed()
    except BuildrUnavailable:
        return ""
    error = parsed.get("error") if isinstance(parsed, dict) else None
    # It is printed into a message for the operator: a wrong address may answer with anything.
    if isinstance(error, str) and _OAUTH_ERROR.fullmatch(error):
        return error
    return ""


def _read(parsed: object) -> tuple[str, float]:
    token = parsed.get("access_token") if isinstance(parsed, dict) else None
    # A token with a line break or a blank cannot be sent in a header.
    if not isinstance(parsed, dict) or not isinstance(token, str) or not is_header_safe(token):
        raise BuildrUnavailable(
            "the token endpoint answered without a usable access_token: check BUILDR_TOKEN_URL"
        )
    return token, _life_s(parsed.get("expires_in"))


def _life_s(expires_in: object) -> float:
    # `bool` is an `int` in Python: true would be a life of one second.
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float | str):
        return ASSUMED_LIFE_S
    try:
        life_s = float(expires_in)
    except (ValueError, OverflowError):
        return ASSUMED_LIFE_S
    if life_s <= 0:
        return ASSUMED_LIFE_S
    return min(life_s, LONGEST_LIFE_S)
