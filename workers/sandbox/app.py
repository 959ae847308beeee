"""
The local Buildr: tokens, updates of calls, call outcomes, the rate limit, and misbehaviour on
demand.

It stands in for Buildr in demos and tests, and on the developer's machine. Nothing is kept when it
ends.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.buildr_ids import is_buildr_id
from service.logs.events import LogEvent
from workers.sandbox.config import SandboxConfig
from workers.sandbox.contacts import CONTACTS
from workers.sandbox.control_api import Console
from workers.sandbox.faults import Faults, misbehave
from workers.sandbox.pagination import page_of
from workers.sandbox.rate_limit import Limiter, Refusal
from workers.sandbox.records import (
    Calls,
    Tokens,
    outcome_as_json,
    outcomes_with,
)
from workers.sandbox.request_log import Entry, RequestLog
from workers.sandbox.responses import errors, rate_limit_answer, unauthorized
from workers.sandbox.validation import (
    Refused,
    check_fields,
    read_json,
    read_update,
)

API: Final = "/api/2023-01"
MAX_BODY_BYTES: Final = 1024 * 1024
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

# An update without fields, which shows the call and changes nothing.
NOTHING: Final = b'{"call": {}}'
Handler = Callable[[Request, bytes], Response]
log = structlog.get_logger(__name__)


def create_sandbox(config: SandboxConfig, *, clock: Callable[[], int] = time.time_ns) -> Starlette:
    """A sandbox with an account of its own; `clock` gives nanoseconds since 1970."""
    sandbox = Sandbox(config, clock)
    console = Console(
        calls=sandbox.calls,
        faults=sandbox.faults,
        requests=sandbox.requests,
        config=config,
        clock=clock,
    )
    return Starlette(
        routes=[
            Route("/oauth/token", sandbox.token, methods=["POST"]),
            Route(f"{API}/calls/{{call_id}}", sandbox.api(sandbox.update_call), methods=["PATCH"]),
            Route(f"{API}/call_outcomes", sandbox.api(sandbox.list_outcomes), methods=["GET"]),
            Route(f"{API}/contacts", sandbox.api(sandbox.list_contacts), methods=["GET"]),
            Route(f"{API}/contacts/{{contact_id}}", sandbox.api(sandbox.show_contact)),
            *console.routes(),
            # Last: behind token and limit like the rest, as an unknown path of Buildr's is.
            Route("/{rest:path}", sandbox.api(sandbox.unknown), methods=list(METHODS)),
        ]
    )


class Sandbox:
    """The handlers of Buildr's own routes, over one account."""

    def __init__(self, config: SandboxConfig, clock: Callable[[], int]) -> None:
        self.calls: Final = Calls(outcomes_with(config.more_outcomes))
        self.faults: Final = Faults()
        self.requests: Final = RequestLog(config.budgets)
        self._config: Final = config
        self._clock: Final = clock
        self._tokens: Final = Tokens(config.token_life_s, config.ready_token)
        self._limiter: Final = Limiter(config.budgets, config.limit_mode)

    def api(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """
        A handler behind the token, the rate limit and the faults, in this order; each request is
        taken down.
        """

        async def answer(request: Request) -> Response:
            entry = self._begin(request)
            # All three are decided at once, as the request arrives, before its body is waited for.
            refused = self._gate(request, entry)
            try:
                body = await _read_body(request)
                self.requests.keep_body(entry, body)
                response = refused or await self._answer(
                    request, body, handler=handler, entry=entry
                )
            except Refused as err:
                response = errors(err.status, err.messages)
            return self._end(entry, response)

        return answer

    async def token(self, request: Request) -> Response:
        """
        Client credentials, as JSON or as a form:
        https://buildr.dev/introduction/authentication-machine.
        """
        entry = self._begin(request)
        try:
            body = await _read_body(request)
        except Refused as err:
            return self._end(entry, errors(err.status, err.messages))
        fault = self.faults.take(request.url.path, is_before_login=False)
        if fault is not None and fault.kind != "slow":
            entry.fault = fault.kind
            return self._end(entry, await misbehave(fault, request, is_beta=self._config.is_beta))
        if fault is not None:
            await asyncio.sleep(fault.seconds)
        return self._end(
            entry, self._grant(_read_grant(body, request.headers.get("content-type", "")))
        )

    def update_call(self, request: Request, body: bytes) -> Response:
        """Change what is given and answer with the whole call."""
        fields = read_update(read_json(body, request.headers.get("content-type", "")))
        call_id = request.path_params["call_id"]
        call = self.calls.get(call_id)
        if call is None and not (self._config.auto_create and is_buildr_id(call_id)):
            raise Refused(HTTPStatus.NOT_FOUND, f"there is no call {call_id[:40]!a}")
        # Before the call is made: a refused update must not leave an empty call behind.
        checked = check_fields(fields, outcome_ids=self.calls.outcomes)
        call = call or self.calls.create(call_id, self._clock())
        self.calls.update(call, checked, self._clock())
        return JSONResponse(
            {"item" if self._config.is_beta else "call": call.as_json(self.calls.outcomes)}
        )

    def list_outcomes(self, request: Request, _: bytes) -> Response:
        """One page of the account's call outcomes."""
        page, headers = page_of(
            [outcome_as_json(outcome, self.calls.outcomes) for outcome in self.calls.outcomes],
            request.url,
        )
        return JSONResponse(
            {"items" if self._config.is_beta else "call_outcomes": page}, headers=headers
        )

    def list_contacts(self, request: Request, _: bytes) -> Response:
        """One page of the account's contacts."""
        page, headers = page_of([contact.as_json() for contact in CONTACTS], request.url)
        return JSONResponse(
            {"items" if self._config.is_beta else "contacts": page}, headers=headers
        )

    def show_contact(self, request: Request, _: bytes) -> Response:
        """One contact."""
        contact_id = request.path_params["contact_id"]
        for contact in CONTACTS:
            if contact.id == contact_id:
                key = "item" if self._config.is_beta else "contact"
                return JSONResponse({key: contact.as_json()})
        raise Refused(HTTPStatus.NOT_FOUND, f"there is no contact {contact_id[:40]!a}")

    def unknown(self, request: Request, _: bytes) -> Response:
        """Nothing is here."""
        return errors(
            HTTPStatus.NOT_FOUND, [f"nothing answers {request.method} {request.url.path[:200]!a}"]
        )

    def _gate(self, request: Request, entry: Entry) -> Response | None:
        """The refusal of a request whose token is no good or that is over the limit."""
        now_ns = entry.at_ns
        token = _bearer(request)
        revoking = self.faults.take(request.url.path, is_before_login=True)
        if revoking is not None:
            entry.fault = revoking.kind
            self._tokens.revoke(token)
        if not self._tokens.is_good(token, now_ns):
            return unauthorized()
        self.requests.count_against_limit(now_ns)
        refusal = self._limiter.admit(now_ns)
        return None if refusal is None else self._over_limit(refusal, entry)

    def _over_limit(self, refusal: Refusal, entry: Entry) -> Response:
        entry.is_rate_limited = True
        config = self._config
        return rate_limit_answer(
            refusal.wait_s,
            bucket=refusal.bucket,
            limit=refusal.budget.requests,
            is_beta=config.is_beta,
            says_wait=config.says_wait,
        )

    async def _answer(
        self, request: Request, body: bytes, *, handler: Handler, entry: Entry
    ) -> Response:
        fault = self.faults.take(request.url.path, is_before_login=False)
        if fault is None:
            return handler(request, body)
        entry.fault = fault.kind
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
            return handler(request, body)
        if fault.kind == "not_taken":
            return handler(request, NOTHING)
        if fault.kind == "late":
            self.faults.carry_out_late(lambda: handler(request, body), after_s=fault.seconds)
        # The case that matters most: Buildr has the outcome, and the service does not know it.
        if fault.is_applied:
            handler(request, body)
        response = await misbehave(fault, request, is_beta=self._config.is_beta)
        entry.is_rate_limited = response.status_code == HTTPStatus.TOO_MANY_REQUESTS
        return response

    def _grant(self, form: Mapping[str, object]) -> Response:
        if form.get("grant_type") != "client_credentials":
            return JSONResponse(
                {"error": "unsupported_grant_type"}, status_code=HTTPStatus.BAD_REQUEST
            )
        is_client = _is_same(self._config.client_id, form.get("client_id"))
        if not _is_same(self._config.client_secret, form.get("client_secret")) or not is_client:
            return JSONResponse({"error": "invalid_client"}, status_code=HTTPStatus.UNAUTHORIZED)
        token = self._tokens.issue(self._clock())
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self._config.token_life_s,
            "scope": "read write",
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    def _begin(self, request: Request) -> Entry:
        return self.requests.begin(
            request.method, request.url.path, query=request.url.query, now_ns=self._clock()
        )

    def _end(self, entry: Entry, response: Response) -> Response:
        self.requests.end(entry, response.status_code)
        log.debug(
            LogEvent.SANDBOX_ANSWERED,
            method=entry.method,
            path=entry.path,
            status_code=response.status_code,
            fault=entry.fault,
        )
        return response


async def _read_body(request: Request) -> bytes:
    parts: list[bytes] = []
    total = 0
    try:
        async for part in request.stream():
            total += len(part)
            if total > MAX_BODY_BYTES:
                raise Refused(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body is larger than {MAX_BODY_BYTES} bytes",
                )
            parts.append(part)
    except ClientDisconnect as err:
        raise Refused(
            HTTPStatus.BAD_REQUEST, "the client hung up before its request was complete"
        ) from err
    return b"".join(parts)


def _is_same(ours: str, theirs: object) -> bool:
    return hmac.compare_digest(ours.encode(), str(theirs).encode("utf-8", "replace"))


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _read_grant(body: bytes, content_type: str) -> Mapping[str, object]:
    if "form" in content_type:
        return dict(parse_qsl(body.decode("utf-8", "replace")))
    try:
        parsed = read_json(body, content_type)
    except Refused:
        return {}
    return parsed if isinstance(parsed, dict) else {}
