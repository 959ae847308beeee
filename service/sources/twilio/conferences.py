"""
Status callbacks of a conference: who came into it and who left.

https://www.twilio.com/docs/voice/twiml/conference#attributes-statusCallback. They hold no direction
and no addresses, and number their events for each conference, not for each leg.
"""

from dataclasses import replace
from typing import Final

from service.events import CallEvent, Direction, EventType
from service.sources.common.ids import call_id
from service.sources.twilio.payload import Parameters
from service.sources.twilio.vocabulary import CONFERENCE_EVENTS, HANGUP_CAUSES, UNANSWERED

CONFERENCE_EVENT: Final = "StatusCallbackEvent"


def conference_events(common: CallEvent, parameters: Parameters) -> list[CallEvent]:
    """
    The event of a participant that joined or left; two where one left that never answered.

    The leg belongs to the call of the conference: `common` holds it as `source_call_id`.
    """
    status = parameters[CONFERENCE_EVENT]
    event = replace(
        common,
        event_type=CONFERENCE_EVENTS[status],
        conference_id=call_id(parameters["ConferenceSid"], name="ConferenceSid"),
        vendor_status=status,
        # Counted for each conference: it says nothing about the order of a leg's events.
        sequence=None,
        direction=_direction(common),
    )
    participant_status = parameters.get("ParticipantCallStatus")
    if event.event_type is not EventType.LEFT or participant_status not in UNANSWERED:
        return [event]
    # Called into the conference by the API, and not reached.
    end = replace(
        event,
        event_type=EventType.ENDED,
        conference_id=None,
        vendor_status=participant_status,
        hangup_cause=HANGUP_CAUSES[participant_status],
    )
    return [event, end]


def _direction(common: CallEvent) -> Direction | None:
    """
    That of the call's own first leg; a leg that was called into the conference has none, so that
    it is not taken for a customer that was called.
    """
    if common.parent_leg_id is not None:
        return None
    return common.direction
