"""
A stand-in for Plivo's call log: call objects in pages of at most 20, filtered by the end of a call,
and whether a call was recorded.

As documented at https://docs.plivo.com/docs/voice/api/call/the-call-object and
https://www.plivo.com/docs/voice/api/call/retrieve-all-calls/.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from starlette.responses import JSONResponse, Response

from tests.doubles.vendors.serving import ReceivedRequest, StandIn, is_basic, refuse

AUTH_ID = "MA00000000000000000001"
ROOT = f"/v1/Account/{AUTH_ID}"


@dataclass
class Plivo(StandIn):
    """
    Its state; `login` is the auth id and token that it takes, `zone` the console's time zone, in
    which an answer gives times: with their offset where it `shows_offset`.
    """

    login: tuple[str, str] = (AUTH_ID, "FAKE0000000000000000000000000000")
    per_page: int = 2
    zone: timezone = timezone(timedelta(hours=5, minutes=30))
    shows_offset: bool = True
    legs: list[dict[str, object]] = field(default_factory=list)
    recorded: set[str] = field(default_factory=set)

    async def answer(self, received: ReceivedRequest, headers: Mapping[str, str]) -> Response:
        """List calls, show one, list its recordings."""
        if not is_basic(headers, *self.login):
            return refuse(401, {"api_id": "1", "error": "authentication failed"})
        if received.path == f"{ROOT}/Call/":
            return self._page(received.query)
        if received.path == f"{ROOT}/Recording/":
            recordings = [
                {"recording_id": "1", "call_uuid": leg_id}
                for leg_id in self.recorded
                if leg_id == received.query.get("call_uuid", leg_id)
            ]
            return JSONResponse({"meta": {"next": None}, "objects": recordings})
        leg_id = received.path.removeprefix(f"{ROOT}/Call/").strip("/")
        for leg in self.legs:
            if leg["call_uuid"] == leg_id:
                return JSONResponse(leg)
        return refuse(404, {"api_id": "1", "error": "not found"})

    def add(
        self,
        leg_id: str,
        code: int,
        *,
        began_at: datetime,
        seconds: int = 0,
        rang_s: int = 10,
        parent: str | None = None,
        direction: str = "outbound",
        from_: str = "15005550006",
        to: str = "15005550001",
    ) -> None:
        """A leg that is over; `seconds` is how long it lasted once it was picked up."""
        answered = seconds and self._text(began_at + timedelta(seconds=rang_s))
        self.legs.append(
            {
                "call_uuid": leg_id,
                "parent_call_uuid": parent,
                "call_direction": direction,
                "from_number": from_,
                "to_number": to,
                "initiation_time": self._text(began_at),
                "answer_time": answered or None,
                "end_time": self._text(began_at + timedelta(seconds=rang_s + seconds)),
                "call_duration": seconds,
                "bill_duration": seconds,
                "billed_duration": 60,
                "hangup_cause_code": code,
                "hangup_cause_name": "Normal Hangup",
                "hangup_source": "Callee",
                "total_amount": "0.00850",
            }
        )

    def _text(self, moment: datetime) -> str:
        text = f"{moment.astimezone(self.zone):%Y-%m-%d %H:%M:%S%z}"
        if not self.shows_offset:
            return text[:19]
        return f"{text[:-2]}:{text[-2:]}"

    def _ended_at(self, leg: Mapping[str, object]) -> datetime:
        moment = datetime.fromisoformat(str(leg["end_time"]))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self.zone)
        return moment.astimezone(UTC)

    def _page(self, query: Mapping[str, str]) -> Response:
        fitting = [leg for leg in reversed(self.legs) if self._fits(leg, query)]
        start = int(query.get("offset", "0"))
        stop = start + min(self.per_page, int(query.get("limit", "20")))
        following = None
        if stop < len(fitting):
            following = f"{ROOT}/Call/?limit={self.per_page}&offset={stop}"
        meta = {"total_count": len(fitting), "offset": start, "next": following}
        return JSONResponse({"api_id": "1", "meta": meta, "objects": fitting[start:stop]})

    def _fits(self, leg: Mapping[str, object], query: Mapping[str, str]) -> bool:
        parent = query.get("parent_call_uuid")
        if parent is not None and leg["parent_call_uuid"] != parent:
            return False
        ended = f"{self._ended_at(leg):%Y-%m-%d %H:%M:%S}"
        return query.get("end_time__gte", ended) <= ended and (
            "end_time__lt" not in query or ended < query["end_time__lt"]
        )
