"""
Aircall's call log: call objects, which are what its webhooks hold as `data`.

API: https://developer.aircall.io/api-references/#call. A call that is over is made into
`call.ended`.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

import httpx

from service.sources.aircall.vocabulary import ENDED
from service.sources.common.fields import Fields, child, epoch_moment, text
from service.sources.common.json_body import JsonValue
from workers.backfill.api import LogApi, Pace
from workers.backfill.reading import chosen, is_safe_id, items, json_body
from workers.backfill.types import (
    DAY_SLICE,
    Access,
    KnownCall,
    LogEntry,
    LoggedCall,
    LogMessage,
    SliceTooLarge,
    Untold,
    read_latest,
)
from workers.subscriptions.api import Api
from workers.subscriptions.errors import VendorRejected

TITLE: Final = "Aircall"
NEEDS: Final = ("api_id", "api_token")
# 60 requests a minute for a company; some are left to others.
PACE: Final = Pace(requests=50, window_s=60.0)
PER_PAGE: Final = 50
# https://support.aircall.io/en-gb/articles/34702023578397: no page beyond is shown.
MOST_SHOWN: Final = 10_000
DONE: Final = "done"
# What the source reads of a call.
FIELDS: Final = (
    "id",
    "direction",
    "status",
    "started_at",
    "answered_at",
    "ended_at",
    "missed_call_reason",
    "raw_digits",
    "teams",
    "tags",
    "comments",
    "asset",
)
# Their URLs hold a signature that is another one each time; the page that shows them does not.
FILES: Final = ("recording", "voicemail")


class Aircall:
    """The call log of a company."""

    slice: Final = DAY_SLICE

    def __init__(self, log_api: LogApi) -> None:
        self._api: Final = log_api

    async def pages(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[LogEntry]]:
        """The calls that began in a span of time."""
        number = 1
        while True:
            page = await self._api.get(
                "/calls",
                **{
                    "from": str(int(since.timestamp())),
                    "to": str(int(until.timestamp())),
                    "order": "asc",
                    "per_page": str(PER_PAGE),
                    "page": str(number),
                },
            )
            total = child(page, "meta").get("total")
            if isinstance(total, int) and total >= MOST_SHOWN:
                raise SliceTooLarge
            yield [_entry(fields) for fields in items(TITLE, page, "calls")]
            # The address of the next page is not followed: the credentials go to this one only.
            number += 1
            if text(child(page, "meta"), "next_page_link") is None:
                return

    async def read_call(self, call_ids: KnownCall) -> LoggedCall | None:
        """One call, which is one leg."""
        if not is_safe_id(call_ids.source_call_id):
            return None
        try:
            answer = await self._api.get(f"/calls/{call_ids.source_call_id}")
        except VendorRejected as err:
            if err.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        return LoggedCall(call_ids.source_call_id, [_entry(child(answer, "call"))])

    async def messages(self, call: LoggedCall) -> Sequence[LogMessage] | Untold:
        """The `call.ended` of a call."""
        return [_message(entry) for entry in call.entries]

    async def check_rights(self, now: datetime) -> None:
        """Send each kind of request that the log is read with."""
        await read_latest(self, now)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()


def open_log(access: Access) -> Aircall:
    """The call log by API id and token; no request is sent yet."""
    api = Api(
        title=TITLE,
        url=access.credentials["api_url"],
        cure="check AIRCALL_API_ID and AIRCALL_API_TOKEN",
        missing_right="the API key must be one of the whole company",
        confidential=frozenset({*access.secrets, access.credentials["api_token"]}),
        transport=access.transport,
    )
    api.use_password(access.credentials["api_id"], access.credentials["api_token"])
    return Aircall(LogApi(api=api, pace=PACE, is_patient=access.is_patient, pause=access.pause))


def _entry(fields: Fields) -> LogEntry:
    call_id = text(fields, "id") or ""
    data = chosen(fields, FIELDS)
    data["number"] = {"digits": text(child(fields, "number"), "digits")}
    user = chosen(child(fields, "user"), ("name", "email"))
    if user:
        data["user"] = user
    for name in FILES:
        file_url = text(fields, name)
        if file_url is not None:
            data[name] = text(fields, "asset") or file_url.partition("?")[0]
    return LogEntry(
        entry_id=call_id,
        source_call_id=call_id,
        started_at=epoch_moment(fields, "started_at"),
        ended_at=epoch_moment(fields, "ended_at"),
        is_over=text(fields, "status") == DONE,
        fields=data,
    )


def _message(entry: LogEntry) -> LogMessage:
    data: dict[str, JsonValue] = dict(entry.fields)
    timestamp = data.get("ended_at") or data.get("started_at")
    message = {"resource": "call", "event": ENDED, "timestamp": timestamp, "data": data}
    return LogMessage(record_id=entry.entry_id, body=json_body(message))
