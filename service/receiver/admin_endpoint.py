"""
What the endpoints behind `ADMIN_TOKEN` share: the token, a body within limits, and Redis asked for
no longer than is allowed.

Without that setting none of them exists.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import ClassVar, Final, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.errors import PayloadTooLarge, QueueUnavailable, ReadTimeout
from service.receiver.requests import (
    BodyLimits,
    SenderGone,
    check_length,
    read_body,
    read_headers,
)
from service.sources.request import JSON
from service.store.keys import DEFAULT_ACCOUNT

MAX_BYTES: Final = 16 * 1024
MAX_NAME: Final = 40
SCHEME: Final = "bearer"
NOT_STORED: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}
WRONG_ID: Final = 'must be a string of 1 to 20 digits, like "110"'
CLOSING: Final[Mapping[str, str]] = {"Connection": "close"}

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Body(BaseModel):
    """
    A JSON body: `noun` is what it holds, `example` the least that is one, `wanted` what a field
    must be unless it is an id.
    """

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    noun: ClassVar[str]
    example: ClassVar[str]
    wanted: ClassVar[Mapping[str, str]] = {}


B = TypeVar("B", bound=Body)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminEndpoint:
    """
    An endpoint of one account behind a token.

    `tokens` are the secrets of `ADMIN_TOKEN`, `unavailable` is what it logs when Redis is away;
    each of its lines names the `account`.
    """

    unavailable: ClassVar[str]

    account: str = DEFAULT_ACCOUNT
    tokens: tuple[str, ...] = field(repr=False)
    body_timeout_s: float
    redis_timeout_s: float

    def check_token(self, request: Request) -> None:
        """
        Raises 401 unless the one Authorization header holds one of the tokens; all are compared,
        whichever fits.
        """
        structlog.contextvars.bind_contextvars(account=self.account)
        values = request.headers.getlist("authorization")
        scheme, _, given = (values[0] if len(values) == 1 else "").partition(" ")
        # Digests have one length, so that not even the length of a token shows in the time taken.
        found = hashlib.sha256(given.strip().encode("latin-1")).digest()
        matches = [
            hmac.compare_digest(hashlib.sha256(token.encode()).digest(), found)
            for token in self.tokens
        ]
        if scheme.lower() != SCHEME or not any(matches):
            detail = "Send the header Authorization: Bearer, with the ADMIN_TOKEN of this service."
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"}
            )

    async def read(self, request: Request, model: type[B]) -> B:
        """What a request brings. Raises HTTP errors that say what is wrong with it."""
        headers, limits = (
            read_headers(request.scope),
            BodyLimits(max_bytes=MAX_BYTES, timeout_s=self.body_timeout_s),
        )
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send Content-Type: {JSON}.")
        try:
            check_length(headers, limits)
            return model.model_validate_json(await read_body(request.receive, limits))
        except PayloadTooLarge as err:
            detail = f"{model.noun.capitalize()} has at most {MAX_BYTES} bytes."
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
            raise _wrong_body(err, model) from None

    async def ask(self, answer: Awaitable[T]) -> T:
        """What Redis answers. Raises `QueueUnavailable` if it does not in time."""
        try:
            async with asyncio.timeout(self.redis_timeout_s):
                return await answer
        except (RedisError, OSError, TimeoutError) as err:
            log.warning(self.unavailable, reason=type(err).__name__)
            raise QueueUnavailable("Redis does not answer") from err


def _wrong_body(err: ValidationError, model: type[Body]) -> HTTPException:
    faults = err.errors(include_url=False, include_input=False, include_context=False)
    if faults[0]["type"] == "json_invalid":
        return HTTPException(
            HTTPStatus.BAD_REQUEST, f"The body is not JSON. Send an object like {model.example}."
        )
    lines = dict.fromkeys(
        _line(str(fault["loc"][0]), fault["type"], model) for fault in faults if fault["loc"]
    )
    detail = "; ".join(lines) or f"The body must be an object like {model.example}"
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{detail}.")


def _line(name: str, kind: str, model: type[Body]) -> str:
    wanted = model.wanted.get(name, WRONG_ID)
    if kind == "extra_forbidden":
        return f"{name[:MAX_NAME]} is not a field of {model.noun}"
    return (
        f"{name[:MAX_NAME]} is missing; {wanted}"
        if kind == "missing"
        else f"{name[:MAX_NAME]} {wanted}"
    )
