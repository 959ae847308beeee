"""
The direct way of a webhook that has arrived as a whole: checked, given to Redis with the next
batch, and answered once Redis has it, without a task of its own.

Every step is the one that `Webhooks` takes; what is not ordinary is left to it.
"""

import asyncio
import contextvars
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Scope

from service.errors import MessageError, QueueUnavailable
from service.logs.events import LogEvent
from service.receiver.acceptance import Acceptance, acceptance_of
from service.receiver.exchange import BROKEN, Exchange, broken
from service.receiver.replies import response_to
from service.receiver.request_log import RequestLog
from service.receiver.storable_request import storable_request
from service.receiver.webhook_checks import Route, WebhookChecks, message_of_call
from service.receiver.webhooks import Webhooks, refusal_for_now
from service.sources.request import WebhookRequest
from service.spool.messages import SpooledMessage
from service.store.accept_calls import AcceptResult

log = structlog.get_logger(__name__)


class DirectWebhooks:
    """The direct way to an endpoint."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks: Final = webhooks
        self._checks: Final[WebhookChecks] = webhooks.checks

    def begin(self, scope: Scope, body: bytes, exchange: Exchange) -> bool:
        """
        Handle a message and answer it by `exchange`, now or when Redis has it. False if it is for
        the endpoint itself: nothing has become of it then.
        """
        checks = self._checks
        request_log = self._webhooks.begin_log(scope["path_params"])
        try:
            route, request = checks.check_head(scope, body)
            # No length was announced: the other way counts while it arrives.
            if len(body) > route.limits.max_bytes:
                return False
            request_log.body_bytes = len(body)
            handshake_reply = checks.authenticate(route, request)
        except MessageError as err:
            response = self._webhooks.refusal(err, request_log)
            request_log.write(scope, status_code=response.status_code)
            exchange.send(response)
            return True
        # Some challenges are noted in Redis, which has to be waited for.
        if handshake_reply is not None:
            return False
        storable, fault = storable_request(route.source, route.account, request)
        # A line of its own, which the task of a request has to bind its names for.
        if fault is not None:
            return False
        try:
            message = message_of_call(route.source, storable, checks.now())
            request_log.name(message)
            submitted_at = asyncio.get_running_loop().time()
            waiter = _Waiter(route, request, request_log, scope, exchange, submitted_at)
            waiter.spooled = route.account.inbox.submit(message, waiter)
        except (MessageError, QueueUnavailable):
            # Ignored, unreadable, or for the spool.
            return False
        return True


@dataclass(slots=True)
class _Waiter:
    """A message that waits for Redis, and its answer."""

    route: Route
    request: WebhookRequest
    request_log: RequestLog
    scope: Scope
    exchange: Exchange
    submitted_at: float
    spooled: SpooledMessage | None = None
    is_done: bool = False

    def done(self) -> bool:
        """Whether Redis has answered, or has taken too long."""
        return self.is_done

    def set_result(self, result: AcceptResult, /) -> None:
        """Answer, if Redis has the message."""
        self.is_done = True
        try:
            response = self._response(acceptance_of(result))
        except QueueUnavailable as err:
            self.set_exception(err)
            return
        except Exception:
            # It must not fail the rest of the batch.
            log.exception(LogEvent.REQUEST_BROKEN, method="POST", status_code=BROKEN)
            response = broken()
        self.exchange.send(response)

    def set_exception(self, err: QueueUnavailable, /) -> None:
        """Go on without Redis."""
        self.is_done = True
        contextvars.Context().run(self._go_on, err)

    def _go_on(self, err: QueueUnavailable) -> None:
        # For the lines of the spool.
        self.request_log.bind()
        self.exchange.send_later(self._response_after(err))

    async def _response_after(self, err: QueueUnavailable) -> Response:
        if self.spooled is None:
            raise err
        try:
            acceptance = await self.route.account.inbox.accept_after(
                err, self.spooled, self.route.source.retry_policy, submitted_at=self.submitted_at
            )
        except QueueUnavailable as last:
            response = refusal_for_now(last, self.request_log)
            self.request_log.write(self.scope, status_code=response.status_code)
            return response
        return self._response(acceptance)

    def _response(self, acceptance: Acceptance) -> Response:
        self.request_log.end(acceptance.log_event)
        response = response_to(self.route.source.reply(self.request))
        self.request_log.write(self.scope, status_code=response.status_code)
        return response
