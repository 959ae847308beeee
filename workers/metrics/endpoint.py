"""
`/metrics` of the receiver: the facts that all processes share, read from Redis at each scrape.

So every process of an installation answers the same, and a scraper may ask any of them.
"""

import asyncio
import hashlib
import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Self

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from service.clock import utc_now
from service.errors import QueueUnavailable
from service.logs.events import LogEvent
from service.receiver.admin_guard import AdminGuard
from service.receiver.public_url import PublicUrlResolver
from service.receiver.requests import read_headers
from service.settings import Installation, Settings
from service.store.connection import Store, open_store
from service.store.redis_trouble import REDIS_ERRORS
from service.store.refused import MOST
from workers.delivery.intake_status import count_causes, read_sources, read_spool_depth
from workers.delivery.status import read_account_status
from workers.metrics.families import AccountFacts, metrics_of

PATH: Final = "/metrics"
# Below Prometheus's own timeout of 10 seconds.
READ_TIMEOUT_S: Final = 5.0
MAX_FAILED: Final = 1000
HOUR: Final = timedelta(hours=1)

log = structlog.get_logger(__name__)


# The registry keeps collectors by identity.
@dataclass(frozen=True, slots=True, eq=False)
class _Collected(Collector):
    """What one scrape has found."""

    metrics: Sequence[Metric]

    def collect(self) -> Sequence[Metric]:
        """The metrics, for the library's writer."""
        return self.metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The endpoint, with connections to Redis of its own; `tokens` are those of METRICS_TOKEN."""

    accounts: Sequence[tuple[Settings, Store]]
    tokens: Sequence[str]
    guard: AdminGuard
    # Two scrapers at once are no reason for twice the load.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def of(cls, installation: Installation) -> Self:
        """The endpoint of an installation; Redis is connected on first use."""
        settings = installation.default
        return cls(
            accounts=[
                (account, open_store(account, role="cli")) for account in installation.accounts
            ],
            tokens=[token.get_secret_value() for token in settings.metrics_token],
            guard=AdminGuard(trusted=PublicUrlResolver.of(settings).trusted),
        )

    def routes(self) -> list[BaseRoute]:
        """Its route."""
        return [Route(PATH, self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """`GET /metrics`."""
        self._check_token(request)
        async with self.lock:
            facts = await asyncio.gather(*(_read(*account) for account in self.accounts))
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(metrics_of(facts, version=_version())))
        return Response(
            generate_latest(registry),
            headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"},
        )

    async def close(self) -> None:
        """Close its connections."""
        for _, store in self.accounts:
            await store.close()

    def _check_token(self, request: Request) -> None:
        """Raises 401 without one of the tokens, 429 while the sender's address has to wait."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(token.strip().encode("latin-1")).digest()
        address = self.guard.address(request.scope, read_headers(request.scope))
        wait_s = self.guard.wait_s(address, digest)
        if wait_s > 0:
            headers = {"Retry-After": str(math.ceil(wait_s))}
            raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, "Wait.", headers=headers)
        # A list: a generator would stop at the first that fits, and show by its time which one.
        matches = [
            hmac.compare_digest(hashlib.sha256(valid_token.encode()).digest(), digest)
            for valid_token in self.tokens
        ]
        if scheme.lower() != "bearer" or not any(matches):
            self.guard.note_failure(address)
            log.warning(LogEvent.METRICS_REFUSED, client=address)
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED,
                "Send the header Authorization: Bearer, with METRICS_TOKEN.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        self.guard.note_success(address, digest)


async def _read(settings: Settings, store: Store) -> AccountFacts:
    now = utc_now()
    facts = AccountFacts(
        account=settings.account,
        at=now,
        spool=await asyncio.to_thread(read_spool_depth, settings, now),
    )
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            # First: the reads below would wait for their timeouts one after another.
            await store.ping()
            return AccountFacts(
                account=facts.account,
                at=facts.at,
                spool=facts.spool,
                status=await read_account_status(settings, store),
                sources=await read_sources(settings, store),
                causes=await count_causes(store, most=MAX_FAILED),
                refused=await store.refused.recent(since=now - HOUR, limit=MOST),
                histograms=await store.figures.histograms(),
            )
    except (QueueUnavailable, *REDIS_ERRORS):
        return facts


@cache
def _version() -> str:
    try:
        return version("buildr-calls")
    except PackageNotFoundError:
        return "unknown"
