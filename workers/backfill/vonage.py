"""
Vonage's call records: one for each leg, read by the ids of the legs that webhooks have named.

API: https://developer.vonage.com/en/api/reports (records of the product VOICE-CALL). A record is
made into the event webhook of the leg's last status. It names no conversation, by which webhooks
name a call: a call that no webhook reported cannot be read, and there is no list to back-fill.
"""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

from service.sources.common.fields import Fields, iso_moment, text
from service.sources.vonage.vocabulary import COMPLETED, STATUSES
from workers.backfill.api import LogApi, Pace
from workers.backfill.reading import items, json_body
from workers.backfill.types import (
    DAY_SLICE,
    Access,
    KnownCall,
    LogEntry,
    LoggedCall,
    LogMessage,
    Untold,
)
from workers.subscriptions.api import Api
from workers.subscriptions.errors import NotReady

TITLE: Final = "Vonage"
NEEDS: Final = ("api_key", "api_secret")
# Vonage states no limit for this API; nobody waits for it.
PACE: Final = Pace(requests=2, window_s=1.0)
LEG_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
NO_LEG: Final = "00000000-0000-0000-0000-000000000000"
MOST_LEGS: Final = 10
GOES_ON: Final = frozenset({"started", "ringing", "answered", "human", "machine"})
INBOUND: Final = "inbound"
NO_LIST: Final = "Vonage's records cannot be listed by call"
NOT_DIALLED: Final = (
    "Vonage's records do not show what became of an answered caller for whom nobody was called"
)


class Vonage:
    """The records of one account."""

    slice: Final = DAY_SLICE

    def __init__(self, log_api: LogApi, *, account_id: str) -> None:
        self._api: Final = log_api
        self._account_id: Final = account_id

    async def pages(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[LogEntry]]:
        """There is no list: raises `NotReady`."""
        del since, until
        raise NotReady(NO_LIST)
        yield []

    async def read_call(self, call_ids: KnownCall) -> LoggedCall | None:
        """The records of the legs that are known of a call; None without any."""
        leg_ids = [leg_id for leg_id in call_ids.leg_ids if LEG_ID.fullmatch(leg_id)][:MOST_LEGS]
        if not leg_ids:
            return None
        records = await self._records(leg_ids)
        entries = [_entry(record, call_ids.source_call_id) for record in records]
        if {entry.entry_id for entry in entries} != set(leg_ids):
            return None
        return LoggedCall(call_ids.source_call_id, entries)

    async def messages(self, call: LoggedCall) -> Sequence[LogMessage] | Untold:
        """The webhook of each leg's last status."""
        directions = {text(entry.fields, "direction") for entry in call.entries}
        is_answered = any(text(entry.fields, "status") == COMPLETED for entry in call.entries)
        # A leg to an agent may be missing here, whose webhooks were lost too.
        if directions == {INBOUND} and is_answered:
            return Untold(reason=NOT_DIALLED)
        return [
            LogMessage(record_id=entry.entry_id, body=json_body(entry.fields))
            for entry in call.entries
        ]

    async def check_rights(self, now: datetime) -> None:
        """Send the kind of request that the records are read with."""
        del now
        await self._records([NO_LEG])

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _records(self, leg_ids: Sequence[str]) -> list[Fields]:
        answer = await self._api.get(
            "/v2/reports/records",
            account_id=self._account_id,
            product="VOICE-CALL",
            id=",".join(leg_ids),
        )
        return list(items(TITLE, answer, "records"))


def open_log(access: Access) -> Vonage:
    """The records of an account, by its API key and secret; no request is sent yet."""
    api_key = access.credentials["api_key"]
    api_secret = access.credentials["api_secret"]
    api = Api(
        title=TITLE,
        url=access.credentials["api_url"],
        cure="check VONAGE_API_KEY and VONAGE_API_SECRET",
        missing_right="the account needs access to the Reports API",
        confidential=frozenset({*access.secrets, api_secret}),
        transport=access.transport,
    )
    api.use_password(api_key, api_secret)
    log_api = LogApi(api=api, pace=PACE, is_patient=access.is_patient, pause=access.pause)
    return Vonage(log_api, account_id=api_key)


def _entry(record: Fields, source_call_id: str) -> LogEntry:
    leg_id = text(record, "call_id") or ""
    status = text(record, "status") or ""
    ended_at = iso_moment(text(record, "date_end"))
    return LogEntry(
        entry_id=leg_id,
        source_call_id=source_call_id,
        started_at=iso_moment(text(record, "date_start")),
        ended_at=ended_at,
        # A status that is not known ends nothing: its event says so.
        is_over=status not in GOES_ON or status not in STATUSES,
        fields={
            "uuid": leg_id,
            "conversation_uuid": source_call_id,
            "status": status,
            "direction": text(record, "direction"),
            "from": text(record, "from"),
            "to": text(record, "to"),
            "timestamp": text(record, "date_end"),
            "start_time": text(record, "date_start"),
            "end_time": text(record, "date_end"),
            "duration": text(record, "duration"),
        },
    )
