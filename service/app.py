"""
The receiver as an ASGI application: its parts put together, opened and closed.
"""

import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route

from service import health
from service.admin import Admin
from service.clock import utc_now
from service.problems import Unexpected, handlers
from service.queue import Inbox, InboxLimits
from service.requests import BodyLimits, Publicity
from service.settings import Settings
from service.sources import SOURCES, Source
from service.store.connection import Store, open_store
from service.webhooks import Webhooks

GC_THRESHOLDS: Final = (50_000, 50, 100)

log = structlog.get_logger(__name__)


def create_app(
    settings: Settings,
    *,
    store: Store | None = None,
    inbox: Inbox | None = None,
    now: Callable[[], datetime] = utc_now,
    sources: Mapping[str, Source] = SOURCES,
) -> Starlette:
    """
    Put the receiver together.

    A store or an inbox that is not given is made here and closed when the application ends; Redis is connected on first use, so that a
    Redis that is away keeps `/readyz` from answering 200, not the receiver from starting.
    """
    used_store = store or open_store(settings, role="receiver")
    used_inbox = inbox or Inbox(used_store, InboxLimits.of(settings))
    secrets = {slug: settings.secrets_of(slug) for slug in sources}
    webhooks = Webhooks(
        sources=sources,
        secrets=secrets,
        inbox=used_inbox,
        publicity=Publicity.of(settings),
        limits=BodyLimits(max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s),
        now=now,
    )
    admin = Admin(
        links=used_store.links,
        slugs=tuple(sources),
        tokens=tuple(token.get_secret_value() for token in settings.admin_token),
        body_timeout_s=settings.body_timeout_s,
        redis_timeout_s=settings.accept_timeout_s,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        log.info(
            "service.started",
            sources=sorted(slug for slug in sources if secrets[slug]),
            public_url=settings.public_url,
            host=settings.host,
            port=settings.port,
        )
        _calm_gc()
        yield
        if inbox is None:
            await used_inbox.close()
        if store is None:
            await used_store.close()
        log.info("service.stopped")

    routes: list[Route | Mount] = [Route("/webhooks/{source}", webhooks), *health.routes(used_store), *admin.routes()]
    app = Starlette(routes=routes, middleware=[Middleware(Unexpected)], exception_handlers=handlers(), lifespan=lifespan)
    # A sender that follows a redirect comes back with GET and without its body.
    app.router.redirect_slashes = False
    return app


def _calm_gc() -> None:
    """Keep the collector away from what lives as long as the process; its long pauses would be those of every sender."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
