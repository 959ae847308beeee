"""
The accounts that one receiver process serves, each with its records, its inbox and its endpoints.
"""

from collections.abc import Mapping

from msgspec import Struct
from starlette.routing import Route

from service.receiver.admin_endpoint import AdminAccess
from service.receiver.admin_guard import AdminGuard
from service.receiver.contact_webhooks import ContactWebhooks
from service.receiver.expected_calls import ExpectedCallsEndpoint
from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.receiver.links import LinksEndpoint
from service.receiver.phone_book import PhoneBookEndpoint
from service.receiver.public_url import PublicUrlResolver
from service.receiver.refusals import Refusals
from service.receiver.webhook_checks import AccountReceiver
from service.settings import Settings
from service.sources import Source
from service.spool.files import MEGABYTE, SpoolLimits
from service.spool.spool import Spool
from service.store.connection import Store, open_store
from service.webhook_urls import admin_prefix


class SharedParts(Struct, frozen=True, kw_only=True):
    """
    What all accounts of a process share: the spool (None if it is off), and what is against senders
    without a secret.
    """

    public_url: PublicUrlResolver
    guard: AdminGuard
    refusals: Refusals
    spool: Spool | None

    @classmethod
    def of(cls, settings: Settings) -> "SharedParts":
        """What the settings of the default account say."""
        public_url = PublicUrlResolver.of(settings)
        guard = AdminGuard(trusted=public_url.trusted)
        # One spool for all accounts: it is the process's, as its disk is.
        spool = None
        if settings.spool_folder is not None:
            limits = SpoolLimits(max_bytes=settings.spool_max_mb * MEGABYTE)
            spool = Spool(settings.spool_folder, limits)
        return cls(public_url=public_url, guard=guard, refusals=Refusals(), spool=spool)


class ReceiverAccount(Struct, frozen=True, kw_only=True):
    """
    One account with records and an inbox of its own, so that a flood for it fills only its own
    limits.
    """

    settings: Settings
    store: Store
    inbox: Inbox
    shared: SharedParts

    @classmethod
    def open(
        cls,
        settings: Settings,
        shared: SharedParts,
        *,
        store: Store | None,
        inbox: Inbox | None,
    ) -> "ReceiverAccount":
        """Open what is not given; Redis is connected on first use."""
        store = store or open_store(settings, role="receiver")
        # An inbox of its own per account: its batches wait for Redis one after another, and a flood
        # of one account would make the others wait.
        inbox = inbox or Inbox(store, InboxLimits.of(settings), shared.spool)
        return cls(settings=settings, store=store, inbox=inbox, shared=shared)

    def enabled_sources(self, sources: Mapping[str, Source]) -> list[str]:
        """The sources that have a secret here, by slug."""
        return sorted(slug for slug in sources if self.settings.secrets_of(slug))

    def receiver(self, sources: Mapping[str, Source]) -> AccountReceiver:
        """What the webhook endpoint needs of this account."""
        return AccountReceiver(
            account=self.settings.account,
            path_account=self.settings.path_account,
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
            guard=self.shared.guard,
            refusals=self.shared.refusals,
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
