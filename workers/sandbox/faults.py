"""
Faults on demand: how the sandbox misbehaves, for the next requests that match.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from workers.sandbox.rate_limit import NS_PER_S
from workers.sandbox.responses import rate_limit_answer
from workers.sandbox.validation import Refused

Kind = Literal[
    "status",
    "timeout",
    "reset",
    "late",
    "not_taken",
    "slow",
    "rate_limit",
    "garbage",
    "html",
    "revoke_token",
]
# More than is sent, so that the client must notice the missing rest.
PROMISED_BYTES: Final = 1000
HTML: Final = b"<!doctype html><title>Maintenance</title><h1>We will be back soon</h1>"


class Fault(BaseModel):
    """
    One way to misbehave, `times` times.

    `match` is a part of the path of the requests it is for (`calls/110`, `oauth/token`). `status`
    is for kind `status` and `html`, `seconds` for `timeout`, `late`, `slow` and `rate_limit`. With
    `is_applied` the request is carried out, and only its answer is lost or replaced.

    `late` cuts the connection at once and carries the request out `seconds` later. `not_taken`
    answers 200 with the call as it is, and changes nothing.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    times: int = Field(default=1, ge=1, le=1_000_000)
    status: int = Field(default=503, ge=200, le=599)
    seconds: float = Field(default=30, ge=0, le=3600)
    match: str = "/api/"
    is_applied: bool = False


@dataclass(slots=True)
class Faults:
    """The faults that are still to come, oldest first."""

    pending: list[Fault] = field(default_factory=list)
    # asyncio itself keeps no task alive.
    _late: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    def add(self, fault: Fault) -> None:
        """Have one more."""
        self.pending.append(fault)

    def take(self, path: str, *, is_before_login: bool) -> Fault | None:
        """
        The fault for this request, used up by one; those that revoke a token come before the token
        is looked at.
        """
        for place, fault in enumerate(self.pending):
            if fault.match in path and (fault.kind == "revoke_token") == is_before_login:
                left = fault.times - 1
                self.pending[place : place + 1] = (
                    [fault.model_copy(update={"times": left})] if left else []
                )
                return fault
        return None

    def carry_out_late(self, action: Callable[[], object], *, after_s: float) -> None:
        """Do what a request has asked, long after its connection was cut."""

        async def carry_out() -> None:
            await asyncio.sleep(after_s)
            # Nobody is there any more who could be answered.
            with suppress(Refused):
                action()

        task = asyncio.create_task(carry_out())
        self._late.add(task)
        task.add_done_callback(self._late.discard)


class CutOff(Response):
    """An answer that promises more than it sends, whereupon the server closes the connection."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the beginning only."""
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(PROMISED_BYTES).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # With `more_body` and no more of it: uvicorn closes the connection when the application
        # returns.
        await send({"type": "http.response.body", "body": b'{"call": {"id": "1', "more_body": True})


async def misbehave(fault: Fault, request: Request, *, is_beta: bool) -> Response:
    """
    The answer that a fault stands for; `slow`, `not_taken` and `revoke_token` answer nothing by
    themselves and are not handled here.
    """
    match fault.kind:
        case "timeout":
            await _keep_waiting(request, fault.seconds)
            return Response(status_code=504)
        case "reset" | "late":
            return CutOff()
        case "rate_limit":
            wait_s = max(1, -(-int(fault.seconds * NS_PER_S) // NS_PER_S))
            return rate_limit_answer(
                wait_s, bucket="burst", limit=None, is_beta=is_beta, says_wait=True
            )
        case "garbage":
            return Response(b'{"call": {"id": "110", "notes": "', media_type="application/json")
        case "html":
            return Response(
                HTML,
                status_code=fault.status if "status" in fault.model_fields_set else 200,
                media_type="text/html",
            )
        case _:
            content = json.dumps({"error": "fault_on_demand"})
            return Response(content, status_code=fault.status, media_type="application/json")


async def _keep_waiting(request: Request, seconds: float) -> None:
    """Stay silent until the time is over or the client has hung up."""
    try:
        async with asyncio.timeout(seconds):
            # A client that has given up must not hold this request until the end.
            while (await request.receive())["type"] != "http.disconnect":
                continue
    except TimeoutError:
        return
