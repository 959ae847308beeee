"""
Access tokens: one that the operator set, or one that all workers share and renew early.

Not here: the request for a token; see `workers.buildr.credentials`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

import httpx
import structlog

from service.clock import utc_now
from service.errors import BuildrError, BuildrUnavailable, SettingsError
from service.logs.events import LogEvent
from service.settings import Settings
from service.store.tokens import StoredToken
from workers.buildr.credentials import Credentials, request_token
from workers.http_client import is_header_safe

# The later of this and the next: of a life of an hour five minutes are left, in which a token
# endpoint that is away costs nothing.
RENEW_AT_SHARE: Final = 0.8
RENEW_BEFORE_END_S: Final = 300.0
# For the way of a request and for clocks that differ.
SPARE_S: Final = 5.0
# Of a token that lives for seconds only, as in tests, `SPARE_S` would leave nothing.
SPARE_SHARE: Final = 0.05
# The other half is for the request that waits for this token.
EARLY_SHARE: Final = 0.5
POLL_S: Final = 0.1
# Without it, each request of the last minutes of a token would first wait for a renewal that fails.
PAUSE_AFTER_FAILURE_S: Final = 30.0
# Above the time of one request, so that the lock never expires while its holder still asks.
LOCK_MARGIN_S: Final = 5.0
ACCESS_TOKEN_HELP: Final = (
    "BUILDR_ACCESS_TOKEN: must be the token alone, without `Bearer`, blanks or line breaks"
)
NO_CREDENTIALS: Final = (
    "BUILDR_ACCESS_TOKEN, or BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET: one of them must be set"
)

log = structlog.get_logger(__name__)


class TokenProvider(Protocol):
    """Where the client gets its access token."""

    async def get(self) -> str:
        """A token to send now. Raises `BuildrError`, and whatever its store raises."""

    async def invalidate(self, token: str) -> None:
        """Stop using this token, which Buildr refused."""


class TokenStore(Protocol):
    """Where all workers keep their one token; `lock` lets one process at a time renew it."""

    async def load(self) -> StoredToken | None:
        """The token, or None."""

    async def save(self, token: StoredToken) -> None:
        """Keep a new token."""

    async def drop(self, access_token: str) -> None:
        """Forget this token, unless another has taken its place."""

    async def lock(self, ttl_s: float) -> bool:
        """Take the right to renew, for at most `ttl_s` seconds; False if somebody else has it."""

    async def unlock(self) -> None:
        """Release the right to renew."""


@dataclass(frozen=True, slots=True)
class ReadyToken:
    """A token that the operator made; it cannot be renewed here."""

    access_token: str = field(repr=False)

    async def get(self) -> str:
        """The token."""
        return self.access_token

    async def invalidate(self, token: str) -> None:
        """Nothing: only the operator has another."""


@dataclass(slots=True, kw_only=True)
class SharedToken:
    """
    One token for all workers.

    One process renews it before its end, while the others go on with the old one; only without a
    valid token a request waits, at most `max_wait_s` seconds. An early renewal that fails is no
    error as long as the old token is valid.
    """

    credentials: Credentials
    store: TokenStore
    transport: httpx.AsyncBaseTransport | None = None
    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    max_wait_s: float = 30.0
    # In memory, so that a request costs no read of Redis while its token is far from its end.
    _token: StoredToken | None = field(default=None, init=False, repr=False)
    _pause_until: datetime | None = field(default=None, init=False)

    async def get(self) -> str:
        """
        A token that is valid now.

        Raises `BuildrUnauthorized` if the credentials are refused, `BuildrUnavailable` or
        `BuildrRateLimited` if none could be had.
        """
        token = self._token
        # Another process may have renewed it meanwhile.
        if token is None or self.clock() >= renew_at(token):
            token = self._token = await self.store.load()
        if token is not None and self.clock() < renew_at(token):
            return token.access_token
        if token is not None and is_valid(token, self.clock()):
            return (await self._renew_early(token)).access_token
        return (await self._wait_for_one()).access_token

    async def invalidate(self, token: str) -> None:
        """
        Forget a token that Buildr refused, here and in the store, unless it has been replaced.
        """
        if self._token is not None and self._token.access_token == token:
            self._token = None
        # Also in Redis: the other workers would go on with a token that Buildr refuses, each until
        # its own 401.
        await self.store.drop(token)

    async def _renew_early(self, token: StoredToken) -> StoredToken:
        if self._pause_until is not None and self.clock() < self._pause_until:
            return token
        try:
            # The request that will be sent with it must have time left.
            async with asyncio.timeout(self.credentials.timeout_s * EARLY_SHARE):
                # None means that another process is renewing it just now: the old one is still
                # valid.
                return await self._renew() or token
        except BuildrError as err:
            log.warning(
                LogEvent.BUILDR_TOKEN_NOT_REFRESHED,
                reason=err.cause,
                status_code=err.status_code,
                error=str(err),
            )
        except TimeoutError:
            log.warning(
                LogEvent.BUILDR_TOKEN_NOT_REFRESHED,
                reason=BuildrUnavailable.cause,
                error="no answer in time",
            )
        self._pause_until = self.clock() + timedelta(seconds=PAUSE_AFTER_FAILURE_S)
        return token

    async def _wait_for_one(self) -> StoredToken:
        deadline = self.clock() + timedelta(seconds=self.max_wait_s)
        while True:
            # Without a token nothing can be sent. All processes ask for the lock in turn: if its
            # holder dies, the lock expires and another goes on.
            renewed = await self._renew()
            if renewed is not None:
                return renewed
            if self.clock() >= deadline:
                raise BuildrUnavailable(
                    f"another process has been renewing the access token for {self.max_wait_s:g} s"
                )
            await self.sleep(POLL_S)
            token = await self.store.load()
            if token is not None and is_valid(token, self.clock()):
                self._token = token
                return token

    async def _renew(self) -> StoredToken | None:
        """A new token, from here or another process; None while another process renews it."""
        if not await self.store.lock(self.credentials.timeout_s + LOCK_MARGIN_S):
            return None
        try:
            # Read once more under the lock: whoever had it before has usually just saved a new
            # token, and a second one would make Buildr issue one for each worker.
            current = await self.store.load()
            if current is None or self.clock() >= renew_at(current):
                current = await request_token(
                    self.credentials, clock=self.clock, transport=self.transport
                )
                await self.store.save(current)
            self._token = current
            self._pause_until = None
            return current
        finally:
            # Also after a failure, since the next process may be luckier. `unlock` removes only a
            # lock that is still ours.
            await self.store.unlock()


def token_provider(settings: Settings, store: TokenStore) -> TokenProvider:
    """
    The token that is set, else the shared one. Raises `SettingsError` if there are no usable
    credentials.
    """
    if settings.buildr_access_token is not None:
        token = settings.buildr_access_token.get_secret_value()
        # Found at the start, not with the first call. Pasted tokens often end in a line break.
        if not is_header_safe(token):
            raise SettingsError((ACCESS_TOKEN_HELP,))
        return ReadyToken(token)
    credentials = credentials_of(settings)
    if credentials is None:
        raise SettingsError((NO_CREDENTIALS,))
    return SharedToken(credentials=credentials, store=store)


def credentials_of(settings: Settings) -> Credentials | None:
    """What a token is asked for with; None where one is set, or where there is nothing."""
    if settings.buildr_access_token is not None:
        return None
    if settings.buildr_client_id is None or settings.buildr_client_secret is None:
        return None
    return Credentials(
        token_url=settings.buildr_token_url,
        client_id=settings.buildr_client_id,
        client_secret=settings.buildr_client_secret.get_secret_value(),
        scope=settings.buildr_scope,
        timeout_s=settings.buildr_timeout_s,
    )


def renew_at(token: StoredToken) -> datetime:
    """
    When to renew a token (UTC): after 80 % of its life, or 5 minutes before its end if that is
    later.
    """
    life = token.expires_at - token.obtained_at
    return max(
        token.obtained_at + life * RENEW_AT_SHARE,
        token.expires_at - timedelta(seconds=RENEW_BEFORE_END_S),
    )


def is_valid(token: StoredToken, now: datetime) -> bool:
    """
    Whether a request sent now still arrives with a valid token: a few seconds before its end it
    counts as over.
    """
    life = token.expires_at - token.obtained_at
    return now < token.expires_at - min(timedelta(seconds=SPARE_S), life * SPARE_SHARE)
