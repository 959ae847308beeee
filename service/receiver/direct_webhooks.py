"""
The direct way of webhooks that have arrived as a whole: checked, given to Redis with the next
batch, and answered once Redis has it, without a task of their own.

Every step is the one that `Webhooks` takes; what is not ordinary is left to it. What arrives in one
turn of the loop takes each step together: its code is then in the processor's cache for all of them
but the first, which halves the time of most steps.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from service.store.accept_scripts import AcceptResult
from service.store.messages import Message

# How many take their steps together. While Redis writes these to disk, the next ones take theirs.
TOGETHER: Final = 32

log = structlog.get_logger(__name__)


class DirectWebhooks:
    """The direct way to an endpoint."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks: Final = webhooks
        self._checks: Final[WebhookChecks] = webhooks.checks
        self._arrived: Final[deque[_Webhook]] = deque()
        # Each says whether a message may go on. What the first two refuse is answered so.
        self._steps: Final[tuple[Callable[[_Webhook], bool], ...]] = (
            self._check,
            self._prove,
            self._strip,
            self._name,
            self._submit,
        )
        self._refusing: Final = frozenset({self._check, self._prove})

    def begin(self, scope: Scope, body: bytes, exchange: Exchange) -> bool:
        """
        Take a message, to be handled with what else arrives in this turn of the loop. It is
        answered by `exchange`, or passed on by it to the endpoint itself: nothing has become of it
        then.
        """
        if not self._arrived:
            self._handle_soon()
        # No more than this here: others arrive, whose parser is in the cache.
        self._arrived.append(_Webhook(scope, body, exchange, time.perf_counter()))
        exchange.hurry = self._hurry
        return True

    def _handle_soon(self) -> None:
        # A context of its own: it is for the messages of many senders.
        asyncio.get_running_loop().call_soon(self._handle, context=contextvars.Context())

    def _hurry(self) -> None:
        """Handle what has arrived now."""
        while self._arrived:
            self._handle()

    def _handle(self) -> None:
        count = min(TOGETHER, len(self._arrived))
        webhooks = [self._arrived.popleft() for _ in range(count)]
        for webhook in webhooks:
            webhook.exchange.hurry = None
        for step in self._steps:
            webhooks = self._take(step, webhooks)
        if self._arrived:
            self._handle_soon()

    def _take(
        self, step: "Callable[[_Webhook], bool]", webhooks: "Sequence[_Webhook]"
    ) -> "list[_Webhook]":
        """Those that go on after a step; the others have been answered or left."""
        going_on = []
        for webhook in webhooks:
            # Not in a function of its own, whose call takes as long as a short step.
            try:
                if step(webhook):
                    going_on.append(webhook)
                    continue
            except MessageError as err:
                if step in self._refusing:
                    self._refuse(webhook, err)
                    continue
            # Whatever one message does, the others take their steps. A bug shows once more at the
            # endpoint, which logs it. Not with `suppress`, which takes longer than a short step.
            except Exception:
                webhook.leave(self._webhooks)
                continue
            webhook.leave(self._webhooks)
        return going_on

    def _check(self, webhook: "_Webhook") -> bool:
        """By its address and its head."""
        webhook.request_log = self._webhooks.begin_log(webhook.scope["path_params"])
        webhook.request_log.started_s = webhook.started_s
        route, webhook.request = self._checks.check_head(webhook.scope, webhook.body)
        webhook.route = route
        # No length was announced: the endpoint counts while it arrives.
        if len(webhook.body) > route.limits.max_bytes:
            return False
        webhook.request_log.body_bytes = len(webhook.body)
        return True

    def _prove(self, webhook: "_Webhook") -> bool:
        """By its proof. Some challenges are noted in Redis, which has to be waited for."""
        return self._checks.authenticate(webhook.route, webhook.request) is None

    def _strip(self, webhook: "_Webhook") -> bool:
        """Of what is not stored."""
        route = webhook.route
        webhook.storable, fault = storable_request(route.source, route.account, webhook.request)
        # A line of its own, which the task of a request has to bind its names for.
        return fault is None

    def _name(self, webhook: "_Webhook") -> bool:
        """By its call. Raises for what is ignored or unreadable."""
        source = webhook.route.source
        message = message_of_call(source, webhook.storable, self._checks.now())
        webhook.message = message
        webhook.request_log.name(message)
        return True

    def _submit(self, webhook: "_Webhook") -> bool:
        """To the next batch for Redis. Raises for what has to be spooled."""
        webhook.submitted_at = asyncio.get_running_loop().time()
        inbox = webhook.route.account.inbox
        webhook.spooled = inbox.submit(webhook.message, webhook)
        return True

    def _refuse(self, webhook: "_Webhook", err: MessageError) -> None:
        try:
            response = self._webhooks.refusal(err, webhook.request_log)
            webhook.request_log.write(webhook.scope, status_code=response.status_code)
            webhook.exchange.send(response)
        except Exception:
            log.exception(LogEvent.REQUEST_BROKEN, method="POST", status_code=BROKEN)
            webhook.exchange.fail()


@dataclass(slots=True, eq=False)
class _Webhook:
    """A message on its way, and its answer. The fields without a value are set by the steps."""

    scope: Scope
    body: bytes
    exchange: Exchange
    started_s: float
    request_log: RequestLog = field(init=False)
    route: Route = field(init=False)
    request: WebhookRequest = field(init=False)
    storable: WebhookRequest = field(init=False)
    message: Message = field(init=False)
    submitted_at: float = field(init=False)
    spooled: SpooledMessage | None = None
    response: Response | None = None
    is_done: bool = False

    def leave(self, webhooks: Webhooks) -> None:
        """Leave the message to the endpoint, if somebody waits for its answer."""
        try:
            if self.exchange.disconnected:
                self.exchange.drop()
                webhooks.note_sender_gone(self.scope)
            else:
                self.exchange.pass_on(self.body)
        except Exception:
            log.exception(LogEvent.REQUEST_BROKEN, method="POST", status_code=BROKEN)
            self.exchange.fail()

    def done(self) -> bool:
        """Whether Redis has answered, or has taken too long."""
        return self.is_done

    def set_result(self, result: AcceptResult, /) -> None:
        """Make the answer, if Redis has the message."""
        self.is_done = True
        try:
            self.response = self._response(acceptance_of(result))
        except QueueUnavailable as err:
            self.set_exception(err)
        except Exception:
            # It must not fail the rest of the batch.
            log.exception(LogEvent.REQUEST_BROKEN, method="POST", status_code=BROKEN)
            self.response = broken()

    def answer(self) -> None:
        """Send the answer, if there is one by now."""
        if self.response is not None:
            self.exchange.send(self.response)

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
