"""
What the endpoints behind `ADMIN_TOKEN` share: the token, a JSON body within limits, and a limit to
the time that Redis may take.

Without that setting none of them exists.
"""

import asyncio
import hashlib
import hmac
import math
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import ClassVar, Final, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.errors import MalformedPayload, PayloadTooLarge, QueueUnavailable, ReadTimeout
from service.logs.events import LogEvent
from service.receiver.admin_guard import AdminGuard
from service.receiver.refusals import Refusal, Refusals
from service.receiver.requests import (
    BodyLimits,
    SenderGone,
    check_length,
    read_body,
    read_headers,
)
from service.sources.common.json_body import check_names
from service.sources.request import JSON
from service.store.keys import DEFAULT_ACCOUNT

# Far above the largest body that is valid; the endpoints take ids and numbers.
MAX_BYTES: Final = 16 * 1024
# How much of an unknown field's name is repeated: it is the sender's text.
MAX_NAME: Final = 40
DEPTH_IN_LIST: Final = 3
SCHEME: Final = "bearer"
# Answers hold ids and telephone numbers: no proxy on the way may keep them.
NOT_STORED: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}
ID_RULE: Final = 'must be a string of 1 to 20 digits, like "110"'
# The rest of the body is still on its way. Closed, the connection need not be read to its end
# before the next request on it.
CLOSING: Final[Mapping[str, str]] = {"Connection": "close"}
HOW_TO_AUTHENTICATE: Final = (
    "Send the header Authorization: Bearer, with the ADMIN_TOKEN of this service."
)
TOO_MANY_FAILURES: Final = (
    "Too many requests with a wrong token came from your address. Wait for Retry-After seconds."
)

log = structlog.get_logger(__name__)

T = TypeVar("T")


class JsonBody(BaseModel):
    """
    The JSON body of a request: `noun` is what it describes, `example` the smallest valid one.
    `rules` say what a field must be, for those that are no id in Buildr; a body has at most
    `max_bytes`.
    """

    # Strict: a misspelt field would otherwise be dropped, and a number taken for an id that is a
    # text. `hide_input_in_errors`: an error that reaches the log must not quote what was sent.
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    noun: ClassVar[str]
    example: ClassVar[str]
    rules: ClassVar[Mapping[str, str]] = {}
    max_bytes: ClassVar[int] = MAX_BYTES


BodyT = TypeVar("BodyT", bound=JsonBody)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminAccess:
    """
    How the admin endpoints of one account are reached.

    `tokens` are the values of `ADMIN_TOKEN`, each of them valid; empty turns the endpoints off.
    """

    account: str = DEFAULT_ACCOUNT
    tokens: tuple[str, ...] = field(repr=False)
    body_timeout_s: float
    redis_timeout_s: float
    # One of each for all accounts of a process.
    guard: AdminGuard = field(default_factory=AdminGuard)
    refusals: Refusals = field(default_factory=Refusals)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminEndpoint:
    """An endpoint of one account behind a token; `unavailable` is the event when Redis is away."""

    unavailable: ClassVar[LogEvent]

    access: AdminAccess

    def check_token(self, request: Request) -> None:
        """
        Raises 401 unless the one Authorization header holds one of the tokens; all are compared,
        whichever fits. Raises 429 while the sender's address has to wait, since too many of its
        tokens were wrong. Binds the account to the log.
        """
        structlog.contextvars.bind_contextvars(account=self.access.account)
        # A request with two of them is refused: which one counts differs between a proxy and this
        # service, and that is how checks are got around.
        values = request.headers.getlist("authorization")
        credentials = ""
        if len(values) == 1:
            credentials = values[0]
        scheme, _, token = credentials.partition(" ")
        # Digests have one length, so that not even the length of a token shows in the time taken.
        # Starlette decodes headers as latin-1, so that encoding them so gives the bytes that were
        # sent.
        digest = hashlib.sha256(token.strip().encode("latin-1")).digest()
        address = self.access.guard.address(request.scope, read_headers(request.scope))
        self._check_wait(address, digest)
        # A list and not a generator: `any` over a generator would stop at the first one that fits,
        # and so show by its time which of the tokens it was.
        matches = [
            hmac.compare_digest(hashlib.sha256(valid_token.encode()).digest(), digest)
            for valid_token in self.access.tokens
        ]
        # Checked after the comparison, so that a wrong scheme takes as long as a wrong token.
        if scheme.lower() != SCHEME or not any(matches):
            self.access.guard.note_failure(address)
            self._log_refusal(HTTPStatus.UNAUTHORIZED, "no token, or a wrong one", address)
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED, HOW_TO_AUTHENTICATE, headers={"WWW-Authenticate": "Bearer"}
            )
        self.access.guard.note_success(address, digest)

    def _check_wait(self, address: str, token_digest: bytes) -> None:
        wait_s = self.access.guard.wait_s(address, token_digest)
        if wait_s <= 0:
            return
        self._log_refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many wrong tokens", address)
        headers = {"Retry-After": str(math.ceil(wait_s))}
        raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, TOO_MANY_FAILURES, headers=headers)

    def _log_refusal(self, status: HTTPStatus, reason: str, address: str) -> None:
        refusal = Refusal(
            event=LogEvent.ADMIN_REJECTED,
            account=self.access.account,
            source=None,
            status_code=int(status),
            reason=reason,
        )
        self.access.refusals.write(log, refusal, client=address)

    async def read(self, request: Request, model: type[BodyT]) -> BodyT:
        """The body of a request. Raises HTTP errors that say what is wrong with it."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send Content-Type: {JSON}.")
        limits = BodyLimits(max_bytes=model.max_bytes, timeout_s=self.access.body_timeout_s)
        try:
            # By the announced length first: a body that is too large is refused before it is read.
            check_length(read_headers(request.scope), limits)
            body = await read_body(request.receive, limits)
            check_names(body)
            return model.model_validate_json(body)
        except MalformedPayload as err:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"{err}.") from err
        except PayloadTooLarge as err:
            detail = f"{model.noun.capitalize()} has at most {model.max_bytes} bytes."
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, headers=dict(CLOSING)
            ) from err
        except ReadTimeout as err:
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT, "Send the whole request at once.", headers=dict(CLOSING)
            ) from err
        except SenderGone as err:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "The request ended too early.") from err
        except ValidationError as err:
            # From None: pydantic's error holds what was sent.
            raise _invalid_body(err, model) from None

    async def from_redis(self, answer: Awaitable[T]) -> T:
        """What Redis answers. Raises `QueueUnavailable` if it does not within the timeout."""
        try:
            # redis-py's own timeouts are per read, and its retry doubles them.
            async with asyncio.timeout(self.access.redis_timeout_s):
                return await answer
        except (RedisError, OSError, TimeoutError) as err:
            log.warning(self.unavailable, reason=type(err).__name__)
            raise QueueUnavailable("Redis does not answer") from err


def _invalid_body(err: ValidationError, model: type[JsonBody]) -> HTTPException:
    faults = err.errors(include_url=False, include_input=False, include_context=False)
    # pydantic reports a body that is no JSON as a fault like any other; for the sender it is 400.
    if faults[0]["type"] == "json_invalid":
        return HTTPException(
            HTTPStatus.BAD_REQUEST, f"The body is not JSON. Send an object like {model.example}."
        )
    # In order and once: each wrong item of a list is a fault of its own with the same field.
    lines = dict.fromkeys(
        _fault_line(fault["loc"], fault["type"], model) for fault in faults if fault["loc"]
    )
    detail = "; ".join(lines) or f"The body must be an object like {model.example}"
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{detail}.")


def _fault_line(place: Sequence[int | str], error_type: str, model: type[JsonBody]) -> str:
    """A fault in words; its field is named, its value is not repeated."""
    name = str(place[0])
    shown_name = name[:MAX_NAME]
    if len(place) >= DEPTH_IN_LIST:
        # A field of an object in a list: people, 3, contact_id.
        name = str(place[2])
        shown_name = f"{shown_name} {int(place[1]) + 1}: {name[:MAX_NAME]}"
    rule = model.rules.get(name, ID_RULE)
    if error_type == "extra_forbidden":
        return f"{shown_name} is not a field of {model.noun}"
    if error_type == "missing":
        return f"{shown_name} is missing; {rule}"
    return f"{shown_name} {rule}"
