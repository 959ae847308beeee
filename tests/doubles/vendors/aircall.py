"""
A stand-in for Aircall's webhooks: pages of at most 50, a token of Aircall's own for each webhook.

As documented at https://developer.aircall.io/api-references/#webhooks.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.responses import JSONResponse, Response

from tests.doubles.vendors.serving import (
    Asked,
    StandIn,
    is_basic,
    refuse,
)

LIST = "/v1/webhooks"


@dataclass
class Aircall(StandIn):
    """Its state; `lists_tokens` says whether the list shows them, or only the webhook by itself."""

    credentials: tuple[str, str] = ("aircall-api-id", "aircall-api-token")
    per_page: int = 2
    lists_tokens: bool = True
    kept: dict[str, dict[str, object]] = field(default_factory=dict)

    async def answer(self, asked: Asked, headers: Mapping[str, str]) -> Response:
        """List, show, make, write, delete."""
        if not is_basic(headers, *self.credentials):
            return refuse(
                401, {"error": "Unauthorized", "troubleshoot": "Check your api_id and api_token"}
            )
        webhook_id = asked.path.removeprefix(LIST).strip("/")
        if asked.line == f"GET {LIST}":
            return self._page(asked)
        if asked.line == f"POST {LIST}":
            body = json.loads(asked.body)
            if not str(body.get("url", "")).startswith("https://"):
                return refuse(
                    400,
                    {"error": "Bad Request", "troubleshoot": f"url {body.get('url')} is not https"},
                )
            return JSONResponse(
                {"webhook": self.add(secrets.token_hex(8), body["url"], events=body.get("events"))},
                status_code=201,
            )
        return self._one(webhook_id, asked)

    def _one(self, webhook_id: str, asked: Asked) -> Response:
        if webhook_id not in self.kept:
            return refuse(404, {"error": "Not Found"})
        if asked.method == "GET":
            return JSONResponse({"webhook": self.kept[webhook_id]})
        if asked.method == "PUT":
            self.kept[webhook_id].update(json.loads(asked.body))
            return JSONResponse({"webhook": self.kept[webhook_id]})
        del self.kept[webhook_id]
        return Response(status_code=204)

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
        self.kept[webhook_id] = made
        return made

    def _page(self, asked: Asked) -> Response:
        size = min(self.per_page, int(asked.query.get("per_page", "20")))
        page = int(asked.query.get("page", "1"))
        every = list(self.kept.values())
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
