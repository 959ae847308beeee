"""
Plivo's call log: call objects, one for each leg.

API: https://docs.plivo.com/docs/voice/api/call/the-call-object,
https://www.plivo.com/docs/voice/api/call/retrieve-all-calls/ and
https://docs.plivo.com/docs/voice/api/recordings. An object is made into the hangup request that
Plivo sends of such a leg. The list can be filtered by the end of a call and not by its beginning.
It lacks who answered (AMD), conferences and multiparty calls, and whether a recording is a caller's
message.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

import httpx

from service.sources.common.fields import Fields, child, iso_moment, text
from service.sources.plivo.hangup_causes import ENDS_TALK
from service.sources.request import FORM
from workers.backfill.api import LogApi, Pace
from workers.backfill.reading import chosen_texts, is_safe_id, items
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
from workers.subscriptions.errors import NotReady, VendorRejected

TITLE: Final = "Plivo"
NEEDS: Final = ("auth_id",)
# 300 requests in 5 seconds: https://docs.plivo.com/docs/voice/concepts/account-limits
PACE: Final = Pace(requests=100, window_s=5.0)
PAGE_SIZE: Final = 20
# Four hours is the default limit of a call, by the same page.
LONGEST_CALL: Final = timedelta(hours=4, minutes=5)
# Recordings are shown of at most 30 days.
RECORDED_WITHIN: Final = timedelta(days=29)
# What the clocks of a list and of its filter may differ.
SLACK: Final = timedelta(minutes=2)
INBOUND: Final = "inbound"
AGENTS: Final = ("sip:", "sips:")
ON: Final = "true"
OTHER_ZONE: Final = (
    "Plivo's log gives times that are not in the span that was asked for: set the time zone of "
    "the Plivo console to UTC"
)
NOT_DIALLED: Final = (
    "Plivo's call log does not show what became of an answered caller for whom nobody was dialled"
)
RECORDED: Final = "Plivo's call log does not show whether the recording is a caller's message"
WHO_ANSWERED: Final = (
    "Plivo's call log does not show whether a human or a machine answered "
    "(PLIVO_MACHINE_DETECTION is true)"
)
FIRST_LEG_MISSING: Final = "the log does not hold the call's first leg"
# The parameters of a hangup request, and the fields of the object that hold them.
PARAMETERS: Final = {
    "CallUUID": "call_uuid",
    "ALegUUID": "parent_call_uuid",
    "Direction": "call_direction",
    "From": "from_number",
    "To": "to_number",
    "Duration": "bill_duration",
    "HangupCauseCode": "hangup_cause_code",
    "HangupCauseName": "hangup_cause_name",
    "HangupSource": "hangup_source",
}
TIMES: Final = {
    "StartTime": "initiation_time",
    "AnswerTime": "answer_time",
    "EndTime": "end_time",
}


class Plivo:
    """
    The call log of one account; `detects_machines`: its calls use machine detection.
    """

    slice: Final = DAY_SLICE

    def __init__(self, log_api: LogApi, *, auth_id: str, detects_machines: bool) -> None:
        self._api: Final = log_api
        self._path: Final = f"/v1/Account/{auth_id}"
        self._detects_machines: Final = detects_machines

    async def pages(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[LogEntry]]:
        """The legs that ended in a span of time, or so long after it as a call may last."""
        latest = until + LONGEST_CALL
        span = {"end_time__gte": _utc_text(since), "end_time__lt": _utc_text(latest)}
        async for page in self._pages(**span):
            if not all(_ended_in(entry, since, latest) for entry in page):
                raise NotReady(OTHER_ZONE)
            yield page

    async def read_call(self, call_ids: KnownCall) -> LoggedCall | None:
        """The first leg of a call and those that it dialled."""
        first = await self._leg(call_ids.source_call_id)
        if first is None:
            return None
        return LoggedCall(call_ids.source_call_id, [first, *await self._dialled(first)])

    async def messages(self, call: LoggedCall) -> Sequence[LogMessage] | Untold:
        """The hangup requests of all legs, if they show how the call ended."""
        first = call.entry(call.source_call_id) or await self._leg(call.source_call_id)
        if first is None:
            return Untold(reason=FIRST_LEG_MISSING)
        dialled = [entry for entry in call.entries if entry.entry_id != first.entry_id]
        if _is_long(first):
            # Its legs may have ended in another span than it.
            dialled = await self._dialled(first)
        reason = await self._untold(first, dialled)
        if reason is not None:
            return Untold(reason=reason)
        return [_message(entry) for entry in (first, *dialled)]

    async def check_rights(self, now: datetime) -> None:
        """Send each kind of request that the log is read with."""
        await read_latest(self, now)
        await self._api.get(f"{self._path}/Recording/", limit="1")

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _untold(self, first: LogEntry, dialled: Sequence[LogEntry]) -> str | None:
        """What the log does not show of a call that matters for its result, or None."""
        if not _is_callers(first):
            is_answered = any(_is_talk(leg) for leg in dialled or (first,))
            if self._detects_machines and is_answered:
                return WHO_ANSWERED
            return None
        if any(_is_talk(leg) for leg in dialled):
            return None
        if not dialled and _is_talk(first):
            return NOT_DIALLED
        if await self._is_recorded(first):
            return RECORDED
        return None

    async def _pages(self, **params: str) -> AsyncIterator[list[LogEntry]]:
        offset = 0
        while True:
            page = await self._api.get(
                f"{self._path}/Call/", limit=str(PAGE_SIZE), offset=str(offset), **params
            )
            legs = items(TITLE, page, "objects")
            yield [_entry(fields) for fields in legs]
            # The address of the next page is not followed: the credentials go to this one only.
            offset += len(legs)
            if not legs or text(child(page, "meta"), "next") is None:
                return

    async def _leg(self, leg_id: str) -> LogEntry | None:
        """A leg that is over; None if there is none."""
        if not is_safe_id(leg_id):
            return None
        try:
            return _entry(await self._api.get(f"{self._path}/Call/{leg_id}/"))
        except VendorRejected as err:
            if err.status_code == httpx.codes.NOT_FOUND:
                return None
            raise

    async def _dialled(self, first: LogEntry) -> list[LogEntry]:
        params = {"parent_call_uuid": first.entry_id}
        if first.started_at is not None:
            # Without it only the last seven days are searched.
            params["end_time__gte"] = _utc_text(first.started_at)
        return [entry async for page in self._pages(**params) for entry in page]

    async def _is_recorded(self, first: LogEntry) -> bool:
        params = {"call_uuid": first.entry_id, "limit": "1"}
        if first.started_at is not None:
            params["add_time__gte"] = _utc_text(first.started_at)
            params["add_time__lte"] = _utc_text(first.started_at + RECORDED_WITHIN)
        answer = await self._api.get(f"{self._path}/Recording/", **params)
        return bool(items(TITLE, answer, "objects"))


def open_log(access: Access) -> Plivo:
    """The call log of an account, by its auth id and auth token; no request is sent yet."""
    auth_id = access.credentials["auth_id"]
    auth_token = next(iter(access.secrets), "")
    api = Api(
        title=TITLE,
        url=access.credentials["api_url"],
        cure="check PLIVO_AUTH_ID and the first PLIVO_AUTH_TOKEN",
        missing_right="PLIVO_AUTH_ID must be that of the account to which the auth token belongs",
        confidential=frozenset(access.secrets),
        transport=access.transport,
    )
    api.use_password(auth_id, auth_token)
    return Plivo(
        LogApi(api=api, pace=PACE, is_patient=access.is_patient, pause=access.pause),
        auth_id=auth_id,
        detects_machines=access.credentials["machine_detection"] == ON,
    )


def _utc_text(moment: datetime) -> str:
    """A time as Plivo's filters want it, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _entry(fields: Fields) -> LogEntry:
    leg_id = text(fields, "call_uuid") or ""
    ended_at = iso_moment(text(fields, "end_time"))
    return LogEntry(
        entry_id=leg_id,
        source_call_id=text(fields, "parent_call_uuid") or leg_id,
        started_at=iso_moment(text(fields, "initiation_time")) or ended_at,
        ended_at=ended_at,
        is_over=ended_at is not None,
        fields={**chosen_texts(fields, PARAMETERS), **_times(fields)},
    )


def _times(fields: Fields) -> dict[str, str]:
    """The times of a leg under the names of a hangup request, in UTC."""
    moments = {name: iso_moment(text(fields, field_name)) for name, field_name in TIMES.items()}
    return {name: _utc_text(moment) for name, moment in moments.items() if moment is not None}


def _ended_in(entry: LogEntry, since: datetime, until: datetime) -> bool:
    return entry.ended_at is None or since - SLACK <= entry.ended_at <= until + SLACK


def _is_long(first: LogEntry) -> bool:
    """Whether a leg lasted longer than what is read behind a span."""
    if first.started_at is None or first.ended_at is None:
        return True
    return first.ended_at - first.started_at > LONGEST_CALL


def _is_callers(first: LogEntry) -> bool:
    """Whether the first leg is that of somebody who called us, and not of an agent."""
    address = (text(first.fields, "From") or "").lower()
    return text(first.fields, "Direction") == INBOUND and not address.startswith(AGENTS)


def _is_talk(entry: LogEntry) -> bool:
    """Whether a leg was picked up, by somebody or by the account's XML."""
    duration = text(entry.fields, "Duration") or "0"
    return text(entry.fields, "HangupCauseCode") in ENDS_TALK and duration != "0"


def _message(entry: LogEntry) -> LogMessage:
    """The hangup request of a leg."""
    values = chosen_texts(entry.fields, {name: name for name in entry.fields})
    values["Event"] = "Hangup"
    is_dialled = entry.source_call_id != entry.entry_id
    if is_dialled and values.get("HangupCauseCode") in ENDS_TALK and not _is_talk(entry):
        # Normal clearing of a telephone that was never picked up: the caller hung up while it rang.
        values["CallStatus"] = "cancel"
    body = urlencode(sorted(values.items())).encode()
    return LogMessage(record_id=entry.entry_id, body=body, content_type=FORM)
