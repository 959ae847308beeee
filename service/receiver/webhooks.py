"""
The one endpoint of all sources and accounts: a message is proved genuine, named, handed to the
inbox, and only then answered 2xx.

In this order: announced size, source, path token, method, content type, body within its limits,
handshake, signature, keys, inbox. Nothing of a message is kept or believed before its signature is.
What is kept leaves out the signature, every secret in address and body, and every header that
parsing does not need.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import (
    IgnoredEvent,
    InvalidSignature,
    MalformedPayload,
    MessageError,
    QueueUnavailable,
    UnknownSource,
    UnsupportedContentType,
    UnsupportedEvent,
    WrongMethod,
)
from service.receiver.inbox import Inbox
from service.receiver.problems import CLOSING, problem_of, unavailable
from service.receiver.requests import (
    BodyLimits,
    Headers,
    PublicUrlResolver,
    SenderGone,
    check_length,
    read_body,
    read_headers,
)
from service.sources.base import Source
from service.sources.common.signatures import digest
from service.sources.request import MessageKeys, Reply, WebhookRequest
from service.sources.settings import Secrets
from service.store.messages import Message, message_id
from service.webhook_urls import is_path_token, strip_credentials, verified_buildr_call_id

METHOD: Final = "POST"
CONTENT_TYPE: Final = "content-type"
MAX_NAME: Final = 40
CAUSES: Final[Mapping[type[MessageError], str]] = {
    MalformedPayload: "malformed_payload",
    UnsupportedEvent: "unsupported_event",
}
BUG: Final = "internal_error"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _RequestLog:
    """What the one line about a message will say; filled in as it becomes known."""

    fact: str = "message.rejected"
    level: str = "warning"
    reason: str | None = None
    body_bytes: int | None = None
    is_reading: bool = False

    def end(self, fact: str, *, level: str = "info", reason: str | None = None) -> None:
        self.fact, self.level, self.reason = fact, level, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReceiver:
    """
    What one account receives with: the secrets of its sources, by slug, those of its addresses, and
    its inbox.

    A source without a secret is off.
    """

    account: str
    secrets: Mapping[str, Secrets]
    url_secrets: tuple[str, ...] = ()
    inbox: Inbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """
    The endpoint, as an ASGI application under routes that name the source, and before it the
    account unless it is the default one.

    `intakes` are the accounts by the name in their path, None for the path without a name. An
    account that is not there answers as a source that is not there does, and so does one that is
    off.
    """

    sources: Mapping[str, Source]
    intakes: Mapping[str | None, AccountReceiver]
    publicity: PublicUrlResolver
    limits: BodyLimits
    now: Callable[[], datetime]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one message, answer it, and write its one line."""
        started, visit = time.perf_counter(), _RequestLog()
        params: Mapping[str, str] = scope["path_params"]
        name, account = params["source"], params.get("account")
        intake = self.intakes.get(account)
        structlog.contextvars.clear_contextvars()
        known = intake.account if intake is not None else account
        structlog.contextvars.bind_contextvars(
            account=known and known[:MAX_NAME], source=name[:MAX_NAME]
        )
        response = await self._answer(intake, name, scope, receive, visit)
        getattr(log, visit.level)(
            visit.fact,
            reason=visit.reason,
            status_code=response.status_code if response else None,
            body_bytes=visit.body_bytes,
            duration_ms=round((time.perf_counter() - started) * 1000, 2),
        )
        if response is not None:
            await response(scope, receive, send)

    async def _answer(
        self,
        intake: AccountReceiver | None,
        name: str,
        scope: Scope,
        receive: Receive,
        visit: _RequestLog,
    ) -> Response | None:
        """The answer to a request whatever happens to it; None if nobody waits for one."""
        try:
            return await self._handle(intake, name, scope, receive, visit)
        except SenderGone as err:
            visit.end("message.rejected", reason=str(err))
            return None
        except MessageError as err:
            visit.end("message.rejected", level="warning", reason=str(err) or err.title)
            # The rest of a body that is too large would only be read to be thrown away.
            return problem_of(
                err,
                headers={
                    **(CLOSING if visit.is_reading else {}),
                    **_challenge(err, self.sources.get(name)),
                },
            )
        except QueueUnavailable as err:
            visit.end("message.rejected", level="error", reason=str(err))
            return unavailable(err)

    async def _handle(
        self,
        intake: AccountReceiver | None,
        name: str,
        scope: Scope,
        receive: Receive,
        visit: _RequestLog,
    ) -> Response:
        source, secrets = (
            self.sources.get(name),
            None if intake is None else intake.secrets.get(name),
        )
        headers = read_headers(scope)
        check_length(headers, self.limits)
        if intake is None:
            raise UnknownSource("no account is at this path")
        if source is None or not secrets:
            raise UnknownSource(
                "no such source" if source is None else "the source has no secret and is off"
            )
        _check_token(source, intake, scope["path_params"].get("token"))
        if scope["method"] != METHOD:
            raise WrongMethod(f"{scope['method']} instead of {METHOD}")
        request = WebhookRequest(
            method=METHOD, url=self.publicity.url(scope, headers), headers=headers
        )
        _check_content(source, request)
        visit.is_reading = True
        request = replace(request, body=await read_body(receive, self.limits))
        visit.is_reading, visit.body_bytes = False, len(request.body)
        reply = self._authenticate(source, secrets, request)
        if reply is not None:
            await intake.inbox.note_handshake(source.slug)
            visit.end("message.ignored", reason="handshake")
            return _respond(reply)
        await self._store(intake, source, request, visit)
        return _respond(source.reply(request))

    def _authenticate(
        self, source: Source, secrets: Secrets, request: WebhookRequest
    ) -> Reply | None:
        """
        The answer to a handshake, or None once the message is proved genuine. Raises
        `InvalidSignature`.
        """
        try:
            now = self.now()
            reply = source.handshake(request, secrets, now)
            if reply is None:
                source.verify(request, secrets, now)
        except InvalidSignature:
            raise
        except MessageError as err:
            # Not genuine yet, so that it must not be kept as an unreadable message would be.
            raise InvalidSignature(f"not proved: {err}") from err
        return reply

    async def _store(
        self, intake: AccountReceiver, source: Source, request: WebhookRequest, visit: _RequestLog
    ) -> None:
        """Hand a genuine message to the inbox. Raises `QueueUnavailable`."""
        inbox, request = intake.inbox, _to_keep(source, intake.url_secrets, request)
        message = Message(
            message_id=message_id(source.slug, digest(source.slug, request.body, request.url)),
            source=source.slug,
            source_call_id=None,
            received_at=self.now(),
            request=request,
        )
        structlog.contextvars.bind_contextvars(message_id=message.message_id)
        try:
            keys = source.keys(request)
        except IgnoredEvent as err:
            await inbox.note_ignored(source.slug)
            visit.end("message.ignored", reason=str(err))
        except MessageError as err:
            await _keep_failed(
                inbox, source, message, visit, cause=CAUSES.get(type(err), BUG), detail=str(err)
            )
        except Exception as err:
            # A genuine message that shows a bug of ours is worth as much as any other, and many
            # senders never come twice.
            log.exception("message.unreadable")
            await _keep_failed(
                inbox,
                source,
                message,
                visit,
                cause=BUG,
                detail=f"{type(err).__name__}: this is a bug",
            )
        else:
            await _accept(inbox, source, message, keys, visit)


async def _accept(
    inbox: Inbox, source: Source, message: Message, keys: MessageKeys, visit: _RequestLog
) -> None:
    named = replace(
        message,
        message_id=message_id(message.source, keys.message_key),
        source_call_id=keys.source_call_id,
    )
    structlog.contextvars.bind_contextvars(
        message_id=named.message_id, source_call_id=named.source_call_id
    )
    is_new = await inbox.accept(named, source.retry_policy)
    visit.end("message.accepted" if is_new else "message.duplicate")


async def _keep_failed(
    inbox: Inbox, source: Source, message: Message, visit: _RequestLog, *, cause: str, detail: str
) -> None:
    is_new = await inbox.keep_failed(message, source.retry_policy, cause=cause, detail=detail)
    if is_new:
        visit.end("message.kept", level="warning", reason=f"{cause}: {detail}")
    else:
        visit.end("message.duplicate", reason=cause)


def _challenge(err: MessageError, source: Source | None) -> Mapping[str, str]:
    """What asks a sender for the credentials that it holds back until then."""
    challenge = (
        source.challenge if source is not None and isinstance(err, InvalidSignature) else None
    )
    return {} if challenge is None else {"WWW-Authenticate": challenge}


def _check_content(source: Source, request: WebhookRequest) -> None:
    """Raises `UnsupportedContentType` for a type or an encoding in which the source never sends."""
    encodings = {
        part.strip().lower()
        for value in request.headers.get("content-encoding", ())
        for part in value.split(",")
    }
    if encodings - {"", "identity"}:
        raise UnsupportedContentType("the body has a Content-Encoding")
    if source.content_types and request.content_type not in source.content_types:
        raise UnsupportedContentType(f"content type {request.content_type[:MAX_NAME] or 'missing'}")


def _check_token(source: Source, intake: AccountReceiver, token: str | None) -> None:
    """
    Raises `UnknownSource` unless the address holds the source's token; where none is wanted, it may
    hold none but the right one.
    """
    if token is None:
        if source.requires_path_token:
            raise UnknownSource("the address lacks its token: see buildr-calls link-url")
    elif not is_path_token(intake.url_secrets, source.slug, token):
        raise UnknownSource(
            "the token in the address is not the source's: see buildr-calls link-url"
        )


def _to_keep(
    source: Source, url_secrets: tuple[str, ...], request: WebhookRequest
) -> WebhookRequest:
    """
    The request as it is kept: without secrets in address and body, and with only those headers that
    parsing needs.

    The Buildr call id that our signature in the address proves is kept beside it, since the
    signature itself is not.
    """
    headers: Headers = {
        name: values
        for name, values in request.headers.items()
        if name == CONTENT_TYPE or name in source.kept_headers
    }
    named, fault = (
        (None, None)
        if source.signs_url
        else verified_buildr_call_id(url_secrets, source.slug, request.url)
    )
    if fault is not None:
        log.warning("message.id_not_proved", reason=fault)
    return replace(
        source.redact(request),
        url=strip_credentials(request.url),
        headers=headers,
        buildr_call_id=named,
    )


def _respond(reply: Reply) -> Response:
    return Response(
        reply.body,
        status_code=reply.status,
        media_type=reply.content_type,
        headers=dict(reply.headers),
    )
