"""
A stand-in for RingCentral's subscriptions: JWT login, a handshake before anything is made or
changed, expiry, a black list.

As documented at https://developers.ringcentral.com/guide/notifications/webhooks/creating-webhooks.
What the verification token is, it never tells.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response

from tests.doubles.vendors.serving import (
    ReceivedRequest,
    StandIn,
    is_basic,
    refuse,
)

LONGEST_S = 315_360_000
LIST = "/restapi/v1.0/subscription"
LOG = "/restapi/v1.0/account/~/call-log"


@dataclass
class RingCentral(StandIn):
    """Its state; `longest_s` is the longest life that it gives."""

    client: tuple[str, str] = ("rc-client", "rc-client-secret")
    jwt: str = "rc-jwt-of-the-tests"
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    longest_s: int = LONGEST_S
    stored: dict[str, dict[str, object]] = field(default_factory=dict)
    verification: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    records: list[dict[str, object]] = field(default_factory=list)
    per_page: int = 2

    async def answer(self, received: ReceivedRequest, headers: Mapping[str, str]) -> Response:
        """Log in, list, make, write, delete."""
        if received.line == "POST /restapi/oauth/token":
            return self._log_in(received, headers)
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return refuse(401, {"errorCode": "OAU-213", "message": "Token not found"})
        if received.path == LOG:
            return self._log(received)
        subscription_id = received.path.removeprefix(LIST).strip("/")
        if received.method == "GET":
            return JSONResponse(
                {"uri": LIST, "records": [self._shown(item) for item in self.stored]}
            )
        if received.method == "POST":
            return await self._write(secrets.token_hex(8), received, status=200)
        return await self._one(subscription_id, received)

    async def _one(self, subscription_id: str, received: ReceivedRequest) -> Response:
        if subscription_id not in self.stored:
            return refuse(
                404,
                {
                    "errorCode": "CMN-102",
                    "message": "Resource for parameter [subscriptionId] is not found",
                },
            )
        if received.method == "PUT":
            return await self._write(subscription_id, received, status=200)
        del self.stored[subscription_id]
        return Response(status_code=204)

    def _log(self, received: ReceivedRequest) -> Response:
        """The company's call log, the newest first."""
        query = received.query
        session_id = query.get("telephonySessionId")
        fitting = [
            record
            for record in sorted(self.records, key=lambda record: str(record["startTime"]))[::-1]
            if query["dateFrom"] <= str(record["startTime"]) <= query["dateTo"]
            and session_id in {None, record["telephonySessionId"]}
        ]
        size = min(self.per_page, int(query["perPage"]))
        page = int(query["page"])
        navigation: dict[str, object] = {}
        if page * size < len(fitting):
            navigation["nextPage"] = {"uri": f"https://platform.ringcentral.com{LOG}"}
        shown = fitting[(page - 1) * size : page * size]
        return JSONResponse({"records": shown, "navigation": navigation})

    def add(self, subscription_id: str, address: str, **more: object) -> None:
        """A subscription that is there already."""
        self.stored[subscription_id] = {
            "id": subscription_id,
            "eventFilters": ["/restapi/v1.0/account/400130182008/telephony/sessions"],
            "expirationTime": (self.clock() + timedelta(days=300))
            .isoformat()
            .replace("+00:00", "Z"),
            "status": "Active",
            "deliveryMode": {"transportType": "WebHook", "encryption": False, "address": address},
            **more,
        }

    def _log_in(self, received: ReceivedRequest, headers: Mapping[str, str]) -> Response:
        form = parse_qs(received.body.decode())
        if not is_basic(headers, *self.client):
            return refuse(401, {"error": "invalid_client", "errorCode": "OAU-153"})
        if form != {
            "grant_type": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "assertion": [self.jwt],
        }:
            return refuse(
                400,
                {
                    "error": "invalid_grant",
                    "error_description": f"bad assertion {form}",
                    "errorCode": "OAU-251",
                },
            )
        self.tokens.add(token := secrets.token_hex(16))
        return JSONResponse({"access_token": token, "token_type": "bearer", "expires_in": 3600})

    async def _write(
        self, subscription_id: str, received: ReceivedRequest, *, status: int
    ) -> Response:
        body = json.loads(received.body)
        mode = body["deliveryMode"]
        if not 1 <= body["expiresIn"] <= LONGEST_S or not body["eventFilters"]:
            return refuse(400, {"errorCode": "CMN-101", "message": "Parameter value is invalid"})
        if not await self._shakes_hands(mode["address"], mode.get("verificationToken")):
            return refuse(
                400,
                {
                    "errorCode": "SUB-525",
                    "message": f"WebHook response error from {mode['address']}",
                },
            )
        self.add(
            subscription_id,
            mode["address"],
            eventFilters=[
                item.replace("account/~/", "account/400130182008/") for item in body["eventFilters"]
            ],
            expirationTime=(
                self.clock() + timedelta(seconds=min(self.longest_s, body["expiresIn"]))
            ).isoformat(),
        )
        self.verification[subscription_id] = mode.get("verificationToken", "")
        return JSONResponse(self._shown(subscription_id), status_code=status)

    async def _shakes_hands(self, address: str, token: str | None) -> bool:
        if self.reach is None or len(str(address)) > 512:
            return self.reach is None
        sent = secrets.token_hex(16)
        headers = {
            "validation-token": sent,
            "content-length": "0",
            "content-type": "application/json; charset=UTF-8",
        }
        answer = await self.reach(
            address, {**headers, **({"verification-token": token} if token else {})}, b""
        )
        size = len(answer.content) + sum(
            len(name) + len(value) + 4 for name, value in answer.headers.raw
        )
        return (answer.status_code, answer.headers.get("validation-token")) == (
            200,
            sent,
        ) and size <= 1024

    def _shown(self, subscription_id: str) -> dict[str, object]:
        return {"uri": f"{LIST}/{subscription_id}", **self.stored[subscription_id]}
