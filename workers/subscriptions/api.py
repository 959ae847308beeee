"""
Requests to a vendor's API: strict limits, no redirects, and errors that say what to do without
repeating what a vendor wrote.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Self

import httpx

from service.errors import BuildrUnavailable
from workers.http_client import PASSING, HttpAnswer, fetch, is_header_safe, open_http
from workers.subscriptions.errors import (
    UpkeepError,
    VendorBusy,
    VendorRefuses,
    VendorRejected,
    VendorUnavailable,
)
from workers.subscriptions.transport import check_transport

# Nobody waits for it: the worker's own turn may take a minute, see `TURN_S`.
TIMEOUT_S: Final = 10.0
# At the vendors' page sizes, over a thousand subscriptions.
MOST_PAGES: Final = 40
# Of a number of seconds to wait: more digits are no time that somebody waits.
MOST_WAIT_DIGITS: Final = 5
# What a code may look like. A sentence of the vendor's could repeat a secret that was sent.
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")
# Only what is safe in a path.
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

Fields = Mapping[str, object]


@dataclass(slots=True, kw_only=True)
class Api:
    """
    One vendor's API at `url`; each request takes at most `timeout_s` seconds in all.

    `cure` says what to do when the credentials are refused, `missing_right` which right to give
    them where they are refused for what they ask, `hints` what a vendor's own error code means; a
    code that repeats what is `confidential` is none. Every request raises `UpkeepError`.
    """

    title: str
    url: str
    cure: str
    missing_right: str = "give them the right to manage webhooks"
    hints: Mapping[str, str] = field(default_factory=dict)
    confidential: frozenset[str] = field(default=frozenset(), repr=False)
    timeout_s: float = TIMEOUT_S
    transport: httpx.AsyncBaseTransport | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    _http: httpx.AsyncClient | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.url = self.url.rstrip("/")

    def use_password(self, user: str, password: str) -> None:
        """Prove each request with a user and a password (HTTP Basic)."""
        request = next(httpx.BasicAuth(user, password).auth_flow(httpx.Request("GET", "https://x")))
        self.headers["Authorization"] = request.headers["Authorization"]

    async def get(self, path: str, **params: str) -> Fields:
        """The object at a path."""
        return _as_object(self.title, await self._send("GET", self.url + path, params=params))

    async def send(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Fields:
        """
        Send a JSON object and give the one that is answered; an answer without a body is an empty
        one.
        """
        answer = await self._send(method, self.url + path, json=body)
        if not answer.body.strip():
            return {}
        return _as_object(self.title, answer)

    async def delete(self, path: str) -> None:
        """Delete what is at a path; it is no error if there is nothing."""
        try:
            await self._send("DELETE", self.url + path)
        except VendorRejected as err:
            if err.status_code not in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
                raise

    async def log_in(self, url: str, *, user: str, password: str, form: Mapping[str, str]) -> None:
        """
        Buy an access token with credentials, and use it from here on. Raises `VendorRefuses` for
        what will not pass.
        """
        try:
            answer = await self._send("POST", url, form=form, auth=httpx.BasicAuth(user, password))
        except VendorRejected as err:
            raise VendorRefuses(
                f"{self.title} gives no access token ({err.code or err.status_code}): {self.cure}"
            ) from err
        token = _as_object(self.title, answer).get("access_token")
        if not isinstance(token, str) or not is_header_safe(token):
            raise VendorUnavailable(f"{self.title} answered without a usable access token")
        self.headers["Authorization"] = f"Bearer {token}"

    async def close(self) -> None:
        """Close the connections; twice is harmless."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
        form: Mapping[str, str] | None = None,
        auth: httpx.BasicAuth | None = None,
    ) -> HttpAnswer:
        check_transport(self.title, url)
        if self._http is None:
            self._http = open_http(self.url, timeout_s=self.timeout_s, transport=self.transport)
        # A login carries the client's credentials and no token.
        headers = self.headers
        if auth is not None:
            headers = {}
        try:
            async with asyncio.timeout(self.timeout_s):
                request = self._http.build_request(
                    method, url, params=params or None, json=json, data=form, headers=headers
                )
                if auth is not None:
                    # `fetch` takes a request and no `auth`; a basic login is one header.
                    request = next(auth.auth_flow(request))
                answer = await fetch(self._http, request)
        except TimeoutError as err:
            raise VendorUnavailable(
                f"no answer from {self.title} within {self.timeout_s:g} s"
            ) from err
        except BuildrUnavailable as err:
            raise VendorUnavailable(f"{self.title}: {err}") from err
        if answer.is_success:
            return answer
        raise self._refusal(answer)

    def _refusal(self, answer: HttpAnswer) -> UpkeepError:
        status = answer.status_code
        code = _code_of(answer)
        if any(item in code for item in self.confidential):
            code = ""
        shown_status = f"{status} {code}".rstrip()
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return VendorBusy(
                f"{self.title} asks to wait (429)", retry_after_s=_retry_after_s(answer.headers)
            )
        if status == HTTPStatus.UNAUTHORIZED:
            return VendorRefuses(
                f"{self.title} refuses the credentials ({shown_status}): {self.cure}"
            )
        if status == HTTPStatus.FORBIDDEN:
            hint = self.hints.get(code, self.missing_right)
            return VendorRefuses(
                f"the credentials may not do this at {self.title} ({shown_status}): {hint}"
            )
        if (
            HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
            and status not in PASSING
        ):
            reason = f"{self.title} answered {shown_status}"
            if code in self.hints:
                reason += f": {self.hints[code]}"
            return VendorRejected(reason, status_code=status, code=code)
        return VendorUnavailable(f"{self.title} answered {status}")


def objects(title: str, fields: Fields, name: str, *, is_optional: bool = False) -> list[Fields]:
    """
    The objects of a list; where it `is_optional`, one that is not there is empty.

    Raises `VendorUnavailable` for anything else: a list that cannot be read is no empty one, or
    every turn would make another subscription.
    """
    values = fields.get(name)
    if values is None and is_optional:
        return []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise VendorUnavailable(f"{title} answered without a list of {name}")
    return values


async def every_page(
    title: str, read: Callable[[str], Awaitable[tuple[list[Fields], str]]]
) -> list[Fields]:
    """
    The objects of all pages; `read` gives those of one page, and what names the next one or an
    empty text.

    Raises `VendorUnavailable` if there is no end to them: whatever is missing would be made once
    more.
    """
    values: list[Fields] = []
    following = ""
    for _ in range(MOST_PAGES):
        page, following = await read(following)
        values += page
        if not following:
            return values
    raise VendorUnavailable(f"{title}'s list does not end after {MOST_PAGES} pages")


def child(fields: Fields, name: str) -> Fields:
    """An object inside another, or an empty one."""
    value = fields.get(name)
    if not isinstance(value, dict):
        return {}
    return value


def text(fields: Fields, name: str) -> str:
    """A text, or a whole number as a text; an empty one for anything else."""
    value = fields.get(name)
    if isinstance(value, str):
        return value
    # JSON's true and false are ints to Python.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""


def texts(fields: Fields, name: str) -> frozenset[str]:
    """The texts of a list; what is none is left out."""
    values = fields.get(name)
    if not isinstance(values, list):
        return frozenset()
    return frozenset(value for value in values if isinstance(value, str))


def id_of(title: str, fields: Fields, name: str) -> str:
    """
    The id of what was made, safe to stand in a path. Raises `VendorUnavailable` if the answer has
    none.
    """
    identifier = text(fields, name)
    if not _ID.fullmatch(identifier):
        raise VendorUnavailable(f"{title} answered without a usable {name}")
    return identifier


def has_id(title: str, fields: Fields, name: str, *, is_ours: bool) -> bool:
    """
    Whether an object has an id that can stand in a path. Raises `VendorUnavailable` if one of ours
    has none.
    """
    if is_ours:
        return bool(id_of(title, fields, name))
    return _ID.fullmatch(text(fields, name)) is not None


def _as_object(title: str, answer: HttpAnswer) -> Fields:
    try:
        parsed = answer.parsed()
    except BuildrUnavailable as err:
        raise VendorUnavailable(f"{title}: {err}") from err
    if not isinstance(parsed, dict):
        raise VendorUnavailable(f"{title}: the answer is no JSON object")
    return parsed


def _code_of(answer: HttpAnswer) -> str:
    """
    The vendor's own code of an error, if it looks like one: `errorCode`, `code`, or OAuth's
    `error`.
    """
    try:
        parsed = answer.parsed()
    except BuildrUnavailable:
        return ""
    if not isinstance(parsed, dict):
        return ""
    codes = (text(parsed, name) for name in ("errorCode", "code", "error"))
    return next((code for code in codes if _CODE.fullmatch(code)), "")


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long to wait, in seconds; None where no header says so in whole seconds."""
    value = headers.get("retry-after", "").strip()
    if not (value.isascii() and value.isdecimal() and len(value) <= MOST_WAIT_DIGITS):
        return None
    return float(value)
