"""
The receiver as an ASGI application: its parts put together, opened and closed.
"""

import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route

from service.clock import utc_now
from service.receiver import health
from service.receiver.expected_calls import ExpectedCallsEndpoint
from service.receiver.inbox import Inbox, InboxLimits
from service.receiver.links import LinksEndpoint
from service.receiver.problems import ServerErrorMiddleware, handlers
from service.receiver.requests import BodyLimits, PublicUrlResolver
from service.receiver.webhooks import AccountReceiver, Webhooks
from service.settings import Settings
from service.sources import SOURCES, Source
from service.store.connection import Store, open_store

GC_THRESHOLDS: Final = (50_000, 50, 100)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """
    One account with records and an inbox of its own, so that a flood for it fills only its own
    limits.
    """

    settings: Settings
    store: Store
    inbox: Inbox

    @classmethod
    def open(cls, settings: Settings, *, store: Store | None, inbox: Inbox | None) -> "_Account":
        """Open what is not given; Redis is connected on first use."""
        used = store or open_store(settings, role="receiver")
        return cls(
            settings=settings, store=used, inbox=inbox or Inbox(used, InboxLimits.of(settings))
        )

    def on(self, sources: Mapping[str, Source]) -> list[str]:
        """The sources that have a secret here."""
        return sorted(slug for slug in sources if self.settings.secrets_of(slug))

    def intake(self, sources: Mapping[str, Source]) -> AccountReceiver:
        """Its way in: its own secrets, its own inbox."""
        secrets = {slug: self.settings.secrets_of(slug) for slug in sources}
        return AccountReceiver(
            account=self.settings.account,
            secrets=secrets,
            url_secrets=self.settings.url_secrets,
            inbox=self.inbox,
        )

    def links(self, sources: Mapping[str, Source]) -> list[Route]:
        """
        The routes of its links and its expected calls, below a path of its own and under a token of
        its own.
        """
        settings, prefix = self.settings, self.settings.links_prefix
        tokens = tuple(token.get_secret_value() for token in settings.admin_token)
        body_s, redis_s = settings.body_timeout_s, settings.accept_timeout_s
        admin = LinksEndpoint(
            account=settings.account,
            links=self.store.links,
            slugs=tuple(sources),
            tokens=tokens,
            body_timeout_s=body_s,
            redis_timeout_s=redis_s,
        )
        calls = ExpectedCallsEndpoint(
            account=settings.account,
            expected=self.store.expected,
            default_region=settings.default_region,
            tokens=tokens,
            body_timeout_s=body_s,
            redis_timeout_s=redis_s,
        )
        return [*admin.routes(prefix), *calls.routes(prefix)]


def create_app(
    settings: Settings,
    *,
    store: Store | None = None,
    inbox: Inbox | None = None,
    now: Callable[[], datetime] = utc_now,
    sources: Mapping[str, Source] = SOURCES,
) -> Starlette:
    """
    Put the receiver together, for every account that the settings hold.

    `store` and `inbox` are those of the default account. Whatever is not given is made here and
    closed when the application ends; Redis is connected on first use, so that a Redis that is away
    keeps `/readyz` from answering 200, not the receiver from starting.
    """
    accounts = [
        _Account.open(each, store=store, inbox=inbox)
        if each.is_default
        else _Account.open(each, store=None, inbox=None)
        for each in settings.every
    ]
    webhooks = Webhooks(
        sources=sources,
        accounts={
            None if each.settings.is_default else each.settings.account: each.intake(sources)
            for each in accounts
        },
        public_url=PublicUrlResolver.of(settings),
        limits=BodyLimits(max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s),
        now=now,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        on = {each.settings.account: each.on(sources) for each in accounts}
        log.info(
            "service.started",
            sources=sorted({slug for slugs in on.values() for slug in slugs}),
            **({"accounts": on} if settings.named else {}),
            public_url=settings.public_url,
            host=settings.host,
            port=settings.port,
        )
        _calm_gc()
        yield
        for each in accounts:
            if each.inbox is not inbox:
                await each.inbox.close()
            if each.store is not store:
                await each.store.close()
        structlog.contextvars.clear_contextvars()
        log.info("service.stopped")

    routes: list[Route | Mount] = [
        Route("/webhooks/{source}", webhooks),
        Route("/webhooks/{account}/{source}", webhooks),
        Route("/webhooks/{source}/t/{token}", webhooks),
        Route("/webhooks/{account}/{source}/t/{token}", webhooks),
        *health.routes(accounts[0].store),
        *(route for each in accounts for route in each.links(sources)),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(ServerErrorMiddleware)],
        exception_handlers=handlers(),
        lifespan=lifespan,
    )
    # A sender that follows a redirect comes back with GET and without its body.
    app.router.redirect_slashes = False
    return app


def _calm_gc() -> None:
    """
    Keep the collector away from what lives as long as the process; its long pauses would be those
    of every sender.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
