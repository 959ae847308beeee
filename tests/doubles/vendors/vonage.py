"""
A stand-in for Vonage's Reports API: records of the product VOICE-CALL by the ids of legs.

As documented at https://developer.vonage.com/en/api/reports.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from starlette.responses import JSONResponse, Response

from tests.doubles.vendors.serving import ReceivedRequest, StandIn, is_basic, refuse


@dataclass
class Vonage(StandIn):
    """Its state; `login` is the API key and secret that it takes."""

    login: tuple[str, str] = ("abcd1234", "vonage-api-secret")
    records: list[dict[str, object]] = field(default_factory=list)

    async def answer(self, received: ReceivedRequest, headers: Mapping[str, str]) -> Response:
        """The records with the ids that are asked for, and which of these there are not."""
        if not is_basic(headers, *self.login):
            return refuse(401, {"title": "Unauthorized"})
        if received.line != "GET /v2/reports/records":
            return refuse(404, {"title": "Not found"})
        query = received.query
        if (query.get("account_id"), query.get("product")) != (self.login[0], "VOICE-CALL"):
            return refuse(403, {"title": "Forbidden"})
        leg_ids = query["id"].split(",")
        records = [record for record in self.records if record["call_id"] in leg_ids]
        missing = set(leg_ids) - {str(record["call_id"]) for record in records}
        return JSONResponse(
            {
                "request_status": "SUCCESS",
                "items_count": len(records),
                "records": records,
                "ids_not_found": ",".join(sorted(missing)),
            }
        )

    def add(
        self,
        leg_id: str,
        status: str,
        *,
        began_at: datetime,
        ended_at: datetime,
        duration_s: int = 0,
        direction: str = "outbound",
    ) -> None:
        """A leg."""
        self.records.append(
            {
                "account_id": self.login[0],
                "call_id": leg_id,
                "direction": direction,
                "from": "15005550006",
                "to": "15005550001",
                "date_start": f"{began_at:%Y-%m-%dT%H:%M:%S%z}",
                "date_end": f"{ended_at:%Y-%m-%dT%H:%M:%S%z}",
                "duration": duration_s,
                "status": status,
                "status_description": "",
                "total_price": "0.0042",
            }
        )
