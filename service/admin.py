"""
Links over HTTP: which Buildr call a telephone call is, told by whoever started it.

Every request carries one of the tokens of `ADMIN_TOKEN`; without that setting there is nothing here.
"""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Annotated, Final, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.errors import MalformedPayload, PayloadTooLarge, QueueUnavailable, ReadTimeout
from service.requests import BodyLimits, SenderGone, check_length, read_body, read_headers
from service.sources.base import JSON, call_id
from service.store.links import Link, Links

PATH: Final = "/links/{source}/{source_call_id:path}"
MAX_BYTES: Final = 16 * 1024
MAX_NAME: Final = 40
SCHEME: Final = "bearer"
NOT_STORED: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}
WRONG_ID: Final = 'must be a string of 1 to 20 digits, like "110"'
# Kind of pydantic's fault -> what to say of the field.
FAULTS: Final[Mapping[str, str]] = {
    "missing": "is missing; " + WRONG_ID,
    "extra_forbidden": "is not a field of a link",
    "string_type": WRONG_ID,
    "string_pattern_mismatch": WRONG_ID,
}

log = structlog.get_logger(__name__)

T = TypeVar("T")
BuildrId = Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]


class LinkBody(BaseModel):
    """The JSON of a link: ids as Buildr gives them, digits in strings."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    buildr_call_id: BuildrId
    company_id: BuildrId | None = None
    contact_id: BuildrId | None = None
    project_id: BuildrId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """The endpoint of links; `tokens` are the secrets of `ADMIN_TOKEN`, `slugs` the names of all sources, on or off."""

    links: Links
    slugs: Collection[str]
    tokens: tuple[str, ...] = field(repr=False)
    body_timeout_s: float
    redis_timeout_s: float

    def routes(self) -> list[Route]:
        """The routes; none without a token, so that everything below `/links` is a 404."""
        return [Route(PATH, self._serve, methods=["PUT", "GET", "DELETE"])] if self.tokens else []

    async def _serve(self, request: Request) -> Response:
        self._check_token(request)
        source, source_call_id = request.path_params["source"], request.path_params["source_call_id"]
        if source not in self.slugs:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no such source. The sources are {', '.join(sorted(self.slugs))}.")
        try:
            call_id(source_call_id, name="The id of the call in the URL")
        except MalformedPayload as err:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{err}.") from err
        if request.method == "PUT":
            return await self._put(request, source, source_call_id)
        if request.method == "DELETE":
            return await self._delete(source, source_call_id)
        return await self._get(source, source_call_id)

    async def _put(self, request: Request, source: str, source_call_id: str) -> Response:
        link = Link(**(await self._read(request)).model_dump())
        is_new, is_known = await self._ask(self.links.put(source, source_call_id, link))
        ids = {"source": source, "source_call_id": source_call_id, "buildr_call_id": link.buildr_call_id}
        log.info("link.set", **ids, is_new=is_new, is_call_known=is_known)
        return _show(source, source_call_id, link, status=HTTPStatus.CREATED if is_new else HTTPStatus.OK)

    async def _get(self, source: str, source_call_id: str) -> Response:
        link = await self._ask(self.links.get(source, source_call_id))
        if link is None:
            raise _no_link()
        return _show(source, source_call_id, link, status=HTTPStatus.OK)

    async def _delete(self, source: str, source_call_id: str) -> Response:
        if not await self._ask(self.links.remove(source, source_call_id)):
            raise _no_link()
        log.info("link.removed", source=source, source_call_id=source_call_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def _check_token(self, request: Request) -> None:
        """Raises 401 unless the one Authorization header holds one of the tokens; all are compared, whichever fits."""
        values = request.headers.getlist("authorization")
        scheme, _, given = (values[0] if len(values) == 1 else "").partition(" ")
        # Digests have one length, so that not even the length of a token shows in the time taken.
        found = hashlib.sha256(given.strip().encode("latin-1")).digest()
        matches = [hmac.compare_digest(hashlib.sha256(token.encode()).digest(), found) for token in self.tokens]
        if scheme.lower() != SCHEME or not any(matches):
            detail = "Send the header Authorization: Bearer, with the ADMIN_TOKEN of this service."
            raise HTTPException(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})

    async def _read(self, request: Request) -> LinkBody:
        """The link that a request brings. Raises HTTP errors that say what is wrong with it."""
        headers, limits = read_headers(request.scope), BodyLimits(max_bytes=MAX_BYTES, timeout_s=self.body_timeout_s)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send Content-Type: {JSON}.")
        try:
            check_length(headers, limits)
            return LinkBody.model_validate_json(await read_body(request.receive, limits))
        except PayloadTooLarge as err:
            detail = f"A link has at most {MAX_BYTES} bytes."
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, headers={"Connection": "close"}) from err
        except ReadTimeout as err:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "Send the whole request at once.", headers={"Connection": "close"}) from err
        except SenderGone as err:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "The request ended too early.") from err
        except ValidationError as err:
            raise _wrong_body(err) from None

    async def _ask(self, answer: Awaitable[T]) -> T:
        """What Redis answers. Raises `QueueUnavailable` if it does not in time."""
        try:
            async with asyncio.timeout(self.redis_timeout_s):
                return await answer
        except (RedisError, OSError, TimeoutError) as err:
            log.warning("link.unavailable", reason=type(err).__name__)
            raise QueueUnavailable("Redis does not answer") from err


def _wrong_body(err: ValidationError) -> HTTPException:
    faults = err.errors(include_url=False, include_input=False, include_context=False)
    if faults[0]["type"] == "json_invalid":
        return HTTPException(HTTPStatus.BAD_REQUEST, 'The body is not JSON. Send an object like {"buildr_call_id": "110"}.')
    lines = [f"{str(fault['loc'][0])[:MAX_NAME]} {FAULTS.get(fault['type'], WRONG_ID)}" for fault in faults if fault["loc"]]
    detail = "; ".join(lines) or 'The body must be an object like {"buildr_call_id": "110"}'
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{detail}.")


def _no_link() -> HTTPException:
    return HTTPException(HTTPStatus.NOT_FOUND, "This call has no link. Set one with PUT.", headers=dict(NOT_STORED))


def _show(source: str, source_call_id: str, link: Link, *, status: int) -> Response:
    ids = {name: value for name, value in asdict(link).items() if value is not None}
    return JSONResponse({"source": source, "source_call_id": source_call_id, **ids}, status_code=status, headers=NOT_STORED)
