"""
Expected calls over HTTP: whoever starts a call in Buildr says with which number it will be.

Every request carries one of the tokens of `ADMIN_TOKEN`; without that setting there is nothing
here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, ClassVar, Final

import structlog
from pydantic import AwareDatetime, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.buildr_ids import BuildrId, is_buildr_id
from service.events import Direction
from service.phone_numbers import MAX_LENGTH, Number, read_number
from service.receiver.admin_endpoint import (
    NOT_STORED,
    WRONG_ID,
    AdminEndpoint,
    Body,
)
from service.store.expected_calls import (
    MOST_NUMBERS,
    Expectation,
    ExpectedCall,
    ExpectedCalls,
    WrongWindow,
    as_dict,
)

PATH: Final = "/expected-calls"
ONE: Final = PATH + "/{buildr_call_id}"
MOST_LISTED: Final = 1000
MAX_AGENT: Final = 200
MOMENT: Final = 'must be a moment with its offset, like "2026-11-02T10:00:00Z"'

log = structlog.get_logger(__name__)

Text = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]


class ExpectedBody(Body):
    """The JSON of an expected call: ids as Buildr gives them, numbers in any writing."""

    noun = "an expected call"
    example = '{"buildr_call_id": "110", "numbers": ["+15005550006"]}'
    wanted: ClassVar[Mapping[str, str]] = {
        "numbers": f'must be a list of 1 to {MOST_NUMBERS} telephone numbers in strings, like ["+15005550006"]',
        "agent": f"must be a text of 1 to {MAX_AGENT} printable characters",
        "direction": 'must be "inbound" or "outbound"',
        "not_before": MOMENT,
        "not_after": MOMENT,
    }

    buildr_call_id: BuildrId
    numbers: Annotated[list[Text], Field(min_length=1, max_length=MOST_NUMBERS)]
    agent: (
        Annotated[
            str,
            Field(
                pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
                max_length=MAX_AGENT,
            ),
        ]
        | None
    ) = None
    direction: Direction | None = None
    not_before: AwareDatetime | None = None
    not_after: AwareDatetime | None = None
    company_id: BuildrId | None = None
    contact_id: BuildrId | None = None
    project_id: BuildrId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCallsEndpoint(AdminEndpoint):
    """The endpoint of expected calls; numbers without a country code are of `default_region`."""

    unavailable: ClassVar[str] = "expected.unavailable"

    expected: ExpectedCalls
    default_region: str

    def routes(self, prefix: str = "") -> list[Route]:
        """The routes below a prefix such as `/accounts/acme`; none without a token."""
        if not self.tokens:
            return []
        return [
            Route(prefix + PATH, self._serve_all, methods=["POST", "GET"]),
            Route(prefix + ONE, self._serve_one, methods=["GET", "DELETE"]),
        ]

    async def _serve_all(self, request: Request) -> Response:
        self.check_token(request)
        if request.method == "POST":
            return await self._post(request)
        found = await self.ask(self.expected.newest(limit=MOST_LISTED))
        return JSONResponse(
            {"expected_calls": [as_dict(each) for each in found]}, headers=NOT_STORED
        )

    async def _serve_one(self, request: Request) -> Response:
        self.check_token(request)
        buildr_call_id = request.path_params["buildr_call_id"]
        if not is_buildr_id(buildr_call_id):
            raise HTTPException(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"The id of the Buildr call in the URL {WRONG_ID}, without the quotes.",
            )
        if request.method == "DELETE":
            if not await self.ask(self.expected.remove(buildr_call_id)):
                raise _not_expected()
            log.info("expected.removed", buildr_call_id=buildr_call_id)
            return Response(status_code=HTTPStatus.NO_CONTENT)
        found = await self.ask(self.expected.get(buildr_call_id))
        if found is None:
            raise _not_expected()
        return _show(found, status=HTTPStatus.OK)

    async def _post(self, request: Request) -> Response:
        body = await self.read(request, ExpectedBody)
        agent = None if body.agent is None else body.agent.strip()
        wish = Expectation(
            **(body.model_dump() | {"numbers": self._numbers(body.numbers), "agent": agent})
        )
        try:
            done = await self.ask(self.expected.put(wish))
        except WrongWindow as err:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{err}.") from err
        log.info(
            "expected.registered",
            buildr_call_id=wish.buildr_call_id,
            is_new=done.is_new,
            woken=done.woken,
        )
        return _show(done.expected, status=HTTPStatus.CREATED if done.is_new else HTTPStatus.OK)

    def _numbers(self, texts: list[str]) -> tuple[Number, ...]:
        read = [read_number(text, region=self.default_region) for text in texts]
        wrong = [str(place) for place, number in enumerate(read, start=1) if number is None]
        if wrong:
            detail = f"No telephone number stands in numbers at place {', '.join(wrong)}; write it with its country code, like +15005550006."
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        return tuple(dict.fromkeys(number for number in read if number is not None))


def _not_expected() -> HTTPException:
    return HTTPException(
        HTTPStatus.NOT_FOUND,
        "This Buildr call is not expected. Register it with POST.",
        headers=dict(NOT_STORED),
    )


def _show(found: ExpectedCall, *, status: int) -> Response:
    return JSONResponse(as_dict(found), status_code=status, headers=NOT_STORED)
