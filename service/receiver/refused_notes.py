"""
Refused requests noted in Redis, for people who ask why nothing comes in: sampled and summed, so
that a flood of them costs as little as a few.
"""

import asyncio
import contextvars
import ipaddress
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import structlog
from msgspec import Struct, field
from msgspec.structs import replace
from starlette.types import ASGIApp, Receive, Scope, Send

from service.clock import utc_now
from service.logs.events import LogEvent
from service.receiver.client_address import UNKNOWN, client_address
from service.receiver.public_url import PublicUrlResolver
from service.receiver.requests import read_headers
from service.store.redis_trouble import REDIS_ERRORS
from service.store.refused import Refused, RefusedRequests

# What has been gathered is written this soon after the first of it, and then once a minute.
FIRST_S: Final = 1.0
# Kinds that are counted apart in a window; the rest is one kind.
MAX_KINDS: Final = 50
WINDOW_S: Final = 60.0
OTHER: Final = "other reasons"
HIDDEN: Final = "…"
# Parts of a path that are no secret, whatever they mean here.
PLAIN: Final = frozenset({"webhook", "webhooks", "hook", "hooks", "api", "calls", "callback", "t"})
MOST_PARTS: Final = 6
HOST: Final = re.compile(r"[a-z0-9.-]{1,100}(:[0-9]{1,5})?", re.ASCII)
IPV4_PREFIX: Final = 24
IPV6_PREFIX: Final = 48
_DIGITS: Final = re.compile(r"\d+")

Headers = Mapping[str, tuple[str, ...]]

log = structlog.get_logger(__name__)


class _Kind(Struct, frozen=True):
    account: str
    source: str
    path: str
    reason: str
    status_code: int | None


class RefusedNotes(Struct):
    """
    Gathers refused requests of one process. `records` are by the names of accounts; what names no
    account goes to the first one's. `sources` are the slugs of all sources.
    """

    records: Mapping[str, Refused]
    sources: frozenset[str]
    public_url: PublicUrlResolver
    now: Callable[[], datetime] = utc_now
    clock: Callable[[], float] = time.monotonic
    _gathered: dict[_Kind, RefusedRequests] = field(default_factory=dict)
    _kinds: set[_Kind] = field(default_factory=set)
    _ends_at: float = 0.0
    _timer: asyncio.TimerHandle | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def note(
        self,
        scope: Scope,
        *,
        account: str,
        source: str,
        reason: str,
        status_code: int | None,
    ) -> None:
        """Count one refused request. `account` and `source` are known names, or `unknown`."""
        if self.clock() >= self._ends_at:
            self._ends_at = self.clock() + WINDOW_S
            self._kinds.clear()
        kind = _Kind(
            account=account,
            source=source,
            path=self._masked_path(str(scope.get("path", ""))),
            reason=_DIGITS.sub("N", reason),
            status_code=status_code,
        )
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            kind = replace(kind, source=UNKNOWN, path=HIDDEN, reason=OTHER, status_code=None)
        self._kinds.add(kind)
        at = self.now()
        entry = self._gathered.get(kind)
        if entry is None:
            self._gathered[kind] = self._entry(kind, scope, at, reason)
        else:
            self._gathered[kind] = replace(entry, count=entry.count + 1, last_at=at)
        self._set_timer()

    async def close(self) -> None:
        """Write what has been gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await asyncio.gather(*self._tasks)
        await self._write()

    def not_found(self, scope: Scope) -> None:
        """Count a request to a path at which nothing is."""
        self.note(
            scope,
            account=UNKNOWN,
            source=UNKNOWN,
            reason="nothing is at this path",
            status_code=int(HTTPStatus.NOT_FOUND),
        )

    def _entry(self, kind: _Kind, scope: Scope, at: datetime, reason: str) -> RefusedRequests:
        headers = read_headers(scope)
        return RefusedRequests(
            first_at=at,
            last_at=at,
            count=1,
            source=kind.source,
            path=kind.path,
            # As it was of the first one: sizes and ages make no kind of their own.
            reason=reason if kind.reason != OTHER else OTHER,
            status_code=kind.status_code,
            network=_network(client_address(scope, headers, self.public_url.trusted)),
            hint=self._hint(kind, headers),
        )

    def _hint(self, kind: _Kind, headers: Headers) -> str:
        if kind.status_code == HTTPStatus.NOT_FOUND:
            for part in kind.path.split("/"):
                if part in self.sources and kind.path != f"/webhooks/{part}":
                    return f"the address of {part} is /webhooks/{part}"
            return ""
        if kind.status_code != HTTPStatus.UNAUTHORIZED or self.public_url.base_url is None:
            return ""
        public_host = urlsplit(self.public_url.base_url).netloc.lower()
        host = "".join(headers.get("host", ())[-1:]).lower()
        if host == public_host or not HOST.fullmatch(host):
            return ""
        return f"it was sent to {host}, and PUBLIC_URL is {self.public_url.base_url}"

    def _masked_path(self, path: str) -> str:
        """A path of which only known names are left: any other part may be a secret."""
        plain = PLAIN | self.sources | self.records.keys()
        parts = path.strip("/").split("/")[:MOST_PARTS]
        masked = (part if part.lower() in plain else HIDDEN for part in parts if part)
        return f"/{'/'.join(masked)}"

    def _set_timer(self) -> None:
        if self._timer is not None:
            return
        self._timer = asyncio.get_running_loop().call_later(
            FIRST_S, self._start_writing, context=contextvars.Context()
        )

    def _start_writing(self) -> None:
        # What comes until the end of the window is written then.
        self._timer = asyncio.get_running_loop().call_later(
            max(FIRST_S, self._ends_at - self.clock()),
            self._end_window,
            context=contextvars.Context(),
        )
        task = asyncio.ensure_future(self._write())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end_window(self) -> None:
        self._timer = None
        if self._gathered:
            self._start_writing()

    async def _write(self) -> None:
        gathered = self._gathered
        self._gathered = {}
        by_account: dict[str, list[RefusedRequests]] = {}
        for kind, entry in gathered.items():
            by_account.setdefault(kind.account, []).append(entry)
        for account, entries in by_account.items():
            records = self.records.get(account) or next(iter(self.records.values()))
            try:
                await records.add(entries)
            # They are in the log too, and a sender must not notice.
            except (*REDIS_ERRORS, OSError):
                log.warning(LogEvent.REFUSED_NOT_NOTED, count=len(entries))


def _network(address: str) -> str:
    """The network of a sender: enough to tell senders apart, too little to name one."""
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return UNKNOWN
    prefix = IPV4_PREFIX if isinstance(network, ipaddress.IPv4Network) else IPV6_PREFIX
    return str(network.supernet(new_prefix=prefix))


def noted_not_found(app: ASGIApp, notes: RefusedNotes) -> ASGIApp:
    """The application that answers where nothing is, and before that notes the request."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            notes.not_found(scope)
        await app(scope, receive, send)

    return answer
