"""
The parameters of Plivo's requests, of which only those that are read are named, and the ids in
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from service.errors import IgnoredEvent
from service.sources.common.forms import query_value, read_form
from service.sources.common.ids import call_id
from service.sources.plivo.vocabulary import IGNORED_DIAL_ACTIONS, RECORD
from service.sources.request import WebhookRequest


# https://www.plivo.com/docs/voice/xml/request, for `Dial*` /voice/xml/dial there, for `Record*`
# https://www.plivo.com/docs/voice/xml/record
# All values are texts. Times are in ISO 8601, in UTC without an offset; durations are in seconds.
# `DialALegUUID` and `ALegUUID` name the first leg, `DialBLeg*` the dialled one.
class PlivoRequest(TypedDict, total=False):
    """The parameters of a ring, answer, hangup, machine detection, dial or record request."""

    CallUUID: str
    ALegUUID: str
    Event: str
    CallStatus: str
    Direction: str
    From: str
    To: str
    StartTime: str
    AnswerTime: str
    EndTime: str
    Duration: str
    HangupCauseCode: str
    Machine: str
    DialAction: str
    DialStatus: str
    DialALegUUID: str
    DialBLegUUID: str
    DialBLegFrom: str
    DialBLegTo: str
    DialBLegDuration: str
    DialBLegHangupCauseCode: str
    RecordUrl: str
    RecordingID: str
    RecordingDuration: str


Parameters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LegIds:
    """The ids of the call, of the leg for which a request is made, and of that leg's parent."""

    source_call_id: str
    leg_id: str
    parent_leg_id: str | None = None


def read_parameters(request: WebhookRequest) -> Parameters:
    """
    The parameters of a `PlivoRequest` by name, without empty ones, and `record` of the URL.

    Raises `MalformedPayload`, and `IgnoredEvent` for a request that reports nothing of use.
    """
    parameters = request.body_via(read_form, _parameters)
    # Nothing in a request tells a caller's message from a recording of the talk; the author of the
    # XML can, in the URL.
    record = query_value(request, RECORD)
    if parameters.get("DialAction") in IGNORED_DIAL_ACTIONS:
        raise IgnoredEvent("keys that were pressed")
    if record is None:
        return parameters
    return {**parameters, RECORD: record}


def leg_ids(request: WebhookRequest, parameters: Parameters) -> LegIds:
    """The ids in a request; raises `MalformedPayload`."""
    # `<Record callbackUrl>` is not documented to name the call; the author of the XML can, in the
    # URL.
    own_id = call_id(
        parameters.get("CallUUID")
        or parameters.get("DialALegUUID")
        or query_value(request, "CallUUID"),
        name="CallUUID",
    )
    parent_id = parameters.get("DialALegUUID") or parameters.get("ALegUUID")
    if parent_id is None or parent_id == own_id:
        return LegIds(source_call_id=own_id, leg_id=own_id)
    return LegIds(
        source_call_id=call_id(parent_id, name="ALegUUID"), leg_id=own_id, parent_leg_id=parent_id
    )


def _parameters(pairs: list[tuple[str, str]]) -> dict[str, str]:
    # Of a repeated name the signature fixes the values but not their order, so that the order must
    # not decide anything.
    parameters: dict[str, str] = {}
    for name, value in sorted(pairs):
        if value:
            parameters.setdefault(name, value)
    return parameters
