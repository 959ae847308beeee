"""
What is checked of a webhook, and what is made of it, without waiting for anything: the same steps
for every way that a request takes.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from msgspec import Struct, field
from starlette.types import Scope

from service.errors import InvalidSignature, MessageError, UnknownSource
from service.receiver.inbox import Inbox
from service.receiver.public_url import PublicUrlResolver
from service.receiver.request_checks import (
    METHOD,
    check_content,
    check_method,
    check_path_token,
    limits_of,
)
from service.receiver.requests import BodyLimits, check_length, read_headers
from service.sources.base import Source
from service.sources.common.signatures import digest
from service.sources.request import Reply, WebhookRequest
from service.sources.settings import Secrets
from service.store.figures import Tally
from service.store.messages import Message, message_id


class AccountReceiver(Struct, frozen=True, kw_only=True):
    """
    What one account receives with: the secrets of its sources by slug, its URL secrets (newest
    first), its inbox, and what its requests count. `path_account` is its name in addresses, None
    for the default account.

    A source without a secret is off.
    """

    account: str
    path_account: str | None = None
    secrets: Mapping[str, Secrets]
    url_secrets: tuple[str, ...] = ()
    inbox: Inbox
    tally: Tally = field(default_factory=Tally)


class Route(Struct, frozen=True, kw_only=True):
    """The account and the source that a request was sent to, and the limits of its body."""

    account: AccountReceiver
    source: Source
    secrets: Secrets
    limits: BodyLimits


class WebhookChecks(Struct, frozen=True, kw_only=True):
    """
    The checks of a webhook in their order: each is cheaper than the next, and none needs what a
    stranger must not reach.

    `accounts` are by the name in their path, None for the path without a name.
    """

    sources: Mapping[str, Source]
    accounts: Mapping[str | None, AccountReceiver]
    public_url: PublicUrlResolver
    limits: BodyLimits
    now: Callable[[], datetime]
    # Of addresses that are right, which are few: accounts, sources, and tokens of their secrets.
    _routes: dict[tuple[str | None, str, str | None], Route] = field(default_factory=dict)

    def check_head(self, scope: Scope, body: bytes = b"") -> tuple[Route, WebhookRequest]:
        """
        Where a request was sent to, and itself, with its body if that is here already. Raises
        `MessageError`.
        """
        headers = read_headers(scope)
        check_length(headers, self.limits)
        route = self._route(scope["path_params"])
        check_method(scope["method"])
        # The same object for nearly all sources.
        if route.limits is not self.limits:
            check_length(headers, route.limits)
        url = self.public_url.url(scope, headers)
        request = WebhookRequest(method=METHOD, url=url, headers=headers, body=body)
        check_content(route.source, request)
        route.source.check_headers(request, route.secrets)
        return route, request

    def authenticate(self, route: Route, request: WebhookRequest) -> Reply | None:
        """
        Verify a message: None once it is genuine, or the reply to a handshake. Raises
        `InvalidSignature`.
        """
        try:
            now = self.now()
            reply = route.source.handshake(request, route.secrets, now)
            if reply is None:
                route.source.verify(request, route.secrets, now)
        except InvalidSignature:
            raise
        except MessageError as err:
            # Not authenticated, so it must not be stored as an unreadable message would be.
            raise InvalidSignature(f"not proved: {err}") from err
        return reply

    def _route(self, path_params: Mapping[str, str]) -> Route:
        """Where a request was sent to. Raises `UnknownSource`."""
        account_name = path_params.get("account")
        slug = path_params["source"]
        token = path_params.get("token")
        route = self._routes.get((account_name, slug, token))
        if route is not None:
            return route
        account = self.accounts.get(account_name)
        if account is None:
            raise UnknownSource("no account is at this path")
        source = self.sources.get(slug)
        if source is None:
            raise UnknownSource("no such source")
        secrets = account.secrets.get(slug)
        if not secrets:
            raise UnknownSource("the source has no secret and is off")
        check_path_token(source, account.url_secrets, token, account=account.path_account)
        limits = limits_of(source, self.limits)
        route = Route(account=account, source=source, secrets=secrets, limits=limits)
        self._routes[account_name, slug, token] = route
        return route


def message_of_call(source: Source, request: WebhookRequest, received_at: datetime) -> Message:
    """
    The message that a storable request is. Raises `IgnoredEvent`, `MalformedPayload`, and what a
    bug raises.
    """
    keys = source.keys(request)
    return Message(
        message_id=message_id(source.slug, keys.message_key),
        source=source.slug,
        source_call_id=keys.source_call_id,
        received_at=received_at,
        request=request,
    )


def message_without_keys(source: Source, request: WebhookRequest, received_at: datetime) -> Message:
    """
    A message of no call, whose id is made from its body and URL, so that the same one sent twice is
    a duplicate.
    """
    body_key = digest(source.slug, request.body, request.url)
    return Message(
        message_id=message_id(source.slug, body_key),
        source=source.slug,
        source_call_id=None,
        received_at=received_at,
        request=request,
    )
