"""
Zoom Phone's call log: call histories, and the elements of each, which are what its webhooks report.

API: https://developers.zoom.us/docs/api/phone/#tag/call-logs and
https://developers.zoom.us/docs/phone/migrate/. The list of histories is of the heavy kind (5
requests a second with the plan Pro, 15,000 a day); what became of a call is in its elements, which
are read for each call that is missing. The fields of an element are those of
`phone.*_call_element_completed`: https://developers.zoom.us/docs/phone/migrate/ and
https://github.com/Jericho/ZoomNet.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import httpx

from service.sources.common.fields import Fields, iso_moment, text
from service.sources.zoom.vocabulary import Side
from workers.backfill.api import LogApi, Pace
from workers.backfill.reading import is_safe_id, iso_z, items, json_body
from workers.backfill.types import (
    DAY_SLICE,
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

TITLE: Final = "Zoom"
NEEDS: Final = ("account_id", "client_id", "client_secret")
PACE: Final = Pace(requests=3, window_s=1.0)
PAGE_SIZE: Final = "100"
INTERNAL: Final = "internal"
# A call is looked for so long before and after it is known to have begun.
AROUND: Final = timedelta(hours=1)
SIDES: Final[Mapping[str | None, Side]] = {"outbound": Side.CALLER, "inbound": Side.CALLEE}
NO_CALL: Final = LogEntry(
    entry_id="00000000-0000-0000-0000-000000000000", source_call_id="0", started_at=None, fields={}
)
SCOPES: Final = (
    "give the app the scopes phone:read:list_call_logs:admin and phone:read:call_log:admin"
)
# "Invalid access token, does not contain scopes", which comes with 400.
HINTS: Final = {"4711": SCOPES}
NOT_SHOWN: Final = "Zoom's call log shows no steps of the call"


class Zoom:
    """The call log of an account."""

    slice: Final = DAY_SLICE

    def __init__(self, log_api: LogApi, *, account_id: str) -> None:
        self._api: Final = log_api
        self._account_id: Final = account_id

    async def pages(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[LogEntry]]:
        """The histories of the calls that began in a span of time."""
        params = {
            "from": iso_z(since),
            "to": iso_z(until),
            "time_type": "start_time",
            "page_size": PAGE_SIZE,
        }
        while True:
            page = await self._api.get("/phone/call_history", **params)
            # The older name of the list is sent beside it until it ends.
            histories = items(TITLE, page, _present(page, "call_history", "call_logs"))
            yield [_entry(fields) for fields in histories]
            params["next_page_token"] = text(page, "next_page_token") or ""
            if not params["next_page_token"]:
                return

    async def read_call(self, call_ids: KnownCall) -> LoggedCall | None:
        """The histories of one call, found among those that began at about the same time."""
        if call_ids.started_at is None:
            return None
        call = LoggedCall(call_ids.source_call_id)
        since = call_ids.started_at - AROUND
        async for page in self.pages(since, call_ids.started_at + AROUND):
            call.entries += [
                entry for entry in page if entry.source_call_id == call_ids.source_call_id
            ]
        if not call.entries:
            return None
        return call

    async def messages(self, call: LoggedCall) -> Sequence[LogMessage] | Untold:
        """The elements of the call, as the messages of each side."""
        messages: list[LogMessage] = []
        for entry in call.entries:
            elements = await self._elements(entry)
            for direction, side in SIDES.items():
                of_side = [fields for fields in elements if text(fields, "direction") == direction]
                if of_side:
                    messages.append(self._message(entry, side, of_side))
        if not messages:
            return Untold(reason=NOT_SHOWN)
        return messages

    async def check_rights(self, now: datetime) -> None:
        """Send each kind of request that the log is read with."""
        await read_latest(self, now)
        # No call has this id: a log that may be read answers that there is none.
        await self._elements(NO_CALL)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _elements(self, entry: LogEntry) -> list[Fields]:
        """The elements of a history that are of its own call."""
        if not is_safe_id(entry.entry_id):
            return []
        try:
            answer = await self._api.get(f"/phone/call_history/{entry.entry_id}")
        except VendorRejected as err:
            if err.status_code == httpx.codes.NOT_FOUND:
                return []
            raise
        elements = items(TITLE, answer, _present(answer, "call_elements", "call_path"))
        return [
            {**fields, "call_id": entry.source_call_id}
            for fields in elements
            if text(fields, "call_id") in {None, entry.source_call_id}
        ]

    def _message(self, entry: LogEntry, side: Side, elements: Sequence[Fields]) -> LogMessage:
        ended_at = entry.ended_at or entry.started_at
        timestamp = None
        if ended_at is not None:
            timestamp = int(ended_at.timestamp() * 1000)
        message = {
            "event": f"phone.{side.value}_call_element_completed",
            "event_ts": timestamp,
            "payload": {
                "account_id": self._account_id,
                "object": {"call_elements": [dict(fields) for fields in elements]},
            },
        }
        return LogMessage(record_id=f"{entry.entry_id}:{side.value}", body=json_body(message))


def open_log(access: Access) -> Zoom:
    """The call log by the app's credentials; no request is sent yet."""
    credentials = access.credentials
    api = Api(
        title=TITLE,
        url=credentials["api_url"],
        cure="check ZOOM_ACCOUNT_ID, ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET",
        missing_right=SCOPES,
        hints=HINTS,
        confidential=frozenset({*access.secrets, credentials["client_secret"]}),
        transport=access.transport,
    )

    async def log_in() -> None:
        await api.log_in(
            credentials["token_url"],
            user=credentials["client_id"],
            password=credentials["client_secret"],
            form={"grant_type": "account_credentials", "account_id": credentials["account_id"]},
        )

    log_api = LogApi(
        api=api, pace=PACE, log_in=log_in, is_patient=access.is_patient, pause=access.pause
    )
    return Zoom(log_api, account_id=credentials["account_id"])


def _present(fields: Fields, name: str, older_name: str) -> str:
    """The name of a list: the older one where the newer one is not there."""
    if fields.get(name) is None:
        return older_name
    return name


def _entry(fields: Fields) -> LogEntry:
    history_id = text(fields, "call_history_uuid", "id") or ""
    return LogEntry(
        entry_id=history_id,
        source_call_id=text(fields, "call_id") or history_id,
        started_at=iso_moment(text(fields, "start_time")),
        ended_at=iso_moment(text(fields, "end_time")),
        is_internal=text(fields, "connect_type") == INTERNAL,
        fields={},
    )
