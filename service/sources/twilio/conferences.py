"""
Status callbacks of a conference: who came into it and who left.

https://www.twilio.com/docs/voice/twiml/conference#attributes-statusCallback. Those of
Twilio hold no direction and no addresses.
"""

from typing import Final

from msgspec.structs import replace

from service.events import CallEvent, Direction, EventType
from service.sources.common.ids import call_id
from service.sources.twilio.payload import Parameters
from service.sources.twilio.vocabulary import CONFERENCE_EVENTS, HANGUP_CAUSES, UNANSWERED

CONFERENCE_EVENT: Final = "StatusCallbackEvent"


def conference_event(common: CallEvent, parameters: Parameters) -> CallEvent:
    """
    What happened to a participant: it joined, it left, or it was called and did not answer.

    The leg belongs to the call of the conference: `common` holds it as `source_call_id`.
    """
    status = parameters[CONFERENCE_EVENT]
    event = replace(common, direction=_direction(common), vendor_status=status)
    event_type = CONFERENCE_EVENTS[status]
    participant_status = parameters.get("ParticipantCallStatus")
    if event_type is EventType.LEFT and participant_status in UNANSWERED:
        # Called into the conference by the API, which reports that it left: it never was there.
        return replace(
            event,
            event_type=EventType.ENDED,
            vendor_status=participant_status,
            hangup_cause=HANGUP_CAUSES[participant_status],
        )
    conference_id = call_id(parameters["ConferenceSid"], name="ConferenceSid")
    return replace(event, event_type=event_type, conference_id=conference_id)


def _direction(common: CallEvent) -> Direction | None:
    """
    That of the call's own first leg; a leg that was called into the conference has none, so that
    it is not taken for a customer that was called.
    """
    if common.parent_leg_id is not None:
        return None
    return common.direction
