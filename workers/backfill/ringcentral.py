"""
RingCentral's call log: one record for each call, with its legs.

API: https://developers.ringcentral.com/guide/voice/call-log/api, rate limit (the group Heavy, 10
requests a minute by default): https://developers.ringcentral.com/guide/basics/rate-limits. A record
is stored as it is, and read by the source (`service.sources.ringcentral.call_log`).
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from service.sources.common.fields import Fields, text
from service.sources.ringcentral.call_log import (
    CALL_LOG_FIELD,
    goes_on,
    is_internal_record,
    logged_result,
    record_end,
    record_start,
    slim_record,
)
from workers.backfill.api import LogApi, Pace
from workers.backfill.reading import iso_z, items, json_body
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

TITLE: Final = "RingCentral"
NEEDS: Final = ("client_id", "client_secret", "jwt")
PACE: Final = Pace(requests=9, window_s=60.0)
PATH: Final = "/restapi/v1.0/account/~/call-log"
# Some 5 KB each with their legs.
PER_PAGE: Final = 100
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AROUND: Final = timedelta(days=1)
CONTRADICTION: Final = "several records of the call state different results"


class RingCentral:
    """The call log of a company."""

    slice: Final = DAY_SLICE

    def __init__(self, log_api: LogApi) -> None:
        self._api: Final = log_api

    async def pages(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[LogEntry]]:
        """The records of the calls that began in a span of time."""
        async for page in self._pages(since, until):
            yield page

    async def read_call(self, call_ids: KnownCall) -> LoggedCall | None:
        """The records of one session."""
        if call_ids.started_at is None:
            return None
        call = LoggedCall(call_ids.source_call_id)
        since = call_ids.started_at - AROUND
        until = call_ids.started_at + AROUND
        session = {"telephonySessionId": call_ids.source_call_id}
        async for page in self._pages(since, until, **session):
            call.entries += [
                entry for entry in page if entry.source_call_id == call_ids.source_call_id
            ]
        if not call.entries:
            return None
        return call

    async def messages(self, call: LoggedCall) -> Sequence[LogMessage] | Untold:
        """A message for each record, if all of them state one result."""
        results = {logged_result(entry.fields) for entry in call.entries}
        if len(results) > 1:
            return Untold(reason=CONTRADICTION)
        return [
            LogMessage(
                record_id=entry.entry_id, body=json_body({CALL_LOG_FIELD: dict(entry.fields)})
            )
            for entry in call.entries
        ]

    async def check_rights(self, now: datetime) -> None:
        """Send each kind of request that the log is read with."""
        await read_latest(self, now)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _pages(
        self, since: datetime, until: datetime, **more: str
    ) -> AsyncIterator[list[LogEntry]]:
        number = 1
        while True:
            page = await self._api.get(
                PATH,
                view="Detailed",
                type="Voice",
                dateFrom=iso_z(since),
                dateTo=iso_z(until),
                perPage=str(PER_PAGE),
                page=str(number),
                **more,
            )
            records = items(TITLE, page, "records")
            yield [entry for entry in map(_entry, records) if entry.source_call_id]
            number += 1
            # A full page is followed by another one, which may be empty.
            if len(records) < PER_PAGE and not _has_next(page):
                return


def open_log(access: Access) -> RingCentral:
    """The call log by the app's credentials; no request is sent yet."""
    credentials = access.credentials
    api = Api(
        title=TITLE,
        url=credentials["api_url"],
        cure="check RINGCENTRAL_CLIENT_ID, RINGCENTRAL_CLIENT_SECRET and RINGCENTRAL_JWT",
        missing_right=(
            "give the app the permission Read Call Log, and the user of the JWT that to see the "
            "company's call log"
        ),
        confidential=frozenset({*access.secrets, credentials["client_secret"], credentials["jwt"]}),
        transport=access.transport,
    )

    async def log_in() -> None:
        await api.log_in(
            f"{api.url}/restapi/oauth/token",
            user=credentials["client_id"],
            password=credentials["client_secret"],
            form={"grant_type": GRANT, "assertion": credentials["jwt"]},
        )

    return RingCentral(
        LogApi(api=api, pace=PACE, log_in=log_in, is_patient=access.is_patient, pause=access.pause)
    )


def _has_next(page: Fields) -> bool:
    navigation = page.get("navigation")
    return isinstance(navigation, dict) and isinstance(navigation.get("nextPage"), dict)


def _entry(record: Fields) -> LogEntry:
    return LogEntry(
        entry_id=text(record, "id") or "",
        source_call_id=text(record, "telephonySessionId") or "",
        started_at=record_start(record),
        ended_at=record_end(record),
        is_over=not goes_on(record),
        is_internal=is_internal_record(record),
        fields=slim_record(record),
    )
