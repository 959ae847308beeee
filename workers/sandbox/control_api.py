"""
What is not Buildr's: reading the sandbox's state, editing calls by hand, and requesting faults.
For this machine only.
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from msgspec import Struct
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.buildr_ids import is_buildr_id
from workers.sandbox.config import SandboxConfig
from workers.sandbox.faults import Fault, Faults
from workers.sandbox.records import Calls
from workers.sandbox.request_log import RequestLog, latest
from workers.sandbox.responses import errors
from workers.sandbox.validation import Refused, check_fields

PREFIX: Final = "/_sandbox"
Endpoint = Callable[[Request], Awaitable[Response]]


class Console(Struct, frozen=True, kw_only=True):
    """The routes under `/_sandbox`, over the parts of a sandbox."""

    calls: Calls
    faults: Faults
    requests: RequestLog
    config: SandboxConfig
    clock: Callable[[], int]

    def routes(self) -> list[Route]:
        """All routes; each answers peers on this machine only."""
        table: list[tuple[str, str, Endpoint]] = [
            ("GET", "/state", self.state),
            ("GET", "/requests", self.list_requests),
            ("DELETE", "/requests", self.clear_requests),
            ("GET", "/calls", self.list_calls),
            ("GET", "/calls/{call_id}", self.get_call),
            ("PUT", "/calls/{call_id}", self.put_call),
            ("GET", "/faults", self.list_faults),
            ("POST", "/faults", self.add_fault),
            ("DELETE", "/faults", self.clear_faults),
        ]
        return [
            Route(PREFIX + path, _local(endpoint), methods=[method])
            for method, path, endpoint in table
        ]

    async def state(self, _: Request) -> Response:
        """Counts, 429s, and the most requests that came in any window."""
        return JSONResponse(
            {
                **self.requests.as_json(),
                "limit_mode": self.config.limit_mode,
                "calls": len(self.calls.by_id),
                "faults": len(self.faults.pending),
            }
        )

    async def list_requests(self, request: Request) -> Response:
        """The requests received, in order; `?after=ID` for those since."""
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit()):
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "after must be the id of a request")
        return JSONResponse({"requests": latest(self.requests.entries, after=int(after[:20]))})

    async def clear_requests(self, _: Request) -> Response:
        """Forget the requests and counts; the rate limit goes on unchanged."""
        self.requests.clear()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def list_calls(self, _: Request) -> Response:
        """Every call in short, by its id: the id of its outcome, and its notes."""
        return JSONResponse(
            {
                "calls": {
                    call.id: {"call_outcome_id": call.call_outcome_id, "notes": call.notes}
                    for call in self.calls.by_id.values()
                }
            }
        )

    async def get_call(self, request: Request) -> Response:
        """A call as it is held."""
        call = self.calls.get(request.path_params["call_id"])
        if call is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such call")
        return JSONResponse({"call": call.as_json(self.calls.outcomes)})

    async def put_call(self, request: Request) -> Response:
        """
        Change fields as an edit by hand would, null included; makes the call if there is none.
        """
        call_id = request.path_params["call_id"]
        parsed = await _json(request)
        if not is_buildr_id(call_id) or not isinstance(parsed, dict):
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                'the id must be digits and the body an object like {"notes": "..."}',
            )
        fields = check_fields(parsed, outcome_ids=self.calls.outcomes, may_be_null=True)
        result = self.calls.get(call_id)
        call = result or self.calls.create(call_id, self.clock())
        self.calls.update(call, fields, self.clock())
        return JSONResponse(
            {"call": call.as_json(self.calls.outcomes)},
            status_code=HTTPStatus.OK if result else HTTPStatus.CREATED,
        )

    async def list_faults(self, _: Request) -> Response:
        """The faults that are still to come."""
        return JSONResponse({"faults": [fault.model_dump() for fault in self.faults.pending]})

    async def add_fault(self, request: Request) -> Response:
        """Misbehave for the next requests that match."""
        try:
            fault = Fault.model_validate(await _json(request))
        except ValidationError as err:
            faults = [
                f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in err.errors()
            ]
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, *faults) from err
        self.faults.add(fault)
        return JSONResponse({"fault": fault.model_dump()}, status_code=HTTPStatus.CREATED)

    async def clear_faults(self, _: Request) -> Response:
        """Behave again."""
        self.faults.pending.clear()
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _local(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        # It changes what the account holds, and needs no token.
        if not _is_loopback(request):
            return errors(HTTPStatus.FORBIDDEN, ["only for peers on this machine"])
        try:
            return await endpoint(request)
        except Refused as err:
            return errors(err.status, err.messages)

    return answer


def _is_loopback(request: Request) -> bool:
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


async def _json(request: Request) -> object:
    try:
        parsed: object = json.loads(await request.body())
    except (ValueError, RecursionError) as err:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is no JSON") from err
    return parsed
