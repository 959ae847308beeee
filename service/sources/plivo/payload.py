"""
The parameters of Plivo's requests, of which only those that are read are named, and the ids in
them.
"""

import re
from collections.abc import Mapping
from typing import Final, TypedDict

from msgspec import Struct

from service.errors import IgnoredEvent
from service.sources.common.forms import query_value, read_form, values_by_name
from service.sources.common.ids import call_id
from service.sources.plivo.vocabulary import (
    AI_AGENT,
    IGNORED_CONFERENCE_ACTIONS,
    IGNORED_DIAL_ACTIONS,
    IGNORED_MULTIPARTY_EVENTS,
    RECORD,
    ROLES,
    SUPERVISOR,
)
from service.sources.request import WebhookRequest

# The form of a `CallUUID`. A multiparty call that has such a name was made for that call.
CALL_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
FIRST_LEG: Final = "ALegUUID"


# https://www.plivo.com/docs/voice/xml/request, for `Dial*` /voice/xml/dial there, for `Record*`
# https://www.plivo.com/docs/voice/xml/record, for `Conference*` /voice/xml/conference there, for
# `MPC*` and `Participant*` /voice/xml/multipartycall there.
# All values are texts. Times are in ISO 8601, in UTC without an offset; durations are in seconds.
# `DialALegUUID` and `ALegUUID` name the first leg, `DialBLeg*` the dialled one.
class PlivoRequest(TypedDict, total=False):
    """
    The parameters of a ring, answer, hangup, machine detection, dial or record request, or of one
    about who is in a conference or a multiparty call.
    """

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
    HangupSource: str
    ForwardedFrom: str
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
    ConferenceAction: str
    ConferenceUUID: str
    EventName: str
    EventTimestamp: str
    MPCUUID: str
    MPCName: str
    ParticipantCallUUID: str
    ParticipantRole: str
    ParticipantCoachMode: str
    ParticipantJoinTime: str


Parameters = Mapping[str, str]


class LegIds(Struct, frozen=True):
    """
    The ids of the call, of the leg for which a request is made, and of that leg's parent.

    `is_agent`: the URL names the call, so that the leg is that of an agent who was called for it.
    """

    source_call_id: str
    leg_id: str
    parent_leg_id: str | None = None
    is_agent: bool = False


def read_parameters(request: WebhookRequest) -> Parameters:
    """
    The parameters of a `PlivoRequest` by name, without empty ones, and `record` of the URL.

    Raises `MalformedPayload`, and `IgnoredEvent` for a request that reports nothing of use.
    """
    parameters = request.body_via(read_form, values_by_name)
    # Nothing in a request tells a caller's message from a recording of the talk; the author of the
    # XML can, in the URL.
    record = query_value(request, RECORD)
    if parameters.get("DialAction") in IGNORED_DIAL_ACTIONS:
        raise IgnoredEvent("keys that were pressed")
    if parameters.get("ConferenceAction") in IGNORED_CONFERENCE_ACTIONS:
        raise IgnoredEvent("keys that were pressed, or who speaks in a conference")
    if is_multiparty(parameters) and _is_no_participant(parameters):
        raise IgnoredEvent("a step of a multiparty call, or one in it who does not talk to callers")
    if record is None:
        return parameters
    return {**parameters, RECORD: record}


def is_multiparty(parameters: Parameters) -> bool:
    """Whether a request is about an event in a multiparty call."""
    return "MPCUUID" in parameters and "EventName" in parameters


def participant_role(parameters: Parameters) -> str:
    """The role of a participant of a multiparty call in lower case; empty if there is none."""
    return parameters.get("ParticipantRole", "").lower()


def _is_no_participant(parameters: Parameters) -> bool:
    role = participant_role(parameters)
    # In coach mode agents hear a supervisor, and customers do not.
    is_coach = role == SUPERVISOR and parameters.get("ParticipantCoachMode", "").lower() == "true"
    is_step = parameters["EventName"].startswith(IGNORED_MULTIPARTY_EVENTS)
    return is_step or is_coach or role == AI_AGENT


def leg_ids(request: WebhookRequest, parameters: Parameters) -> LegIds:
    """The ids in a request; raises `MalformedPayload`."""
    # `<Record callbackUrl>` is not documented to name the call; the author of the XML can, in the
    # URL.
    own_id = call_id(
        parameters.get("CallUUID")
        or parameters.get("ParticipantCallUUID")
        or parameters.get("DialALegUUID")
        or query_value(request, "CallUUID"),
        name="CallUUID",
    )
    # An agent who was called separately, and then met the caller in a conference: the code that
    # called knows for whom, and Plivo's signature covers the URL.
    named_id = query_value(request, FIRST_LEG)
    parent_id = named_id or _parent_id(parameters)
    if parent_id is None or parent_id == own_id:
        return LegIds(source_call_id=own_id, leg_id=own_id)
    return LegIds(
        source_call_id=call_id(parent_id, name=FIRST_LEG),
        leg_id=own_id,
        parent_leg_id=parent_id,
        is_agent=named_id is not None,
    )


def _parent_id(parameters: Parameters) -> str | None:
    parent_id = parameters.get("DialALegUUID") or parameters.get(FIRST_LEG)
    if parent_id is None and ROLES.get(participant_role(parameters)) is not None:
        return _name_of_multiparty_call(parameters)
    return parent_id


def _name_of_multiparty_call(parameters: Parameters) -> str | None:
    name = parameters.get("MPCName", "")
    if CALL_UUID.fullmatch(name):
        return name
    return None
