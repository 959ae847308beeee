"""
The client for Buildr's calls, call outcomes and contacts: one method call is one request.

It never retries, since every request costs budget; the caller holds one permit per request.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import httpx
from msgspec import Struct

from service.buildr_ids import MAX_DIGITS, is_buildr_id
from service.clock import utc_now
from service.errors import BuildrError, BuildrRejected, BuildrUnavailable
from service.settings import Settings
from workers.buildr.errors import refusal
from workers.buildr.models import (
    CallOutcome,
    UpdatedCall,
    read_call,
    read_contact,
    read_contacts,
    read_outcomes,
)
from workers.buildr.tokens import TokenProvider
from workers.http_client import HttpAnswer, fetch, open_http

# The most of https://buildr.dev/introduction/pagination: each page costs a request of the budget.
PER_PAGE: Final = 100
# For the list of outcomes, which is read beside the jobs: a request that has to wait for a
# connection loses the time of its permit.
SPARE_CONNECTIONS: Final = 2

Body = Mapping[str, Mapping[str, str]]


class RequestReport(Struct, frozen=True, kw_only=True):
    """
    One request to Buildr, its token included: when it began (UTC), how long it took, and the status
    of its answer, None without one.
    """

    method: str
    began_at: datetime
    seconds: float
    status_code: int | None


class RequestTooLate(Exception):
    """Raised instead of sending a request whose permit may have run out meanwhile."""


class BuildrClient:
    """
    Sends requests to Buildr; an async context manager.

    Each request, token included, takes at most `BUILDR_TIMEOUT_S` seconds in all. Every method
    raises the errors under `BuildrError` and those of the token store, never httpx's. A token that
    Buildr refuses is invalidated in `tokens` before `BuildrUnauthorized` is raised, so that the
    next request gets a new one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        tokens: TokenProvider,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], datetime] = utc_now,
        on_request: Callable[[RequestReport], None] | None = None,
    ) -> None:
        self._on_request: Final = on_request
        self._api: Final = settings.buildr_api_url
        self.timeout_s: Final = settings.buildr_timeout_s
        self._contacts_path: Final = settings.buildr_contacts_path
        self._contacts_key: Final = settings.buildr_contacts_key
        self._tokens: Final = tokens
        self._clock: Final = clock
        connections = settings.worker_jobs + SPARE_CONNECTIONS
        self._http: Final = open_http(
            self._api, timeout_s=self.timeout_s, connections=connections, transport=transport
        )

    async def update_call(
        self, buildr_call_id: str, body: Body, *, is_in_time: Callable[[], bool] | None = None
    ) -> UpdatedCall:
        """
        Change the fields that `body` names under `call`, and no others:
        https://buildr.dev/api-reference/call/update-call.

        `is_in_time` is asked right before the request; if it says no, nothing is sent and
        `RequestTooLate` is raised.
        """
        # Checked here once more: the id becomes a part of the path, and one with `/` or `..` would
        # be another address with our token.
        if not is_buildr_id(buildr_call_id):
            error = BuildrRejected(
                f"a Buildr call id is a text of at most {MAX_DIGITS} digits, "
                "as in Buildr's own URL of the call"
            )
            error.was_sent = False
            raise error
        url = f"{self._api}/calls/{buildr_call_id}"
        answer = await self._send("PATCH", url, body=body, is_in_time=is_in_time)
        return read_call(answer.parsed(), buildr_call_id)

    async def call_outcomes_page(
        self, url: str | None = None
    ) -> tuple[tuple[CallOutcome, ...], str | None]:
        """
        One page of the account's call outcomes, and the URL of the next page or None.

        Starts at the first page without `url`. Pages as in
        https://buildr.dev/introduction/pagination.
        """
        answer, following = await self._page(url, path="call_outcomes")
        return read_outcomes(answer.parsed()), following

    async def contacts_page(
        self, url: str | None = None
    ) -> tuple[tuple[Mapping[str, object], ...], str | None]:
        """
        The same of the account's contacts, as Buildr shows them.

        Their list is not documented: its path and key are settings.
        """
        answer, following = await self._page(url, path=self._contacts_path)
        return read_contacts(answer.parsed(), self._contacts_key), following

    async def contact(self, contact_id: str) -> Mapping[str, object]:
        """One contact, at the path of their list; not documented either."""
        url = f"{self._api}/{self._contacts_path}/{contact_id}"
        answer = await self._send("GET", url)
        return read_contact(answer.parsed())

    async def _page(self, url: str | None, *, path: str) -> tuple[HttpAnswer, str | None]:
        """A page of a list, the first one without `url`, and the URL of the next or None."""
        url = url or f"{self._api}/{path}?per_page={PER_PAGE}"
        self._check_origin(url)
        answer = await self._send("GET", url)
        following = _next_link(answer.headers, url)
        # Before the page is returned: the next request goes where the last answer has pointed, and
        # an answer of a wrong or taken-over server must not be able to choose who gets the token.
        if following is not None:
            self._check_origin(following)
        return answer, following

    async def close(self) -> None:
        """Close the connections; twice is harmless."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _send(
        self,
        method: str,
        url: str,
        *,
        body: Body | None = None,
        is_in_time: Callable[[], bool] | None = None,
    ) -> HttpAnswer:
        is_sent = False
        status_code = None
        began_at = self._clock()
        began_s = time.monotonic()
        try:
            # In all, token included. httpx's own timeouts are per phase, and a server that sends a
            # byte now and then would never run into one, while the permit expires.
            async with asyncio.timeout(self.timeout_s):
                token = await self._tokens.get()
                # The token may have taken long, or the whole machine may have been suspended.
                if is_in_time is not None and not is_in_time():
                    raise RequestTooLate
                is_sent = True
                answer = await fetch(self._http, self._request(method, url, token=token, body=body))
                status_code = answer.status_code
        except TimeoutError as err:
            error = BuildrUnavailable(f"no answer from Buildr within {self.timeout_s:g} s")
            error.was_sent = is_sent
            raise error from err
        except BuildrError as err:
            err.was_sent = err.was_sent and is_sent
            raise
        finally:
            if self._on_request is not None and is_sent:
                seconds = time.monotonic() - began_s
                report = RequestReport(
                    method=method, began_at=began_at, seconds=seconds, status_code=status_code
                )
                self._on_request(report)
        if answer.is_success:
            return answer
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            # This token and no other: many requests with it may come back at once, and the first
            # has perhaps a new one already. A 403 leaves the token, since a new one would have the
            # same rights.
            await self._tokens.invalidate(token)
        raise refusal(answer, now=self._clock(), secrets=(token,))

    def _request(self, method: str, url: str, *, token: str, body: Body | None) -> httpx.Request:
        headers = {"Authorization": f"Bearer {token}"}
        if body is None:
            return self._http.build_request(method, url, headers=headers)
        # Half a surrogate pair, which JSON allows, has no form in UTF-8.
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )
        return self._http.build_request(
            method, url, headers={**headers, "Content-Type": "application/json"}, content=content
        )

    def _check_origin(self, url: str) -> None:
        if _origin(httpx.URL(url)) != _origin(httpx.URL(self._api)):
            raise BuildrUnavailable(
                "Buildr's list goes on at another address, where the token must not go: "
                "check BUILDR_API_URL"
            )


def _origin(url: httpx.URL) -> tuple[str, str, int | None, bytes]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default, url.userinfo


def _next_link(headers: httpx.Headers, url: str) -> str | None:
    for link in httpx.Response(200, headers=headers).links.values():
        if "next" in link.get("rel", "").split() and link.get("url"):
            try:
                following = httpx.URL(url).join(link["url"])
            except httpx.InvalidURL as err:
                raise BuildrUnavailable("Buildr's list names a next page that is no URL") from err
            # A last page that names itself would be read until `MAX_PAGES`.
            return None if following == httpx.URL(url) else str(following)
    return None
