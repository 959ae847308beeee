"""
The one endpoint of all sources and accounts: a message is authenticated, identified, stored, and
only then answered 2xx.

In this order: announced size, source, path token, method, announced size for this source, content
type, shape of the headers that prove, body within its limits, handshake, signature, keys, inbox.
Nothing of a message is stored or believed before its signature is verified. What is stored leaves
out the signature, every secret in address and body, and every header that parsing does not need.

What is ordinary takes the same steps without a task of its own, see `direct_webhooks.py`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

import structlog
from msgspec import Struct, field
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
)
from service.logs.events import LogEvent
from service.logs.field_logger import FieldLogger
from service.receiver.handshake_notes import HandshakeNotes
from service.receiver.problems import CLOSING, problem_of, unavailable
from service.receiver.public_url import PublicUrlResolver
from service.receiver.refusals import Refusals
from service.receiver.replies import response_to
from service.receiver.request_log import UNKNOWN, RequestLog, request_logger
from service.receiver.requests import (
    IS_COMPLETE,
    SENDER_GONE,
    BodyLimits,
    SenderGone,
    read_body,
)
from service.receiver.storable_request import storable_request
from service.receiver.webhook_checks import (
    AccountReceiver,
    Route,
    WebhookChecks,
    message_of_call,
    message_without_keys,
)
from service.sources.base import Source
from service.sources.request import WebhookRequest
from service.store.messages import Message

log = structlog.get_logger(__name__)


class Webhooks(Struct, frozen=True, kw_only=True):
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
    log: FieldLogger = field(default_factory=request_logger)

    @property
    def checks(self) -> WebhookChecks:
        """What every message passes."""
        return WebhookChecks(
            sources=self.sources,
            accounts=self.accounts,
            public_url=self.public_url,
            limits=self.limits,
            now=self.now,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one message, write its log line, and answer it."""
        request_log = self.begin_log(scope["path_params"])
        request_log.bind()
        response = await self._answer(scope, receive, request_log)
        if response is None:
            request_log.write(scope, status_code=None)
        else:
            request_log.write(scope, status_code=response.status_code)
            await response(scope, receive, send)

    def begin_log(self, path_params: Mapping[str, str]) -> RequestLog:
        """The log line of a request that begins."""
        # Only names that are known here: the path is the sender's, and a wrong address may have its
        # token where the account or the source should be.
        account = self.accounts.get(path_params.get("account"))
        account_name = UNKNOWN
        tally = None
        if account is not None:
            account_name = account.account
            tally = account.tally
        source_name = UNKNOWN
        if path_params["source"] in self.sources:
            source_name = path_params["source"]
        return RequestLog(
            log=self.log,
            refusals=self.refusals,
            account=account_name,
            source=source_name,
            tally=tally,
        )

    def note_sender_gone(self, scope: Scope) -> None:
        """Write the line of a request that nobody waits for any more, as `__call__` does."""
        request_log = self.begin_log(scope["path_params"])
        request_log.end(LogEvent.MESSAGE_REJECTED, reason=SENDER_GONE)
        request_log.write(scope, status_code=None)

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
            return self.refusal(err, request_log)
        except QueueUnavailable as err:
            return refusal_for_now(err, request_log)

    async def _handle(self, scope: Scope, receive: Receive, request_log: RequestLog) -> Response:
        checks = self.checks
        route, head = checks.check_head(scope)
        request_log.is_reading = True
        body = await read_body(receive, route.limits, is_complete=IS_COMPLETE in scope)
        request_log.is_reading = False
        request_log.body_bytes = len(body)
        request = WebhookRequest(method=head.method, url=head.url, headers=head.headers, body=body)
        handshake_reply = checks.authenticate(route, request)
        # A challenge is answered with Redis away too: a vendor does not accept an address that
        # fails it.
        if handshake_reply is not None:
            slug = route.source.slug
            if self.handshake_notes.is_due(route.account.account, slug):
                await route.account.inbox.notes.note_handshake(slug)
            request_log.end(LogEvent.MESSAGE_IGNORED, reason="handshake")
            return response_to(handshake_reply)
        await self._store(route, request, request_log)
        return response_to(route.source.reply(request))

    def refusal(self, err: MessageError, request_log: RequestLog) -> Response:
        """The answer to a message that is refused, which ends its log line."""
        request_log.end(LogEvent.MESSAGE_REJECTED, level="warning", reason=str(err) or err.title)
        headers = self._challenge(err, request_log.source)
        if request_log.is_reading:
            # The rest of a body that is too large would only be read to be thrown away.
            headers |= CLOSING
        return problem_of(err, headers=headers)

    def _challenge(self, err: MessageError, slug: str) -> dict[str, str]:
        """What asks a sender for the credentials that it sends only when asked."""
        source = self.sources.get(slug)
        if source is None or source.challenge is None or not isinstance(err, InvalidSignature):
            return {}
        return {"WWW-Authenticate": source.challenge}

    async def _store(self, route: Route, request: WebhookRequest, request_log: RequestLog) -> None:
        """Give a genuine message to the inbox. Raises `QueueUnavailable`."""
        source = route.source
        inbox = route.account.inbox
        # After the proof, which needs the secrets and headers that are taken out here.
        request, fault = storable_request(source, route.account, request)
        if fault is not None:
            # The message goes on without the id: it is genuine, and the call may be matched
            # otherwise.
            log.warning(LogEvent.MESSAGE_ID_NOT_PROVED, reason=fault)
        # By this machine's clock: the order of a call's events comes from the vendor's times.
        received_at = self.now()
        try:
            message = message_of_call(source, request, received_at)
        except IgnoredEvent as err:
            # Only for its id in the log: nothing of it is stored.
            request_log.name(message_without_keys(source, request, received_at))
            request_log.bind()
            await inbox.notes.note_ignored(source.slug)
            request_log.end(LogEvent.MESSAGE_IGNORED, reason=str(err))
        except MalformedPayload as err:
            message = message_without_keys(source, request, received_at)
            cause = FailureCause.MALFORMED_PAYLOAD
            await _keep_failed(route, message, request_log, cause=cause, detail=str(err))
        except Exception as err:
            # A genuine message that shows a bug of ours is worth as much as any other, and many
            # vendors never send one twice.
            message = message_without_keys(source, request, received_at)
            request_log.name(message)
            request_log.bind()
            log.exception(LogEvent.MESSAGE_UNREADABLE)
            detail = f"{type(err).__name__}: this is a bug"
            cause = FailureCause.INTERNAL_ERROR
            await _keep_failed(route, message, request_log, cause=cause, detail=detail)
        else:
            request_log.name(message)
            request_log.bind()
            acceptance = await inbox.accept(message, source.retry_policy)
            request_log.end(acceptance.log_event)


def refusal_for_now(err: QueueUnavailable, request_log: RequestLog) -> Response:
    """The answer to a message that cannot be kept now, which ends its log line."""
    # A message that is refused here may be lost, depending on its vendor.
    level = "error"
    # Bodies that are too many may be a stranger's.
    if isinstance(err, Overloaded):
        level = "warning"
    request_log.end(LogEvent.MESSAGE_REJECTED, level=level, reason=str(err))
    return unavailable(err)


async def _keep_failed(
    route: Route, message: Message, request_log: RequestLog, *, cause: FailureCause, detail: str
) -> None:
    request_log.name(message)
    request_log.bind()
    is_new = await route.account.inbox.keep_failed(
        message, route.source.retry_policy, cause=cause, detail=detail
    )
    if is_new:
        request_log.end(LogEvent.MESSAGE_KEPT, level="warning", reason=f"{cause}: {detail}")
    else:
        request_log.end(LogEvent.MESSAGE_DUPLICATE, reason=cause)
