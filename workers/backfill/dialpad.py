"""
Dialpad's call log: calls that are over, one entry for each leg, with the fields of its webhooks.

API: https://developers.dialpad.com/reference/calllist, as in the vendor's own SDK
(https://github.com/dialpad/dialpad-python-sdk): newest first, 1,200 requests a minute, and 10 a
minute for one call alone. A leg is made into the message of its end.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import httpx

from service.errors import IgnoredEvent, MalformedPayload
from service.sources.common.fields import Fields, flag, text
from service.sources.common.json_body import JsonValue
from service.sources.dialpad.payload import leg_and_call_id, text_id, time_at
from service.sources.dialpad.vocabulary import BLOCKED, HANGUP, MISSED
from workers.backfill.api import LogApi, Pace
from workers.backfill.reading import items, json_body
from workers.backfill.types import (
    Access,
    KnownCall,
    LogEntry,
    LoggedCall,
    LogMessage,
    Untold,
    read_latest,
)
from workers.subscriptions.api import Api
from workers.subscriptions.errors import VendorRejected

TITLE: Final = "Dialpad"
NEEDS: Final = ("api_key",)
PACE: Final = Pace(requests=10, window_s=1.0)
# `GET /call/{id}`: 10 a minute. A call is rarely more legs than this.
MOST_LEGS: Final = 5
ENDS: Final = frozenset({HANGUP, MISSED, BLOCKED})
LEG_FIELDS: Final = ("entry_point_call_id", "master_call_id", "operator_call_id")
# What is large, or changes with each request, and says nothing of how a call ended.
LEFT_OUT: Final = frozenset(
    {
        "admin_call_recording_share_links",
        "call_recording_share_links",
        "csat_recording_urls",
        "csat_transcriptions",
        "event_timestamp",
        "mos_score",
        "routing_breadcrumbs",
        "screen_recording_urls",
    }
)


class Dialpad:
    """The call log of a company."""

    slice: Final = timedelta(hours=6)

    def __init__(self, log_api: LogApi) -> None:
        self._api: Final = log_api

    async def pages(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[LogEntry]]:
        """The legs that began in a span of time."""
        params = {"started_after": _ms(since), "started_before": _ms(until)}
        cursor = ""
        while True:
            if cursor:
                params["cursor"] = cursor
            page = await self._api.get("/call", **params)
            # An empty list is left out of the answer.
            legs: list[dict[str, JsonValue]] = []
            if page.get("items") is not None:
                legs = items(TITLE, page, "items")
            entries = [_entry(fields) for fields in legs]
            yield [entry for entry in entries if entry is not None]
            cursor = text(page, "cursor") or ""
            if not cursor:
                return

    async def read_call(self, call_ids: KnownCall) -> LoggedCall | None:
        """The legs that are known of a call, and those that they name."""
        call = LoggedCall(call_ids.source_call_id)
        waiting = [call_ids.source_call_id, *call_ids.leg_ids]
        seen: set[str] = set()
        while waiting and len(seen) < MOST_LEGS:
            leg_id = waiting.pop(0)
            if leg_id in seen or not leg_id.isdecimal():
                continue
            seen.add(leg_id)
            fields = await self._leg(leg_id)
            if fields is None:
                continue
            entry = _entry(fields)
            if entry is not None and entry.source_call_id == call.source_call_id:
                call.entries.append(entry)
                waiting += [name for name in _named_legs(fields) if name not in seen]
        if not call.entries:
            return None
        return call

    async def messages(self, call: LoggedCall) -> Sequence[LogMessage] | Untold:
        """The ends of all legs."""
        if call.entry(call.source_call_id) is None:
            return Untold(reason="the call's first leg is not in the part of the log that is read")
        return [_message(entry) for entry in call.entries]

    async def check_rights(self, now: datetime) -> None:
        """Send each kind of request that the log is read with."""
        await read_latest(self, now)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _leg(self, leg_id: str) -> Fields | None:
        try:
            return await self._api.get(f"/call/{leg_id}")
        except VendorRejected as err:
            if err.status_code == httpx.codes.NOT_FOUND:
                return None
            raise


def open_log(access: Access) -> Dialpad:
    """The call log by API key; no request is sent yet."""
    api_key = access.credentials["api_key"]
    api = Api(
        title=TITLE,
        url=access.credentials["api_url"],
        cure="check DIALPAD_API_KEY",
        missing_right="it must be a key of a company admin, with the scope calls:list",
        confidential=frozenset({*access.secrets, api_key}),
        transport=access.transport,
    )
    api.headers["Authorization"] = f"Bearer {api_key}"
    return Dialpad(LogApi(api=api, pace=PACE, is_patient=access.is_patient, pause=access.pause))


def _ms(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))


def _named_legs(fields: Fields) -> list[str]:
    names = (text_id(fields, name) for name in LEG_FIELDS)
    return [name for name in names if name is not None]


def _entry(fields: Fields) -> LogEntry | None:
    """The entry of a leg; None for what the source does not take for one."""
    try:
        leg_id, source_call_id = leg_and_call_id({**fields, "state": HANGUP})
    except (IgnoredEvent, MalformedPayload):
        return None
    ended_at = time_at(fields, "date_ended")
    return LogEntry(
        entry_id=leg_id,
        source_call_id=source_call_id,
        started_at=time_at(fields, "date_started"),
        ended_at=ended_at,
        is_over=ended_at is not None,
        is_internal=flag(fields, "is_internal") is True,
        fields={name: value for name, value in fields.items() if name not in LEFT_OUT},
    )


def _message(entry: LogEntry) -> LogMessage:
    data: dict[str, JsonValue] = dict(entry.fields)
    # The list names the state that a leg was last in; here it is over.
    if data.get("state") not in ENDS:
        data["state"] = HANGUP
    data["event_timestamp"] = data.get("date_ended")
    share_link = data.pop("voicemail_share_link", None)
    if share_link and not data.get("voicemail_link"):
        data["voicemail_link"] = share_link
    return LogMessage(record_id=entry.entry_id, body=json_body(data))
