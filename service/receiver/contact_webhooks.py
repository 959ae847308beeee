"""
Buildr's own webhooks about contacts: the contact that one names is read again.

https://buildr.dev/introduction/webhooks shows the payload, `{"id": 2279, "url": "..."}`, and no
signature. So the address holds a token, without which everything is a 404, and a message is only
believed to say that there is something to read: what is written comes from Buildr's API.
"""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, ClassVar, Final

import structlog
from pydantic import ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.buildr_ids import BuildrId
from service.logs.events import LogEvent
from service.receiver.admin_endpoint import AdminEndpoint, JsonBody
from service.receiver.problems import ADVICE
from service.receiver.refusals import Refusal
from service.store.contact_queue import ContactQueue
from service.webhook_urls import BUILDR, TOKEN_SEGMENT, is_path_token, webhook_path

MAX_ID: Final = 10**20 - 1

log = structlog.get_logger(__name__)


class ContactMessage(JsonBody):
    """A message about a contact; other fields may be there."""

    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True)

    noun = "a message about a contact"
    example = '{"id": 2279, "url": "https://api.buildr.com/api/2023-01/contacts/2279"}'

    id: BuildrId | Annotated[int, Field(ge=0, le=MAX_ID)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactWebhooks(AdminEndpoint):
    """The endpoint of one account; without URL secrets it does not exist."""

    unavailable: ClassVar[LogEvent] = LogEvent.PHONE_BOOK_UNAVAILABLE

    queue: ContactQueue
    path_account: str | None
    url_secrets: tuple[str, ...] = field(repr=False)

    def routes(self) -> list[Route]:
        """Its routes, which are to come before those of the sources."""
        path = webhook_path(BUILDR, account=self.path_account) + TOKEN_SEGMENT + "{token}"
        return [Route(path + slash, self._receive, methods=["POST"]) for slash in ("", "/")]

    async def _receive(self, request: Request) -> Response:
        structlog.contextvars.bind_contextvars(account=self.access.account, source=BUILDR)
        token = request.path_params["token"]
        if not is_path_token(self.url_secrets, BUILDR, token, account=self.path_account):
            status = HTTPStatus.NOT_FOUND
            reason = "the token in the address is not the source's: see buildr-calls link-url"
            refusal = Refusal(
                event=LogEvent.MESSAGE_REJECTED,
                account=self.access.account,
                source=BUILDR,
                status_code=int(status),
                reason=reason,
            )
            self.access.refusals.write(log, refusal)
            raise HTTPException(status, ADVICE.get(status, status.phrase))
        message = await self.read(request, ContactMessage)
        contact_id = str(message.id)
        await self.from_redis(self.queue.add(contact_id))
        log.info(LogEvent.PHONE_BOOK_CONTACT_QUEUED, contact_id=contact_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)
