"""
A stand-in for Aircall: webhooks with a token of Aircall's own, and the call log, in pages of at
most 50.

As documented at https://developer.aircall.io/api-references/#webhooks and /#call.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.responses import JSONResponse, Response

from tests.doubles.vendors.serving import (
    ReceivedRequest,
    StandIn,
    is_basic,
    refuse,
)

LIST = "/v1/webhooks"
CALLS = "/v1/calls"


@dataclass
class Aircall(StandIn):
    """Its state; `lists_tokens` says whether the list shows them, or only the webhook by itself."""

    credentials: tuple[str, str] = ("aircall-api-id", "aircall-api-token")
    per_page: int = 2
    lists_tokens: bool = True
    stored: dict[str, dict[str, object]] = field(default_factory=dict)
    calls: list[dict[str, object]] = field(default_factory=list)

    async def answer(self, received: ReceivedRequest, headers: Mapping[str, str]) -> Response:
        """List, show, make, write, delete."""
        if not is_basic(headers, *self.credentials):
            return refuse(
                401, {"error": "Unauthorized", "troubleshoot": "Check your api_id and api_token"}
            )
        if received.path.startswith(CALLS):
            return self._calls(received)
        webhook_id = received.path.removeprefix(LIST).strip("/")
        if received.line == f"GET {LIST}":
            return self._page(received)
        if received.line == f"POST {LIST}":
            body = json.loads(received.body)
            if not str(body.get("url", "")).startswith("https://"):
                return refuse(
                    400,
                    {"error": "Bad Request", "troubleshoot": f"url {body.get('url')} is not https"},
                )
            return JSONResponse(
                {"webhook": self.add(secrets.token_hex(8), body["url"], events=body.get("events"))},
                status_code=201,
            )
        return self._one(webhook_id, received)

    def _one(self, webhook_id: str, received: ReceivedRequest) -> Response:
        if webhook_id not in self.stored:
            return refuse(404, {"error": "Not Found"})
        if received.method == "GET":
            return JSONResponse({"webhook": self.stored[webhook_id]})
        if received.method == "PUT":
            self.stored[webhook_id].update(json.loads(received.body))
            return JSONResponse({"webhook": self.stored[webhook_id]})
        del self.stored[webhook_id]
        return Response(status_code=204)

    def _calls(self, received: ReceivedRequest) -> Response:
        call_id = received.path.removeprefix(CALLS).strip("/")
        if call_id:
            fitting_items = [call for call in self.calls if str(call["id"]) == call_id]
            if not fitting_items:
                return refuse(404, {"error": "Not Found"})
            return JSONResponse({"call": fitting_items[0]})
        since = int(received.query["from"])
        until = int(received.query["to"])
        fitting = [call for call in self.calls if since <= int(str(call["started_at"])) <= until]
        size = min(self.per_page, int(received.query.get("per_page", "20")))
        page = int(received.query.get("page", "1"))
        following = None
        if page * size < len(fitting):
            following = f"https://api.aircall.io{CALLS}?page={page + 1}"
        meta = {"total": len(fitting), "current_page": page, "next_page_link": following}
        return JSONResponse({"meta": meta, "calls": fitting[(page - 1) * size : page * size]})

    def add(self, webhook_id: str, url: str, **more: object) -> dict[str, object]:
        """A webhook that is there already."""
        made = {
            "webhook_id": webhook_id,
            "url": url,
            "active": True,
            "token": secrets.token_hex(16),
            "events": ["call.ended"],
            **more,
        }
        self.stored[webhook_id] = made
        return made

    def _page(self, received: ReceivedRequest) -> Response:
        size = min(self.per_page, int(received.query.get("per_page", "20")))
        page = int(received.query.get("page", "1"))
        every = list(self.stored.values())
        shown = every[(page - 1) * size : page * size]
        if not self.lists_tokens:
            shown = [
                {name: value for name, value in item.items() if name != "token"} for item in shown
            ]
        following = (
            f"https://api.aircall.io{LIST}?page={page + 1}" if page * size < len(every) else None
        )
        return JSONResponse(
            {
                "meta": {"total": len(every), "current_page": page, "next_page_link": following},
                "webhooks": shown,
            }
        )
