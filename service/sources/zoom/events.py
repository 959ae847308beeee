"""
From the payload of one Zoom Phone message to its events.

Messages that are sent while a call goes on are in `live`, records that are written afterwards in
`records`, voicemails and recordings here. Both use `parties` (who is at either end), `endpoints`
(which legs they make) and `call_endings` (which end of a call counts).
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from service.events import (
    CallEvent,
    EventType,
    HangupCause,
    Recording,
    Voicemail,
)
from service.sources.base import unknown_event
from service.sources.common.fields import (
    Fields,
    child,
    epoch_moment,
    iso_moment,
    text,
    whole_seconds,
)
from service.sources.common.leg_events import unrecognised
from service.sources.zoom.call_endings import LIVE_UNANSWERED
from service.sources.zoom.endpoints import CallScope
from service.sources.zoom.live import live_events
from service.sources.zoom.parties import recorded_endpoints
from service.sources.zoom.payload import (
    RECORDINGS,
    event_name,
    event_object,
    has_records_of_other_calls,
    named_call_id,
    records_of_call,
)
from service.sources.zoom.records import record_events
from service.sources.zoom.vocabulary import (
    DIRECTIONS,
    LIVE,
    RECORDING,
    RECORDS,
    VOICEMAILS,
    EndpointKind,
    Side,
)

OTHER_CALL: Final = "a record of another call beside those of the first"


def message_events(fields: Fields, message_id: str) -> list[CallEvent]:
    """
    The events of a message; those of type `UNKNOWN` name what no table knows.

    Raises `IgnoredEvent` and `MalformedPayload`.
    """
    name = event_name(fields)
    data = event_object(fields)
    common = _common(fields, name, message_id)
    if name in LIVE:
        return live_events(common, LIVE[name], data)
    if name in VOICEMAILS:
        return _voicemail_events(common, data)
    if name == RECORDING:
        return _events_of_list(common, data, RECORDINGS, read=_recording_events)
    if name in RECORDS:
        spec = RECORDS[name]
        return _events_of_list(
            common, data, spec.name, read=lambda event, record: record_events(event, spec, record)
        )
    return [unknown_event(common, name)]


def _common(fields: Fields, name: str, message_id: str) -> CallEvent:
    """What every event of a message holds."""
    call_id = named_call_id(event_object(fields))
    return CallEvent(
        source="zoom",
        message_id=message_id,
        source_call_id=call_id,
        # An event that no table knows is put on the leg where it delays the result of a call least.
        leg_id=call_id + CallScope.INBOUND.value,
        event_type=EventType.UPDATED,
        occurred_at=epoch_moment(fields, "event_ts", per_second=1000),
        vendor_status=name,
    )


def _events_of_list(
    common: CallEvent,
    data: Fields,
    list_name: str,
    *,
    read: Callable[[CallEvent, Fields], list[CallEvent]],
) -> list[CallEvent]:
    """The events of each record of the call. A message counts for one call only."""
    records = records_of_call(data, list_name, common.source_call_id)
    events = [event for record in records for event in read(common, record)]
    if has_records_of_other_calls(data, common.source_call_id):
        events.append(unknown_event(common, OTHER_CALL))
    return events


def _voicemail_events(common: CallEvent, data: Fields) -> list[CallEvent]:
    """A voicemail that a caller left, or its transcript; the call is over by then."""
    call_leg = replace(
        recorded_endpoints(Side.CALLEE, data).call_leg(common),
        occurred_at=iso_moment(text(data, "date_time")) or common.occurred_at,
    )
    voicemail = Voicemail(
        text(data, "download_url"),
        whole_seconds(data, "duration"),
        text(child(data, "transcription"), "content"),
    )
    return [
        replace(call_leg, event_type=EventType.VOICEMAIL, voicemail=voicemail),
        replace(
            call_leg,
            event_type=EventType.ENDED,
            hangup_cause=HangupCause.NO_ANSWER,
            # Any other end of the call counts before this one.
            sequence=LIVE_UNANSWERED,
        ),
    ]


def _recording_events(common: CallEvent, data: Fields) -> list[CallEvent]:
    """A recording of a call."""
    direction = text(data, "direction")
    call_leg = recorded_endpoints(_recorded_side(data), data).call_leg(common)
    recording = Recording(
        text(data, "id"), text(data, "download_url"), whole_seconds(data, "duration")
    )
    recorded_at = iso_moment(text(data, "end_time", "date_time")) or common.occurred_at
    unknown_values = unrecognised([(direction, DIRECTIONS)])
    return [
        replace(
            call_leg, event_type=EventType.RECORDING, occurred_at=recorded_at, recording=recording
        ),
        *(unknown_event(call_leg, value) for value in unknown_values),
    ]


def _recorded_side(data: Fields) -> Side:
    """Our side of a recorded call: the caller's if one of our users made the call."""
    direction = text(data, "direction")
    is_outbound = direction == "outbound"
    if direction not in DIRECTIONS:
        caller = recorded_endpoints(Side.CALLEE, data).caller
        is_outbound = caller.kind is EndpointKind.PERSON
    if is_outbound:
        return Side.CALLER
    return Side.CALLEE
