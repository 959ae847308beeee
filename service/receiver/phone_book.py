"""
The phone book over HTTP: another program keeps up to date who has which telephone number.

Every request carries one of the tokens of `ADMIN_TOKEN`; without that setting there is no such
endpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, ClassVar, Final

import structlog
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.buildr_ids import BuildrId, is_buildr_id
from service.listed_numbers import read_listed_number
from service.logs.events import LogEvent
from service.phone_numbers import MAX_LENGTH
from service.receiver.admin_endpoint import ID_RULE, NOT_STORED, AdminEndpoint, JsonBody
from service.store.phone_book import PhoneBook, PhoneBookEntry

PATH: Final = "/phonebook"
ONE: Final = PATH + "/{number}"
MAX_PEOPLE: Final = 500
MAX_NUMBERS: Final = 10
MAX_BODY_BYTES: Final = 256 * 1024

log = structlog.get_logger(__name__)

NumberText = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]


class PersonBody(BaseModel):
    """Whom numbers belong to: at least one of the ids, digits in a string."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    contact_id: BuildrId | None = None
    company_id: BuildrId | None = None
    project_id: BuildrId | None = None
    numbers: Annotated[list[NumberText], Field(min_length=1, max_length=MAX_NUMBERS)]

    @property
    def has_id(self) -> bool:
        """Whether it names anybody."""
        return any((self.contact_id, self.company_id, self.project_id))


class PhoneBookBody(JsonBody):
    """The JSON of `PUT /phonebook`: people, and their telephone numbers in any form."""

    noun = "a phone book"
    example = '{"people": [{"contact_id": "418", "numbers": ["+15005550006"]}]}'
    max_bytes = MAX_BODY_BYTES
    rules: ClassVar[Mapping[str, str]] = {
        "people": (
            f"must be a list of 1 to {MAX_PEOPLE} objects, "
            'like [{"contact_id": "418", "numbers": ["+15005550006"]}]'
        ),
        "numbers": (
            f"must be a list of 1 to {MAX_NUMBERS} telephone numbers in strings, "
            'like ["+15005550006"]'
        ),
    }

    people: Annotated[list[PersonBody], Field(min_length=1, max_length=MAX_PEOPLE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneBookEndpoint(AdminEndpoint):
    """The endpoint of the phone book; numbers without a country code are of `default_region`."""

    unavailable: ClassVar[LogEvent] = LogEvent.PHONE_BOOK_UNAVAILABLE

    phone_book: PhoneBook
    default_region: str

    def routes(self, prefix: str = "") -> list[Route]:
        """The routes below a prefix such as `/accounts/acme`; none without a token."""
        if not self.access.tokens:
            return []
        return [
            Route(prefix + PATH, self._put, methods=["PUT"]),
            Route(prefix + ONE, self._serve_one, methods=["GET", "DELETE"]),
        ]

    async def _put(self, request: Request) -> Response:
        self.check_token(request)
        body = await self.read(request, PhoneBookBody)
        entries = self._read_entries(body.people)
        new = await self.from_redis(self.phone_book.put(entries))
        counts = {"people": len(body.people), "numbers": len(entries), "new": new}
        log.info(LogEvent.PHONE_BOOK_CHANGED, **counts)
        return JSONResponse(counts, headers=NOT_STORED)

    async def _serve_one(self, request: Request) -> Response:
        self.check_token(request)
        number = read_listed_number(request.path_params["number"], region=self.default_region)
        if number is None:
            raise HTTPException(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "There is no telephone number in the URL; write it like %2B15005550006.",
            )
        if request.method == "DELETE":
            return await self._delete(number, request.query_params.get("contact_id"))
        entries = await self.from_redis(self.phone_book.find(number))
        if not entries:
            raise _not_listed()
        content = {"number": number, "people": [entry.as_dict() for entry in entries]}
        return JSONResponse(content, headers=NOT_STORED)

    async def _delete(self, number: str, contact_id: str | None) -> Response:
        if contact_id is not None and not is_buildr_id(contact_id):
            raise HTTPException(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"contact_id in the URL {ID_RULE}, without the quotes.",
            )
        removed = await self.from_redis(self.phone_book.remove(number, contact_id=contact_id))
        if not removed:
            raise _not_listed()
        log.info(LogEvent.PHONE_BOOK_REMOVED, removed=removed)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def _read_entries(self, people: Sequence[PersonBody]) -> list[PhoneBookEntry]:
        """An entry for each number of each person. Raises 422 that names what is wrong where."""
        entries: dict[PhoneBookEntry, None] = {}
        faults: list[str] = []
        for place, person in enumerate(people, start=1):
            if not person.has_id:
                faults.append(f"people {place} has no contact_id, company_id or project_id")
            for number_place, text in enumerate(person.numbers, start=1):
                number = read_listed_number(text, region=self.default_region)
                if number is None:
                    faults.append(f"people {place} has no telephone number at {number_place}")
                else:
                    entries[_entry(number, person)] = None
        if faults:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{'; '.join(faults[:20])}.")
        return list(entries)


def _entry(number: str, person: PersonBody) -> PhoneBookEntry:
    return PhoneBookEntry(
        number=number,
        contact_id=person.contact_id,
        company_id=person.company_id,
        project_id=person.project_id,
    )


def _not_listed() -> HTTPException:
    return HTTPException(
        HTTPStatus.NOT_FOUND,
        "The phone book does not have this number. Add it with PUT.",
        headers=dict(NOT_STORED),
    )
