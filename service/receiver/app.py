"""
The receiver as an ASGI application: its parts put together, opened and closed.
"""

import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from service.clock import utc_now
from service.logs.events import LogEvent
from service.receiver import health
from service.receiver.admin_endpoint import AdminAccess
from service.receiver.admin_guard import AdminGuard
from service.receiver.contact_webhooks import ContactWebhooks
from service.receiver.expected_calls import ExpectedCallsEndpoint
from service.receiver.inbox import Inbox, InboxLimits
from service.receiver.links import LinksEndpoint
from service.receiver.phone_book import PhoneBookEndpoint
from service.receiver.problems import ServerErrorMiddleware, handlers
from service.receiver.public_url import PublicUrlResolver
from service.receiver.refusals import Refusals
from service.receiver.requests import BodyLimits
from service.receiver.webhooks import AccountReceiver, Webhooks
from service.settings import Installation, Settings
from service.sources import SOURCES, Source
from service.store.connection import Store, open_store
from service.webhook_urls import admin_prefix

# Objects of requests die young: the youngest generation is collected rarely, the others hardly.
GC_THRESHOLDS: Final = (50_000, 50, 100)
# Each is served with a slash at its end too: some forms for addresses add one.
WEBHOOK_PATHS: Final = (
    "/webhooks/{source}",
    "/webhooks/{account}/{source}",
    "/webhooks/{source}/t/{token}",
    "/webhooks/{account}/{source}/t/{token}",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Defence:
    """What all accounts of a process share against senders without a secret."""

    public_url: PublicUrlResolver
    guard: AdminGuard
    refusals: Refusals

    @classmethod
    def of(cls, settings: Settings) -> "_Defence":
        """What the settings of the default account say."""
        public_url = PublicUrlResolver.of(settings)
        guard = AdminGuard(trusted=public_url.trusted)
        return cls(public_url=public_url, guard=guard, refusals=Refusals())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """
    One account with records and an inbox of its own, so that a flood for it fills only its own
    limits.
    """

    settings: Settings
    store: Store
    inbox: Inbox
    defence: "_Defence"

    @classmethod
    def open(
        cls, settings: Settings, defence: "_Defence", *, store: Store | None, inbox: Inbox | None
    ) -> "_Account":
        """Open what is not given; Redis is connected on first use."""
        store = store or open_store(settings, role="receiver")
        # An inbox of its own per account: its batches wait for Redis one after another, and a flood
        # of one account would make the others wait.
        inbox = inbox or Inbox(store, InboxLimits.of(settings))
        return cls(settings=settings, store=store, inbox=inbox, defence=defence)

    def enabled_sources(self, sources: Mapping[str, Source]) -> list[str]:
        """The sources that have a secret here, by slug."""
        return sorted(slug for slug in sources if self.settings.secrets_of(slug))

    def receiver(self, sources: Mapping[str, Source]) -> AccountReceiver:
        """What the webhook endpoint needs of this account."""
        return AccountReceiver(
            account=self.settings.account,
            # Taken once at the start: a message must not wait for settings to be read. A new secret
            # needs a restart, and several secrets at once make a rotation possible without a gap.
            secrets={slug: self.settings.secrets_of(slug) for slug in sources},
            url_secrets=self.settings.url_secrets,
            inbox=self.inbox,
        )

    @property
    def access(self) -> AdminAccess:
        """How its endpoints beside those of the sources are reached."""
        settings = self.settings
        return AdminAccess(
            account=settings.account,
            tokens=tuple(token.get_secret_value() for token in settings.admin_token),
            body_timeout_s=settings.body_timeout_s,
            redis_timeout_s=settings.accept_timeout_s,
            guard=self.defence.guard,
            refusals=self.defence.refusals,
        )

    def contact_routes(self) -> list[Route]:
        """The routes of Buildr's webhooks about contacts."""
        settings = self.settings
        return ContactWebhooks(
            access=self.access,
            queue=self.store.contact_queue,
            path_account=settings.path_account,
            url_secrets=settings.url_secrets,
        ).routes()

    def admin_routes(self, sources: Mapping[str, Source]) -> list[Route]:
        """
        The routes of its links, its expected calls and its phone book, under a path of its own and
        behind a token of its own.
        """
        settings = self.settings
        access = self.access
        links = LinksEndpoint(access=access, links=self.store.links, slugs=tuple(sources))
        expected_calls = ExpectedCallsEndpoint(
            access=access,
            expected=self.store.expected,
            default_region=settings.default_region,
        )
        phone_book = PhoneBookEndpoint(
            access=access,
            phone_book=self.store.phone_book,
            default_region=settings.default_region,
        )
        prefix = admin_prefix(settings.path_account)
        endpoints = (links, expected_calls, phone_book)
        return [route for endpoint in endpoints for route in endpoint.routes(prefix)]


def create_app(
    installation: Installation,
    *,
    store: Store | None = None,
    inbox: Inbox | None = None,
    now: Callable[[], datetime] = utc_now,
    sources: Mapping[str, Source] = SOURCES,
) -> Starlette:
    """
    Put the receiver together, for every active account of an installation.

    `store` and `inbox` are those of the default account. Whatever is not given is made here and
    closed when the application ends; Redis is connected on first use, so that a Redis that is away
    keeps `/readyz` from answering 200, not the receiver from starting.
    """
    settings = installation.default
    defence = _Defence.of(settings)
    accounts = _open_accounts(installation, defence, store=store, inbox=inbox)
    webhooks = Webhooks(
        sources=sources,
        accounts={account.settings.path_account: account.receiver(sources) for account in accounts},
        public_url=defence.public_url,
        limits=BodyLimits(max_bytes=settings.max_body_bytes, timeout_s=settings.body_timeout_s),
        now=now,
        refusals=defence.refusals,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        _log_start(installation, accounts, sources)
        _reduce_gc_pauses()
        # uvicorn accepts connections from here on, and returns here after the last request has been
        # answered, or its grace is over.
        yield
        for account in accounts:
            if account.inbox is not inbox:
                # Before the store: a batch that is under way ends with an error that its senders
                # understand, not with a closed connection.
                await account.inbox.close()
            if account.store is not store:
                await account.store.close()
        defence.refusals.summarize()
        structlog.contextvars.clear_contextvars()
        log.info(LogEvent.SERVICE_STOPPED)

    app = Starlette(
        routes=_routes(webhooks, accounts, sources),
        # Starlette's own is still around it. It would answer in plain text, and raise once more for
        # the server to log, which is the same traceback twice.
        middleware=[Middleware(ServerErrorMiddleware)],
        exception_handlers=handlers(),
        lifespan=lifespan,
    )
    # A sender that follows a redirect comes back with GET and without its body.
    app.router.redirect_slashes = False
    return app


def _open_accounts(
    installation: Installation, defence: _Defence, *, store: Store | None, inbox: Inbox | None
) -> list[_Account]:
    accounts = []
    for settings in installation.accounts:
        if settings is installation.default:
            accounts.append(_Account.open(settings, defence, store=store, inbox=inbox))
        else:
            accounts.append(_Account.open(settings, defence, store=None, inbox=None))
    return accounts


def _routes(
    webhooks: Webhooks, accounts: Sequence[_Account], sources: Mapping[str, Source]
) -> list[Route]:
    return [
        *(route for account in accounts for route in account.contact_routes()),
        *(Route(path + slash, webhooks) for path in WEBHOOK_PATHS for slash in ("", "/")),
        # One Redis holds all accounts, so that the connection of one shows whether it answers.
        *health.routes(accounts[0].store),
        *(route for account in accounts for route in account.admin_routes(sources)),
    ]


def _log_start(
    installation: Installation, accounts: Sequence[_Account], sources: Mapping[str, Source]
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


def _reduce_gc_pauses() -> None:
    """
    Keep the garbage collector away from what lives as long as the process; its long pauses would
    delay every sender.
    """
    # Once everything is loaded, and before the first request.
    gc.collect()
    # What lives now lives as long as the process: it is moved out of the collector's sight.
    # Measured, collections cost 25 to 30 ms at the 99th percentile of answers, and a third of that
    # since.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
