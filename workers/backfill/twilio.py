"""
Twilio's call log: call resources, one for each leg.

API: https://www.twilio.com/docs/voice/api/call-resource and
https://www.twilio.com/docs/voice/api/recording. A resource is made into the status callback that
Twilio sends of such a leg. It lacks what `<Dial action>`, conferences and `<Enqueue>` report: an
inbound call that was answered and dialled nobody stays open, unless a caller's message was
recorded.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from service.sources.common.fields import Fields, text
from service.sources.request import FORM
from service.sources.twilio.payload import moment
from service.sources.twilio.vocabulary import RECORD_VERB
from workers.backfill.api import LogApi, Pace
from workers.backfill.reading import chosen_texts, is_safe_id, iso_z, items
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

TITLE: Final = "Twilio"
NEEDS: Final = ("account_sid",)
# Twilio limits concurrent requests; here there is one at a time.
PACE: Final = Pace(requests=10, window_s=1.0)
# About 1.5 KB each.
PAGE_SIZE: Final = "200"
GOES_ON: Final = frozenset({"queued", "initiated", "ringing", "in-progress"})
COMPLETED: Final = "completed"
AGENTS: Final = ("client:", "sip:", "sips:")
NOT_DIALLED: Final = (
    "Twilio's call log does not show what became of an answered caller for whom nobody was dialled"
)
# The parameters of a status callback, and the fields of the resource that hold them.
PARAMETERS: Final[Mapping[str, str]] = {
    "CallSid": "sid",
    "ParentCallSid": "parent_call_sid",
    "CallStatus": "status",
    "CallDuration": "duration",
    "Direction": "direction",
    "From": "from",
    "To": "to",
    "ForwardedFrom": "forwarded_from",
    "AnsweredBy": "answered_by",
    "StartTime": "start_time",
    "EndTime": "end_time",
}
START_PARAMETERS: Final = frozenset({"CallSid", "ParentCallSid", "Direction", "From", "To"})
RECORDING_PARAMETERS: Final[Mapping[str, str]] = {
    "RecordingSid": "sid",
    "RecordingStatus": "status",
    "RecordingSource": "source",
    "RecordingDuration": "duration",
}


class Twilio:
    """The call log of one account."""

    slice: Final = DAY_SLICE

    def __init__(self, log_api: LogApi, *, account_sid: str) -> None:
        self._api: Final = log_api
        self._path: Final = f"/2010-04-01/Accounts/{account_sid}"

    async def pages(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[LogEntry]]:
        """The resources of the legs that began in a span of time."""
        # Twilio documents days, and its own clients send times. Should it count days only, neither
        # limit leaves anything out.
        last_day = until + timedelta(days=1)
        params = {
            "StartTime>": iso_z(since),
            "StartTime<": f"{last_day:%Y-%m-%d}",
            "PageSize": PAGE_SIZE,
        }
        while params:
            page = await self._api.get(f"{self._path}/Calls.json", **params)
            entries = [_entry(fields) for fields in items(TITLE, page, "calls")]
            yield [entry for entry in entries if _began_in(entry, since, until)]
            # The address of the next page is not followed: the credentials go to this one only.
            following = urlsplit(text(page, "next_page_uri") or "").query
            params = dict(parse_qsl(following))

    async def read_call(self, call_ids: KnownCall) -> LoggedCall | None:
        """The first leg of a call and those that it dialled."""
        source_call_id = call_ids.source_call_id
        if not is_safe_id(source_call_id):
            return None
        try:
            fields = await self._api.get(f"{self._path}/Calls/{source_call_id}.json")
        except VendorRejected as err:
            if err.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        children = await self._api.get(
            f"{self._path}/Calls.json", ParentCallSid=source_call_id, PageSize=PAGE_SIZE
        )
        dialled = items(TITLE, children, "calls")
        return LoggedCall(source_call_id, [_entry(leg) for leg in (fields, *dialled)])

    async def messages(self, call: LoggedCall) -> Sequence[LogMessage] | Untold:
        """The callbacks of all legs, and the caller's message of an inbound call."""
        first = call.entry(call.source_call_id)
        if first is None:
            return Untold(reason="the call's first leg began before the time that is read")
        dialled = [entry for entry in call.entries if entry is not first]
        messages = [message for entry in call.entries for message in _leg_messages(entry)]
        if not _is_callers(first.fields) or any(_is_completed(entry) for entry in dialled):
            return messages
        recorded = await self._voicemails(call.source_call_id, first.fields)
        if not recorded and not dialled and _is_completed(first):
            return Untold(reason=NOT_DIALLED)
        return [*messages, *recorded]

    async def check_rights(self, now: datetime) -> None:
        """Send each kind of request that the log is read with."""
        await read_latest(self, now)
        await self._api.get(f"{self._path}/Recordings.json", PageSize="1")

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _voicemails(self, source_call_id: str, first: Fields) -> list[LogMessage]:
        answer = await self._api.get(f"{self._path}/Calls/{source_call_id}/Recordings.json")
        recordings = items(TITLE, answer, "recordings")
        return [
            _recording_message(source_call_id, fields, first)
            for fields in recordings
            if text(fields, "source") == RECORD_VERB and text(fields, "status") == COMPLETED
        ]


def open_log(access: Access) -> Twilio:
    """
    The call log of an account, by its API key, or by its auth token where none is set; no request
    is sent yet.
    """
    account_sid = access.credentials["account_sid"]
    user = access.credentials.get("api_key", account_sid)
    password = access.credentials.get("api_secret", "")
    if "api_key" not in access.credentials:
        password = next(iter(access.secrets), "")
    api = Api(
        title=TITLE,
        url=access.credentials["api_url"],
        cure="check TWILIO_ACCOUNT_SID, and TWILIO_API_KEY with its secret or the auth token",
        missing_right="give the API key the right to read calls and recordings",
        confidential=frozenset({*access.secrets, password}),
        transport=access.transport,
    )
    api.use_password(user, password)
    return Twilio(
        LogApi(api=api, pace=PACE, is_patient=access.is_patient, pause=access.pause),
        account_sid=account_sid,
    )


def _entry(fields: Fields) -> LogEntry:
    sid = text(fields, "sid") or ""
    resource = chosen_texts(fields, {name: name for name in PARAMETERS.values()})
    return LogEntry(
        entry_id=sid,
        source_call_id=resource.get("parent_call_sid", sid),
        started_at=moment(resource.get("start_time")),
        ended_at=moment(resource.get("end_time")),
        is_over=resource.get("status") not in GOES_ON,
        fields=dict(resource),
    )


def _began_in(entry: LogEntry, since: datetime, until: datetime) -> bool:
    """Whether a leg began in a span of time; one that was not dialled yet has no beginning."""
    return entry.started_at is None or since <= entry.started_at < until


def _is_callers(first: Fields) -> bool:
    """Whether the first leg is that of somebody who called us, and not of an agent."""
    address = (text(first, "from") or "").lower()
    return text(first, "direction") == "inbound" and not address.startswith(AGENTS)


def _is_completed(entry: LogEntry) -> bool:
    return text(entry.fields, "status") == COMPLETED


def _leg_messages(entry: LogEntry) -> list[LogMessage]:
    """The callback of the leg's beginning, whose time would be lost else, and that of its end."""
    parameters = chosen_texts(entry.fields, PARAMETERS)
    end = {**parameters, "Timestamp": parameters.get("EndTime", "")}
    messages = [_form_message(entry.entry_id, end)]
    if entry.started_at is not None:
        began = {name: value for name, value in parameters.items() if name in START_PARAMETERS}
        start = {**began, "CallStatus": "initiated", "Timestamp": parameters["StartTime"]}
        messages.append(_form_message(f"{entry.entry_id}:start", start))
    return messages


def _recording_message(source_call_id: str, fields: Fields, first: Fields) -> LogMessage:
    parameters = chosen_texts(fields, RECORDING_PARAMETERS)
    created_at = moment(text(fields, "date_created"))
    parameters |= {"CallSid": source_call_id, "Direction": text(first, "direction") or ""}
    if created_at is not None:
        parameters["Timestamp"] = format_datetime(created_at)
    return _form_message(parameters["RecordingSid"], parameters)


def _form_message(record_id: str, parameters: Mapping[str, str]) -> LogMessage:
    present = sorted((name, value) for name, value in parameters.items() if value)
    return LogMessage(record_id=record_id, body=urlencode(present).encode(), content_type=FORM)
