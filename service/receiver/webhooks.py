"""
The one endpoint of all sources and accounts: a message is authenticated, identified, stored, and
only then answered 2xx.

In this order: announced size, source, path token, method, announced size for this source, content
type, shape of the headers that prove, body within its limits, handshake, signature, keys, inbox.
Nothing of a message is stored or believed before its signature is verified. What is stored leaves
out the signature, every secret in address and body, and every header that parsing does not need.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import (
    FailureCause,
    IgnoredEvent,
    InvalidSignature,
    MalformedPayload,
    MessageError,
    Overloaded,
    QueueUnavailable,
    UnknownSource,
)
from service.logs.events import LogEvent
from service.receiver.handshake_notes import HandshakeNotes
from service.receiver.inbox import Inbox
from service.receiver.problems import CLOSING, problem_of, unavailable
from service.receiver.public_url import PublicUrlResolver
from service.receiver.refusals import Log, Refusals
from service.receiver.replies import response_to
from service.receiver.request_checks import (
    METHOD,
    check_content,
    check_method,
    check_path_token,
    limits_of,
)
from service.receiver.request_log import UNKNOWN, RequestLog, request_logger
from service.receiver.requests import (
    IS_COMPLETE,
    BodyLimits,
    SenderGone,
    check_length,
    read_body,
    read_headers,
)
from service.receiver.storable_request import storable_request
from service.sources.base import Source
from service.sources.common.signatures import digest
from service.sources.request import Reply, WebhookRequest
from service.sources.settings import Secrets
from service.store.messages import Message, message_id

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReceiver:
    """
    What one account receives with: the secrets of its sources by slug, its URL secrets (newest
    first), its inbox. `path_account` is its name in addresses, None for the default account.

    A source without a secret is off.
    """

    account: str
    path_account: str | None = None
    secrets: Mapping[str, Secrets]
    url_secrets: tuple[str, ...] = ()
    inbox: Inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """The account and the source that a request was sent to."""

    account: AccountReceiver
    source: Source
    secrets: Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """
    The endpoint, as an ASGI application under routes that name the source, and before it the
    account unless it is the default one.

    `accounts` are by the name in their path, None for the path without a name. An account that does
    not exist is answered like a source that does not exist, and so is a source that is off.
    """

    sources: Mapping[str, Source]
    accounts: Mapping[str | None, AccountReceiver]
    public_url: PublicUrlResolver
    limits: BodyLimits
    now: Callable[[], datetime]
    refusals: Refusals = field(default_factory=Refusals)
    handshake_notes: HandshakeNotes = field(default_factory=HandshakeNotes)
    log: Log = field(default_factory=request_logger)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one message, write its log line, and answer it."""
        request_log = self._begin_log(scope["path_params"])
        response = await self._answer(scope, receive, request_log)
        if response is None:
            request_log.write(scope, status_code=None)
        else:
            request_log.write(scope, status_code=response.status_code)
            await response(scope, receive, send)

    def _begin_log(self, path_params: Mapping[str, str]) -> RequestLog:
        # Only names that are known here: the path is the sender's, and a wrong address may have its
        # token where the account or the source should be.
        account = self.accounts.get(path_params.get("account"))
        account_name = UNKNOWN
        if account is not None:
            account_name = account.account
        source_name = UNKNOWN
        if path_params["source"] in self.sources:
            source_name = path_params["source"]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(account=account_name, source=source_name)
        return RequestLog(
            log=self.log, refusals=self.refusals, account=account_name, source=source_name
        )

    async def _answer(
        self, scope: Scope, receive: Receive, request_log: RequestLog
    ) -> Response | None:
        """The answer to a request, whatever happens to it; None if its sender has gone."""
        try:
            return await self._handle(scope, receive, request_log)
        except SenderGone as err:
            request_log.end(LogEvent.MESSAGE_REJECTED, reason=str(err))
            return None
        except MessageError as err:
            request_log.end(
                LogEvent.MESSAGE_REJECTED, level="warning", reason=str(err) or err.title
            )
            headers = self._challenge(err, scope["path_params"]["source"])
            if request_log.is_reading:
                # The rest of a body that is too large would only be read to be thrown away.
                headers |= CLOSING
            return problem_of(err, headers=headers)
        except QueueUnavailable as err:
            # A message that is refused here may be lost, depending on its vendor.
            level = "error"
            # Bodies that are too many may be a stranger's.
            if isinstance(err, Overloaded):
                level = "warning"
            request_log.end(LogEvent.MESSAGE_REJECTED, level=level, reason=str(err))
            return unavailable(err)

    async def _handle(self, scope: Scope, receive: Receive, request_log: RequestLog) -> Response:
        headers = read_headers(scope)
        # Each check is cheaper than the next, and none needs what a stranger must not reach.
        check_length(headers, self.limits)
        route = self._route(scope["path_params"])
        check_method(scope["method"])
        limits = limits_of(route.source, self.limits)
        check_length(headers, limits)
        url = self.public_url.url(scope, headers)
        request = WebhookRequest(method=METHOD, url=url, headers=headers)
        check_content(route.source, request)
        route.source.check_headers(request, route.secrets)
        request_log.is_reading = True
        body = await read_body(receive, limits, is_complete=IS_COMPLETE in scope)
        request_log.is_reading = False
        request_log.body_bytes = len(body)
        request = WebhookRequest(method=METHOD, url=url, headers=headers, body=body)
        handshake_reply = self._authenticate(route, request)
        # A challenge is answered with Redis away too: a vendor does not accept an address that
        # fails it.
        if handshake_reply is not None:
            slug = route.source.slug
            if self.handshake_notes.is_due(route.account.account, slug):
                await route.account.inbox.note_handshake(slug)
            request_log.end(LogEvent.MESSAGE_IGNORED, reason="handshake")
            return response_to(handshake_reply)
        await self._store(route, request, request_log)
        return response_to(route.source.reply(request))

    def _route(self, path_params: Mapping[str, str]) -> _Route:
        """Where a request was sent to. Raises `UnknownSource`."""
        account = self.accounts.get(path_params.get("account"))
        if account is None:
            raise UnknownSource("no account is at this path")
        slug = path_params["source"]
        source = self.sources.get(slug)
        if source is None:
            raise UnknownSource("no such source")
        secrets = account.secrets.get(slug)
        if not secrets:
            raise UnknownSource("the source has no secret and is off")
        token = path_params.get("token")
        check_path_token(source, account.url_secrets, token, account=account.path_account)
        return _Route(account=account, source=source, secrets=secrets)

    def _authenticate(self, route: _Route, request: WebhookRequest) -> Reply | None:
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

    def _challenge(self, err: MessageError, slug: str) -> dict[str, str]:
        """What asks a sender for the credentials that it sends only when asked."""
        source = self.sources.get(slug)
        if source is None or source.challenge is None or not isinstance(err, InvalidSignature):
            return {}
        return {"WWW-Authenticate": source.challenge}

    async def _store(self, route: _Route, request: WebhookRequest, request_log: RequestLog) -> None:
        """Give a genuine message to the inbox. Raises `QueueUnavailable`."""
        source = route.source
        inbox = route.account.inbox
        # After the proof, which needs the secrets and headers that are taken out here.
        account = route.account
        request = storable_request(source, account.url_secrets, request, account.path_account)
        # By this machine's clock: the order of a call's events comes from the vendor's times.
        received_at = self.now()
        try:
            keys = source.keys(request)
        except IgnoredEvent as err:
            # Only for its id in the log: nothing of it is stored.
            _message_without_keys(source, request, received_at)
            await inbox.note_ignored(source.slug)
            request_log.end(LogEvent.MESSAGE_IGNORED, reason=str(err))
        except MalformedPayload as err:
            message = _message_without_keys(source, request, received_at)
            cause = FailureCause.MALFORMED_PAYLOAD
            await _keep_failed(route, message, request_log, cause=cause, detail=str(err))
        except Exception as err:
            # A genuine message that shows a bug of ours is worth as much as any other, and many
            # vendors never send one twice.
            message = _message_without_keys(source, request, received_at)
            log.exception(LogEvent.MESSAGE_UNREADABLE)
            detail = f"{type(err).__name__}: this is a bug"
            cause = FailureCause.INTERNAL_ERROR
            await _keep_failed(route, message, request_log, cause=cause, detail=detail)
        else:
            message = Message(
                message_id=message_id(source.slug, keys.message_key),
                source=source.slug,
                source_call_id=keys.source_call_id,
                received_at=received_at,
                request=request,
            )
            structlog.contextvars.bind_contextvars(
                message_id=message.message_id, source_call_id=message.source_call_id
            )
            acceptance = await inbox.accept(message, source.retry_policy)
            request_log.end(acceptance.log_event)


def _message_without_keys(
    source: Source, request: WebhookRequest, received_at: datetime
) -> Message:
    """
    A message of no call, whose id is made from its body and URL, so that the same one sent twice is
    a duplicate. Binds the id to the log.
    """
    body_key = digest(source.slug, request.body, request.url)
    message = Message(
        message_id=message_id(source.slug, body_key),
        source=source.slug,
        source_call_id=None,
        received_at=received_at,
        request=request,
    )
    structlog.contextvars.bind_contextvars(message_id=message.message_id)
    return message


async def _keep_failed(
    route: _Route, message: Message, request_log: RequestLog, *, cause: FailureCause, detail: str
) -> None:
    is_new = await route.account.inbox.keep_failed(
        message, route.source.retry_policy, cause=cause, detail=detail
    )
    if is_new:
        request_log.end(LogEvent.MESSAGE_KEPT, level="warning", reason=f"{cause}: {detail}")
    else:
        request_log.end(LogEvent.MESSAGE_DUPLICATE, reason=cause)
