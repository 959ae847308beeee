"""
A stand-in for Twilio's call log: call resources with pages, and the recordings of a call.

As documented at https://www.twilio.com/docs/voice/api/call-resource.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.responses import JSONResponse, Response

from tests.doubles.vendors.serving import ReceivedRequest, StandIn, is_basic, refuse

ACCOUNT = "AC00000000000000000000000000000001"
ROOT = f"/2010-04-01/Accounts/{ACCOUNT}"


@dataclass
class Twilio(StandIn):
    """Its state; `login` is the user and password that it takes."""

    login: tuple[str, str] = (ACCOUNT, "FAKE0000000000000000000000000000")
    per_page: int = 2
    calls: list[dict[str, object]] = field(default_factory=list)
    recordings: dict[str, list[dict[str, object]]] = field(default_factory=dict)

    async def answer(self, received: ReceivedRequest, headers: Mapping[str, str]) -> Response:
        """List calls, show one, list its recordings."""
        if not is_basic(headers, *self.login):
            return refuse(401, {"code": 20003, "message": "Authenticate", "status": 401})
        if received.path == f"{ROOT}/Calls.json":
            return self._page(received)
        if received.path == f"{ROOT}/Recordings.json":
            return JSONResponse({"recordings": []})
        sid, _, rest = received.path.removeprefix(f"{ROOT}/Calls/").partition("/")
        if rest == "Recordings.json":
            return JSONResponse({"recordings": self.recordings.get(sid, [])})
        fitting_items = [call for call in self.calls if f"{call['sid']}.json" == sid]
        if not fitting_items:
            return refuse(404, {"code": 20404, "message": "not fitting_items", "status": 404})
        return JSONResponse(fitting_items[0])

    def add(
        self,
        sid: str,
        status: str,
        *,
        began_at: datetime,
        ended_at: datetime | None = None,
        duration_s: int | None = None,
        parent: str | None = None,
        direction: str = "outbound-api",
        from_: str = "+15005550006",
        to: str = "+15005550001",
        answered_by: str | None = None,
    ) -> None:
        """A call, or a leg that another one dialled."""
        ended = ended_at and format_datetime(ended_at)
        self.calls.append(
            {
                "sid": sid,
                "parent_call_sid": parent,
                "status": status,
                "direction": direction,
                "from": from_,
                "to": to,
                "forwarded_from": None,
                "answered_by": answered_by,
                "start_time": format_datetime(began_at),
                "end_time": ended,
                "duration": duration_s and str(duration_s),
                "price": None,
                "caller_name": "",
            }
        )

    def _page(self, received: ReceivedRequest) -> Response:
        query = received.query
        fitting = [call for call in self.calls[::-1] if _fits(call, query)]
        start = int(query.get("Page", "0")) * self.per_page
        following = None
        if start + self.per_page < len(fitting):
            others = "&".join(f"{name}={value}" for name, value in query.items() if name != "Page")
            number = int(query.get("Page", "0")) + 1
            following = f"{ROOT}/Calls.json?{others}&Page={number}&PageToken=PA{number}"
        shown = fitting[start : start + self.per_page]
        return JSONResponse({"calls": shown, "next_page_uri": following, "page_size": 2})


def _fits(call: Mapping[str, object], query: Mapping[str, str]) -> bool:
    """Whether a call fits the filters; days are compared as days, as documented."""
    parent = query.get("ParentCallSid")
    if parent is not None and call["parent_call_sid"] != parent:
        return False
    day = f"{parsedate_to_datetime(str(call['start_time'])):%Y-%m-%d}"
    return query.get("StartTime>", day)[:10] <= day <= query.get("StartTime<", day)
