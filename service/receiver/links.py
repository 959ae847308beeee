"""
Links over HTTP: which Buildr call a telephone call is, set by the system that started it.

Every request carries one of the tokens of `ADMIN_TOKEN`; without that setting there is no
such endpoint.
"""

from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.buildr_ids import BuildrCallId, BuildrId
from service.errors import MalformedPayload
from service.logs.events import LogEvent
from service.receiver.admin_endpoint import (
    NOT_STORED,
    AdminEndpoint,
    JsonBody,
)
from service.sources.common.ids import call_id
from service.store.links import Link, Links, UnreadableLink

# `:path`, since a call's id is the vendor's text and may contain a slash.
PATH: Final = "/links/{source}/{source_call_id:path}"

log = structlog.get_logger(__name__)


class LinkBody(JsonBody):
    """The JSON of a link: ids in Buildr, digits in strings."""

    noun = "a link"
    example = '{"buildr_call_id": "110"}'

    buildr_call_id: BuildrCallId
    company_id: BuildrId | None = None
    contact_id: BuildrId | None = None
    project_id: BuildrId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksEndpoint(AdminEndpoint):
    """The endpoint of links; `slugs` are the names of all sources, on or off."""

    unavailable: ClassVar[LogEvent] = LogEvent.LINK_UNAVAILABLE

    links: Links
    slugs: Collection[str]

    def routes(self, prefix: str = "") -> list[Route]:
        """
        The routes below a prefix such as `/accounts/acme`; none without a token, so that everything
        below `/links` is a 404.
        """
        if not self.access.tokens:
            return []
        return [Route(prefix + PATH, self._serve, methods=["PUT", "GET", "DELETE"])]

    async def _serve(self, request: Request) -> Response:
        self.check_token(request)
        source = request.path_params["source"]
        source_call_id = request.path_params["source_call_id"]
        if source not in self.slugs:
            raise HTTPException(
                HTTPStatus.NOT_FOUND,
                f"There is no such source. The sources are {', '.join(sorted(self.slugs))}.",
            )
        try:
            # The same rule as for the ids in messages: a link under an id that no message can have
            # would be kept for nothing, and answered as if it worked.
            call_id(source_call_id, name="The id of the call in the URL")
        except MalformedPayload as err:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{err}.") from err
        if request.method == "PUT":
            return await self._put(request, source, source_call_id)
        if request.method == "DELETE":
            return await self._delete(source, source_call_id)
        return await self._get(source, source_call_id)

    async def _put(self, request: Request, source: str, source_call_id: str) -> Response:
        link = Link(**(await self.read(request, LinkBody)).model_dump())
        is_new, is_known = await self.from_redis(self.links.put(source, source_call_id, link))
        ids = {
            "source": source,
            "source_call_id": source_call_id,
            "buildr_call_id": link.buildr_call_id,
        }
        log.info(LogEvent.LINK_SET, **ids, is_new=is_new, is_call_known=is_known)
        status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
        return _respond(source, source_call_id, link, status=status)

    async def _get(self, source: str, source_call_id: str) -> Response:
        link = await self.from_redis(self.links.get(source, source_call_id))
        if link is None:
            raise _not_found("This call has no link. Set one with PUT.")
        if isinstance(link, UnreadableLink):
            raise _not_found("The link of this call is damaged. Set it again with PUT.")
        return _respond(source, source_call_id, link, status=HTTPStatus.OK)

    async def _delete(self, source: str, source_call_id: str) -> Response:
        if not await self.from_redis(self.links.remove(source, source_call_id)):
            raise _not_found("This call has no link. Set one with PUT.")
        log.info(LogEvent.LINK_REMOVED, source=source, source_call_id=source_call_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _not_found(text: str) -> HTTPException:
    return HTTPException(HTTPStatus.NOT_FOUND, text, headers=dict(NOT_STORED))


def _respond(source: str, source_call_id: str, link: Link, *, status: int) -> Response:
    ids = {name: value for name, value in link.ids().items() if value is not None}
    return JSONResponse(
        {"source": source, "source_call_id": source_call_id, **ids},
        status_code=status,
        headers=NOT_STORED,
    )
