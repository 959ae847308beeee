"""
Expected calls over HTTP: the system that starts a call in Buildr names the number it will be with.

Every request carries one of the tokens of `ADMIN_TOKEN`; without that setting there is no such
endpoint.
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

from service.buildr_ids import BuildrCallId, BuildrId, is_buildr_call_id
from service.events import Direction
from service.logs.events import LogEvent
from service.phone_numbers import MAX_LENGTH, Number, read_number
from service.receiver.admin_endpoint import (
    ID_RULE,
    NOT_STORED,
    AdminEndpoint,
    JsonBody,
)
from service.store.expectations import Expectation, ExpectedCall, as_dict
from service.store.expected_calls import MAX_NUMBERS, ExpectedCalls, WrongWindow

PATH: Final = "/expected-calls"
ONE: Final = PATH + "/{buildr_call_id}"
# For people and for debugging: there is no paging, since nothing else needs a list.
MOST_LISTED: Final = 1000
MAX_AGENT: Final = 200
MOMENT_RULE: Final = 'must be a moment with its offset, like "2026-11-02T10:00:00Z"'

log = structlog.get_logger(__name__)

NumberText = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]
# No control characters, and at least one that is not a blank.
AgentName = Annotated[
    str,
    Field(pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$", max_length=MAX_AGENT),
]


class ExpectedCallBody(JsonBody):
    """The JSON of an expected call: ids in Buildr, telephone numbers in any format."""

    noun = "an expected call"
    example = '{"buildr_call_id": "110", "numbers": ["+15005550006"]}'
    rules: ClassVar[Mapping[str, str]] = {
        "numbers": (
            f"must be a list of 1 to {MAX_NUMBERS} telephone numbers in strings, "
            'like ["+15005550006"]'
        ),
        "agent": f"must be a text of 1 to {MAX_AGENT} printable characters",
        "direction": 'must be "inbound" or "outbound"',
        "not_before": MOMENT_RULE,
        "not_after": MOMENT_RULE,
    }

    buildr_call_id: BuildrCallId
    numbers: Annotated[list[NumberText], Field(min_length=1, max_length=MAX_NUMBERS)]
    agent: AgentName | None = None
    direction: Direction | None = None
    not_before: AwareDatetime | None = None
    not_after: AwareDatetime | None = None
    company_id: BuildrId | None = None
    contact_id: BuildrId | None = None
    project_id: BuildrId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCallsEndpoint(AdminEndpoint):
    """The endpoint of expected calls; numbers without a country code are of `default_region`."""

    unavailable: ClassVar[LogEvent] = LogEvent.EXPECTED_UNAVAILABLE

    expected: ExpectedCalls
    default_region: str

    def routes(self, prefix: str = "") -> list[Route]:
        """The routes below a prefix such as `/accounts/acme`; none without a token."""
        # No route and not a refusal: without a token set, nothing shows that there is an endpoint.
        if not self.access.tokens:
            return []
        return [
            Route(prefix + PATH, self._serve_all, methods=["POST", "GET"]),
            Route(prefix + ONE, self._serve_one, methods=["GET", "DELETE"]),
        ]

    async def _serve_all(self, request: Request) -> Response:
        self.check_token(request)
        if request.method == "POST":
            return await self._post(request)
        expected_calls = await self.from_redis(self.expected.newest(limit=MOST_LISTED))
        content = {"expected_calls": [as_dict(expected) for expected in expected_calls]}
        return JSONResponse(content, headers=NOT_STORED)

    async def _serve_one(self, request: Request) -> Response:
        self.check_token(request)
        buildr_call_id = request.path_params["buildr_call_id"]
        if not is_buildr_call_id(buildr_call_id):
            raise HTTPException(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"The id of the Buildr call in the URL {ID_RULE}, without the quotes.",
            )
        if request.method == "DELETE":
            return await self._delete(buildr_call_id)
        expected = await self.from_redis(self.expected.get(buildr_call_id))
        if expected is None:
            raise _not_expected()
        return _respond(expected, status=HTTPStatus.OK)

    async def _delete(self, buildr_call_id: str) -> Response:
        if not await self.from_redis(self.expected.remove(buildr_call_id)):
            raise _not_expected()
        log.info(LogEvent.EXPECTED_REMOVED, buildr_call_id=buildr_call_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _post(self, request: Request) -> Response:
        body = await self.read(request, ExpectedCallBody)
        fields = body.model_dump()
        fields["numbers"] = self._read_numbers(body.numbers)
        # Compared with an agent's name of a vendor, which has no blanks around it.
        if body.agent is not None:
            fields["agent"] = body.agent.strip()
        expectation = Expectation(**fields)
        try:
            registration = await self.from_redis(self.expected.put(expectation))
        except WrongWindow as err:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{err}.") from err
        log.info(
            LogEvent.EXPECTED_REGISTERED,
            buildr_call_id=expectation.buildr_call_id,
            is_new=registration.is_new,
            woken=registration.woken,
        )
        status = HTTPStatus.CREATED if registration.is_new else HTTPStatus.OK
        return _respond(registration.expected, status=status)

    def _read_numbers(self, texts: list[str]) -> tuple[Number, ...]:
        """The numbers, each once. Raises 422 that names the places of those that are none."""
        # A dictionary as an ordered set: the order is that of the request, as it is shown again.
        numbers: dict[Number, None] = {}
        wrong_places = []
        for place, text in enumerate(texts, start=1):
            number = read_number(text, region=self.default_region)
            if number is None:
                wrong_places.append(str(place))
            else:
                numbers[number] = None
        if wrong_places:
            raise HTTPException(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"There is no telephone number in numbers at place {', '.join(wrong_places)}; "
                "write it with its country code, like +15005550006.",
            )
        return tuple(numbers)


def _not_expected() -> HTTPException:
    return HTTPException(
        HTTPStatus.NOT_FOUND,
        "This Buildr call is not expected. Register it with POST.",
        headers=dict(NOT_STORED),
    )


def _respond(expected: ExpectedCall, *, status: int) -> Response:
    return JSONResponse(as_dict(expected), status_code=status, headers=NOT_STORED)
