"""
What stands in for Buildr and for Redis where a test is about the client alone.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from service.store.tokens import StoredToken

START = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
TOKEN_URL = "https://buildr.test/oauth/token"
Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


@dataclass
class Clock:
    """A clock that is fixed until it is moved; to sleep moves it."""

    now: datetime = START
    slept_s: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        """The present."""
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        """Let time pass, and others run."""
        self.slept_s.append(seconds)
        self.forward(seconds)
        await asyncio.sleep(0)


@dataclass
class Server:
    """Answers requests in turn, the last answer for ever, and keeps them."""

    answers: list[Answer]
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    @property
    def transport(self) -> httpx.MockTransport:
        """The way to it."""
        return httpx.MockTransport(self)


@dataclass
class MemoryTokens:
    """The fleet's token in memory; `held_by_another` says that another process renews it."""

    token: StoredToken | None = None
    held_by_another: bool = False
    locks: list[float] = field(default_factory=list)
    is_locked: bool = False

    async def load(self) -> StoredToken | None:
        """The token."""
        await asyncio.sleep(0)
        return self.token

    async def save(self, token: StoredToken) -> None:
        """Keep it."""
        await asyncio.sleep(0)
        self.token = token

    async def drop(self, access_token: str) -> None:
        """Forget it."""
        if self.token is not None and self.token.access_token == access_token:
            self.token = None

    async def lock(self, ttl_s: float) -> bool:
        """Take the right to renew."""
        if self.is_locked or self.held_by_another:
            return False
        self.is_locked = True
        self.locks.append(ttl_s)
        return True

    async def unlock(self) -> None:
        """Give it back."""
        self.is_locked = False


def token(name: str, *, obtained_at: datetime = START, life_s: float = 3600) -> StoredToken:
    """A token of the fleet."""
    return StoredToken(
        access_token=name,
        obtained_at=obtained_at,
        expires_at=obtained_at + timedelta(seconds=life_s),
    )
