"""
Who came into a conference or a multiparty call at Plivo, and left it, as events.

https://www.plivo.com/docs/voice/xml/conference, https://www.plivo.com/docs/voice/xml/multipartycall
"""

from msgspec.structs import replace

from service.events import CallEvent, EventType, Party
from service.sources.base import unknown_event
from service.sources.common.fields import iso_moment
from service.sources.plivo.payload import Parameters, participant_role
from service.sources.plivo.vocabulary import CONFERENCE_ACTIONS, MULTIPARTY_EVENTS, ROLES


def conference_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    """
    The event of a member of a `<Conference>`.

    The request holds no time. That a caller waited there counts all the same; whether an agent was
    there at the same time is not known, so that an agent's leg gets no event of a conference.
    """
    action = parameters["ConferenceAction"]
    member = replace(leg, vendor_status=action)
    if leg.party is Party.AGENT:
        return [member]
    return [
        replace(
            member,
            event_type=CONFERENCE_ACTIONS[action],
            conference_id=parameters.get("ConferenceUUID"),
        )
    ]


def multiparty_events(leg: CallEvent, parameters: Parameters) -> list[CallEvent]:
    """
    The events of a participant of a multiparty call; a role that is not known is reported.

    One who is called and does not pick up exits without having joined: the exit counts only with
    the time of the join.
    """
    event_name = parameters["EventName"]
    role = participant_role(parameters)
    participant = replace(
        leg,
        occurred_at=iso_moment(parameters.get("EventTimestamp")),
        party=ROLES.get(role) or leg.party,
        conference_id=parameters["MPCUUID"],
        vendor_status=event_name,
    )
    if MULTIPARTY_EVENTS[event_name] is EventType.JOINED:
        events = [replace(participant, event_type=EventType.JOINED)]
    else:
        events = _exit_events(participant, parameters)
    if role and role not in ROLES:
        events.append(unknown_event(leg, role))
    return events


def _exit_events(participant: CallEvent, parameters: Parameters) -> list[CallEvent]:
    joined_at = iso_moment(parameters.get("ParticipantJoinTime"))
    if joined_at is None:
        return [replace(participant, conference_id=None)]
    return [
        replace(participant, event_type=EventType.JOINED, occurred_at=joined_at),
        replace(participant, event_type=EventType.LEFT),
    ]
