"""
The receiver as an ASGI application: its parts put together, opened and closed.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from msgspec import Struct
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route
from starlette.types import Lifespan

from service.clock import utc_now
from service.collector import reduce_gc_pauses
from service.logs.events import LogEvent
from service.receiver import health
from service.receiver.accounts import ReceiverAccount, SharedParts
from service.receiver.answer_times import AnswerTimes
from service.receiver.direct_path import ReceiverApp
from service.receiver.direct_webhooks import DirectWebhooks
from service.receiver.durability import DurabilityWatch
from service.receiver.inbox import Inbox
from service.receiver.problems import ServerErrorMiddleware, handlers
from service.receiver.refused_notes import RefusedNotes, noted_not_found
from service.receiver.requests import BodyLimits
from service.receiver.webhooks import Webhooks
from service.settings import Installation
from service.sources import SOURCES, Source
from service.spool.spool import Spool
from service.store.connection import Store

# Each is served with a slash at its end too: some forms for addresses add one.
WEBHOOK_PATHS: Final = (
    "/webhooks/{source}",
    "/webhooks/{account}/{source}",
    "/webhooks/{source}/t/{token}",
    "/webhooks/{account}/{source}/t/{token}",
)

log = structlog.get_logger(__name__)


async def _nothing() -> None:
    """There is nothing to start, or to close."""


class Addition(Struct, frozen=True):
    """
    Routes beside the receiver's own, what starts their parts once the application runs, and what
    closes them when it ends. `side_routes` are served at `CONSOLE_PORT` alone.
    """

    routes: Sequence[BaseRoute] = ()
    close: Callable[[], Awaitable[None]] = _nothing
    start: Callable[[], Awaitable[None]] = _nothing
    side_routes: Sequence[BaseRoute] = ()


NOTHING: Final = Addition()


def create_app(
    installation: Installation,
    *,
    store: Store | None = None,
    inbox: Inbox | None = None,
    now: Callable[[], datetime] = utc_now,
    sources: Mapping[str, Source] = SOURCES,
    addition: Addition = NOTHING,
) -> Starlette:
    """
    Put the receiver together, for every active account of an installation.

    `store` and `inbox` are those of the default account. Whatever is not given is made here and
    closed when the application ends; Redis is connected on first use, so that a Redis that is away
    does not keep the receiver from starting. `app.state.begin_stop` is to be called as soon as the
    process is going to end, `app.state.begin_drain` before that where others are to take over.
    """
    sources = dict(sources)  # All are loaded: a request must not wait for an import.
    settings = installation.default
    shared = SharedParts.of(settings)
    accounts = _open_accounts(installation, shared, store=store, inbox=inbox)
    refused = _refused_notes(accounts, shared, sources)
    receivers = [account.receiver(sources) for account in accounts]
    stores_of_receivers = (account.store for account in accounts)
    answer_times = AnswerTimes(
        zip(stores_of_receivers, (receiver.tally for receiver in receivers), strict=True)
    )
    webhooks = Webhooks(
        sources=sources,
        accounts={receiver.path_account: receiver for receiver in receivers},
        public_url=shared.public_url,
        limits=BodyLimits(max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s),
        now=now,
        refusals=shared.refusals,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        _log_start(installation, accounts, sources)
        await _open(accounts, shared.spool)
        await addition.start()
        reduce_gc_pauses()
        # uvicorn accepts connections from here on, and returns here after the last request has been
        # answered, or its grace is over.
        async with DurabilityWatch(_one_for_each_redis(accounts)), answer_times:
            yield
        inboxes = [account.inbox for account in accounts if account.inbox is not inbox]
        stores = [account.store for account in accounts if account.store is not store]
        await refused.close()
        await _close(inboxes, shared.spool, stores)
        await addition.close()
        _log_stop(shared)

    draining = health.Draining()
    routes = [*_routes(webhooks, accounts, sources, shared.spool, draining), *addition.routes]
    app = _put_together(webhooks, routes, lifespan)
    app.router.default = noted_not_found(app.router.default, refused)
    app.state.begin_stop = partial(_begin_stop, accounts)
    app.state.begin_drain = draining.begin
    return app


def _refused_notes(
    accounts: Sequence[ReceiverAccount], shared: SharedParts, sources: Mapping[str, Source]
) -> RefusedNotes:
    """The notes of refused requests, of all accounts."""
    notes = RefusedNotes(
        records={account.settings.account: account.store.refused for account in accounts},
        sources=frozenset(sources),
        public_url=shared.public_url,
    )
    shared.refusals.notes = notes
    return notes


def _begin_stop(accounts: Sequence[ReceiverAccount]) -> None:
    for account in accounts:
        account.inbox.begin_stop()


def _put_together(
    webhooks: Webhooks, routes: Sequence[BaseRoute], lifespan: Lifespan[Starlette]
) -> ReceiverApp:
    app = ReceiverApp(
        routes=routes,
        # Starlette's own is still around it. It would answer in plain text, and raise once more for
        # the server to log, which is the same traceback twice.
        middleware=[Middleware(ServerErrorMiddleware)],
        exception_handlers=handlers(),
        lifespan=lifespan,
    )
    app.webhooks = ServerErrorMiddleware(webhooks)
    app.direct_webhooks = DirectWebhooks(webhooks)
    app.slugs = frozenset(webhooks.sources)
    # A sender that follows a redirect comes back with GET and without its body.
    app.router.redirect_slashes = False
    return app


def _open_accounts(
    installation: Installation, shared: SharedParts, *, store: Store | None, inbox: Inbox | None
) -> list[ReceiverAccount]:
    accounts = []
    for settings in installation.accounts:
        if settings is installation.default:
            accounts.append(ReceiverAccount.open(settings, shared, store=store, inbox=inbox))
        else:
            accounts.append(ReceiverAccount.open(settings, shared, store=None, inbox=None))
    return accounts


def _one_for_each_redis(accounts: Sequence[ReceiverAccount]) -> tuple[Store, ...]:
    """The store of one account for each Redis, the first one: by that `check` knows a receiver."""
    stores: dict[str, Store] = {}
    for account in accounts:
        stores.setdefault(account.settings.redis_dsn, account.store)
    return tuple(stores.values())


async def _open(accounts: Sequence[ReceiverAccount], spool: Spool | None) -> None:
    if spool is not None:
        await spool.open()
    for account in accounts:
        account.inbox.open()


async def _close(inboxes: Sequence[Inbox], spool: Spool | None, stores: Sequence[Store]) -> None:
    # Before the spool, which takes what they cannot write any more; and before the stores: a batch
    # that is under way ends with an error that its senders understand, not with a closed
    # connection.
    for inbox in inboxes:
        await inbox.close()
    if spool is not None:
        await spool.close()
    for store in stores:
        await store.close()


def _routes(
    webhooks: Webhooks,
    accounts: Sequence[ReceiverAccount],
    sources: Mapping[str, Source],
    spool: Spool | None,
    draining: health.Draining,
) -> list[Route]:
    readiness = health.Readiness(
        stores=_one_for_each_redis(accounts),
        inboxes=tuple(account.inbox for account in accounts),
        spool=spool,
        draining=draining,
    )
    return [
        *(route for account in accounts for route in account.contact_routes()),
        # Before the webhooks, since one of its paths looks like one of them.
        *health.routes(readiness),
        *(Route(path + slash, webhooks) for path in WEBHOOK_PATHS for slash in ("", "/")),
        *(route for account in accounts for route in account.admin_routes(sources)),
    ]


def _log_start(
    installation: Installation, accounts: Sequence[ReceiverAccount], sources: Mapping[str, Source]
) -> None:
    enabled = {account.settings.account: account.enabled_sources(sources) for account in accounts}
    details: dict[str, object] = {}
    if installation.others:
        details["accounts"] = enabled
    settings = installation.default
    log.info(
        LogEvent.SERVICE_STARTED,
        sources=sorted({slug for slugs in enabled.values() for slug in slugs}),
        **details,
        public_url=settings.public_url,
        host=settings.host,
        port=settings.port,
    )


def _log_stop(shared: SharedParts) -> None:
    shared.refusals.summarize()
    structlog.contextvars.clear_contextvars()
    log.info(LogEvent.SERVICE_STOPPED)
