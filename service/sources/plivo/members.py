"""
Who came into a conference or a multiparty call at Plivo, and left it, as events.

https://www.plivo.com/docs/voice/xml/conference, https://www.plivo.com/docs/voice/xml/multipartycall
"""

from dataclasses import replace

from service.events import CallEvent
from service.sources.base import unknown_event
from service.sources.common.fields import iso_moment
from service.sources.plivo.payload import Parameters, participant_role
from service.sources.plivo.vocabulary import CONFERENCE_ACTIONS, MULTIPARTY_EVENTS, ROLES


def conference_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    """The event of a member of a `<Conference>`, whose role is not stated."""
    action = parameters["ConferenceAction"]
    return [
        replace(
            leg,
            event_type=CONFERENCE_ACTIONS[action],
            conference_id=parameters.get("ConferenceUUID"),
            vendor_status=action,
        )
    ]


def multiparty_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    """The event of a participant of a multiparty call; a role that is not known is reported."""
    event_name = parameters["EventName"]
    role = participant_role(parameters)
    participant = replace(
        leg,
        event_type=MULTIPARTY_EVENTS[event_name],
        occurred_at=iso_moment(parameters.get("EventTimestamp")),
        party=ROLES.get(role) or leg.party,
        conference_id=parameters["MPCUUID"],
        vendor_status=event_name,
    )
    if role and role not in ROLES:
        return [participant, unknown_event(leg, role)]
    return [participant]
