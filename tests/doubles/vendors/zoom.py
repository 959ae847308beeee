"""
A stand-in for Zoom's event subscriptions: the account_credentials grant, pages, and a validation of
the address before one is made.

As documented at https://developers.zoom.us/docs/api/marketplace/ and
https://developers.zoom.us/docs/api/webhooks/.
"""

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response

from tests.doubles.vendors.serving import (
    ReceivedRequest,
    StandIn,
    is_basic,
    refuse,
)

LIST = "/v2/marketplace/app/event_subscription"
LOG = "/v2/phone/call_history"


@dataclass
class Zoom(StandIn):
    """
    Its state; `allowed` are the events for which the app has the scopes, None for all. `now` is
    what it stamps requests with.
    """

    account: str = "zoom-account"
    client: tuple[str, str] = ("zoom-client", "zoom-client-secret")
    secret_token: str = "zoom-secret-token-of-the-tests"
    allowed: set[str] | None = None
    per_page: int = 2
    now: int = 1_800_000_000
    stored: dict[str, dict[str, object]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    histories: list[dict[str, object]] = field(default_factory=list)

    async def answer(self, received: ReceivedRequest, headers: Mapping[str, str]) -> Response:
        """Log in, list, make, delete."""
        if received.line == "POST /oauth/token":
            return self._log_in(received, headers)
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return refuse(401, {"code": 124, "message": "Invalid access token."})
        if received.method == "GET":
            return self._read(received)
        if received.line == f"POST {LIST}":
            return await self._make(json.loads(received.body))
        subscription_id = received.path.removeprefix(f"{LIST}/")
        if (
            received.method != "DELETE"
            or self.stored.get(subscription_id, {}).get("created_source") != "openapi"
        ):
            return refuse(
                404,
                {"code": 1601, "message": f"App event subscription is invalid: {subscription_id}"},
            )
        del self.stored[subscription_id]
        return Response(status_code=204)

    def _read(self, received: ReceivedRequest) -> Response:
        if received.path.startswith(LOG):
            return self._log(received)
        return self._page(received)

    def _log(self, received: ReceivedRequest) -> Response:
        """One history with its elements, or those of a span of time without."""
        history_id = received.path.removeprefix(LOG).strip("/")
        if history_id:
            fitting_items = [
                item for item in self.histories if item["call_history_uuid"] == history_id
            ]
            if not fitting_items:
                return refuse(404, {"code": 300, "message": "Call history does not exist."})
            return JSONResponse(fitting_items[0])
        query = received.query
        fitting = [
            {name: value for name, value in item.items() if name != "call_elements"}
            for item in self.histories
            if query["from"] <= str(item["start_time"]) <= query["to"]
        ]
        start = int(query.get("next_page_token") or "0")
        following = start + self.per_page
        token = str(following) if following < len(fitting) else ""
        return JSONResponse({"call_history": fitting[start:following], "next_page_token": token})

    def add(self, subscription_id: str, address: str, **more: object) -> None:
        """A subscription that is there already."""
        self.stored[subscription_id] = {
            "event_subscription_id": subscription_id,
            "event_webhook_url": address,
            "subscription_scope": "account",
            "created_source": "openapi",
            **more,
        }

    def _log_in(self, received: ReceivedRequest, headers: Mapping[str, str]) -> Response:
        if not is_basic(headers, *self.client):
            return refuse(
                401, {"reason": "Invalid client_id or client_secret", "error": "invalid_client"}
            )
        if parse_qs(received.body.decode()) != {
            "grant_type": ["account_credentials"],
            "account_id": [self.account],
        }:
            return refuse(400, {"reason": "Invalid account", "error": "invalid_request"})
        self.tokens.add(token := secrets.token_hex(16))
        return JSONResponse({"access_token": token, "token_type": "bearer", "expires_in": 3600})

    def _page(self, received: ReceivedRequest) -> Response:
        if received.query.get("account_id") != self.account or not received.query.get("user_id"):
            return refuse(
                404,
                {
                    "code": 1001,
                    "message": "User does not exist or does not belong to this account.",
                },
            )
        start = int(received.query.get("next_page_token", "0"))
        every = list(self.stored.values())
        following = start + self.per_page
        token = str(following) if following < len(every) else ""
        return JSONResponse(
            {
                "event_subscriptions": every[start:following],
                "page_size": self.per_page,
                "next_page_token": token,
            }
        )

    async def _make(self, body: dict[str, object]) -> Response:
        events = body.get("events")
        url = body.get("event_webhook_url")
        if (
            not isinstance(events, list)
            or not isinstance(url, str)
            or body.get("subscription_scope") not in {"user", "account"}
        ):
            return refuse(400, {"code": 1500, "message": "The events list is empty."})
        forbidden = [
            event for event in events if self.allowed is not None and event not in self.allowed
        ]
        if forbidden:
            return refuse(
                400,
                {"code": 1602, "message": f"The event is not allowed for the app: {forbidden[0]}"},
            )
        if not await self._validates(url):
            return refuse(
                404, {"code": 1701, "message": f"The event webhook url validate failed: {url}."}
            )
        subscription_id = secrets.token_urlsafe(16)
        self.add(
            subscription_id,
            url,
            events=events,
            event_subscription_name=body.get("event_subscription_name"),
        )
        return JSONResponse({"event_subscription_id": subscription_id}, status_code=201)

    async def _validates(self, url: str) -> bool:
        if self.reach is None:
            return True
        plain = secrets.token_urlsafe(16)
        body = json.dumps(
            {
                "payload": {"plainToken": plain},
                "event_ts": self.now * 1000,
                "event": "endpoint.url_validation",
            }
        ).encode()
        signed = hmac.new(
            self.secret_token.encode(), b"v0:%d:%s" % (self.now, body), sha256
        ).hexdigest()
        headers = {
            "content-type": "application/json",
            "x-zm-request-timestamp": str(self.now),
            "x-zm-signature": f"v0={signed}",
        }
        answer = await self.reach(url, headers, body)
        expected = hmac.new(self.secret_token.encode(), plain.encode(), sha256).hexdigest()
        return answer.status_code == 200 and answer.json() == {
            "plainToken": plain,
            "encryptedToken": expected,
        }
