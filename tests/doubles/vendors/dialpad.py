"""
A stand-in for Dialpad's webhooks, call subscriptions and call log, with cursors.

As in the vendor's own SDK, https://github.com/dialpad/dialpad-python-sdk.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

from starlette.responses import JSONResponse, Response

from tests.doubles.vendors.serving import ReceivedRequest, StandIn, refuse

WEBHOOKS = "/api/v2/webhooks"
CALLS = "/api/v2/subscriptions/call"
LOG = "/api/v2/call"


@dataclass
class Dialpad(StandIn):
    """Its state; `shows_secrets` says whether a webhook's secret is shown."""

    api_key: str = "dialpad-api-key"
    shows_secrets: bool = True
    per_page: int = 2
    webhooks: dict[int, dict[str, object]] = field(default_factory=dict)
    stored: dict[int, dict[str, object]] = field(default_factory=dict)
    legs: list[dict[str, object]] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=lambda: count(5_000_000_000_000_001))

    async def answer(self, received: ReceivedRequest, headers: Mapping[str, str]) -> Response:
        """List, make, write, delete."""
        if headers.get("authorization") != f"Bearer {self.api_key}":
            return refuse(401, {"error": {"code": 401, "message": "Invalid api key"}})
        if received.path.startswith(LOG):
            return self._log(received)
        is_webhook = received.path.startswith(WEBHOOKS)
        base, records = (WEBHOOKS, self.webhooks) if is_webhook else (CALLS, self.stored)
        body = json.loads(received.body) if received.body else {}
        if received.path == base and received.method == "GET":
            start = int(received.query.get("cursor", "0"))
            ids = list(records)[start : start + self.per_page]
            more = (
                {"cursor": str(start + self.per_page)}
                if start + self.per_page < len(records)
                else {}
            )
            return JSONResponse(
                {"items": [self._shown(id_, is_webhook=is_webhook) for id_ in ids], **more}
            )
        if received.path == base and received.method == "POST":
            if not is_webhook and body.get("endpoint_id") not in self.webhooks:
                return refuse(400, {"error": {"code": 400, "message": "endpoint_id is wrong"}})
            number = next(self.numbers)
            records[number] = {"id": number, **body}
            return JSONResponse(self._shown(number, is_webhook=is_webhook))
        return self._one(received, records, body, is_webhook=is_webhook)

    def _log(self, received: ReceivedRequest) -> Response:
        """One leg, or those of a span of time, the newest first; only what is over is listed."""
        leg_id = received.path.removeprefix(LOG).strip("/")
        if leg_id:
            fitting_items = [leg for leg in self.legs if str(leg["call_id"]) == leg_id]
            if not fitting_items:
                return refuse(404, {"error": {"code": 404, "message": "not fitting_items"}})
            return JSONResponse(fitting_items[0])
        since = int(received.query["started_after"])
        until = int(received.query["started_before"])
        fitting = [
            leg
            for leg in sorted(self.legs, key=lambda leg: -int(str(leg["date_started"])))
            if since <= int(str(leg["date_started"])) < until and leg.get("date_ended")
        ]
        start = int(received.query.get("cursor", "0"))
        page = fitting[start : start + self.per_page]
        # An empty list is left out.
        answer: dict[str, object] = {}
        if page:
            answer["items"] = page
        if start + self.per_page < len(fitting):
            answer["cursor"] = str(start + self.per_page)
        return JSONResponse(answer)

    def _one(
        self,
        received: ReceivedRequest,
        records: dict[int, dict[str, object]],
        body: dict[str, object],
        *,
        is_webhook: bool,
    ) -> Response:
        number = int(received.path.rpartition("/")[2])
        if number not in records:
            return refuse(404, {"error": {"code": 404, "message": "not fitting_items"}})
        if received.method == "PATCH":
            records[number].update(body)
            return JSONResponse(self._shown(number, is_webhook=is_webhook))
        return JSONResponse(records.pop(number))

    def add(self, url: str, secret: str, **more: object) -> int:
        """
        A webhook with a call subscription that are there already; gives the subscription's id.
        """
        webhook = next(self.numbers)
        subscription = next(self.numbers)
        self.webhooks[webhook] = {"id": webhook, "hook_url": url, "secret": secret}
        self.stored[subscription] = {
            "id": subscription,
            "endpoint_id": webhook,
            "enabled": True,
            "call_states": ["all"],
            **more,
        }
        return subscription

    def _shown(self, number: int, *, is_webhook: bool) -> dict[str, object]:
        if not is_webhook:
            fields = dict(self.stored[number])
            endpoint = fields.pop("endpoint_id")
            assert isinstance(endpoint, int)
            return {**fields, "webhook": self._shown(endpoint, is_webhook=True)}
        stored = self.webhooks[number]
        secret = stored.get("secret") if self.shows_secrets else "********"
        return {
            "id": number,
            "hook_url": stored["hook_url"],
            "signature": {"algo": "HS256", "secret": secret, "type": "jwt"},
        }
