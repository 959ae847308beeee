"""
From a message that Zoom Phone sends while a call goes on to its events.

It is about the telephone of one of our users. What it says of the call as a whole goes to the
call's leg (the customer's), what it says of a telephone that rang for an inbound call to a leg
below that.
"""

from msgspec.structs import replace

from service.events import CallEvent, EventType, HangupCause
from service.sources.base import MAX_WORD_LENGTH, unknown_event
from service.sources.common.fields import Fields, text
from service.sources.zoom.call_endings import (
    Ending,
    Times,
    end_events,
    read_ending,
    read_times,
)
from service.sources.zoom.endpoints import Endpoints
from service.sources.zoom.parties import live_endpoints
from service.sources.zoom.vocabulary import (
    LiveEventSpec,
    NonHangupOutcome,
    Outcome,
    Side,
    read_phrase,
)


def live_events(common: CallEvent, spec: LiveEventSpec, data: Fields) -> list[CallEvent]:
    """
    The beginning of the call, what the message is about, and one event of type `UNKNOWN` for each
    value that no table knows.
    """
    endpoints = live_endpoints(spec.side, data)
    call_leg = endpoints.call_leg(common)
    times = read_times(data, common.occurred_at)
    began = replace(call_leg, event_type=EventType.RINGING, occurred_at=times.started_at)
    phrase = text(data, "handup_result")
    unknown_values = [*endpoints.unrecognised]
    if phrase is not None and read_phrase(phrase) is None:
        unknown_values.append(phrase)
    unknown_events = [unknown_event(call_leg, value) for value in unknown_values]
    if spec.event_type is EventType.RINGING:
        events = _ringing_events(endpoints, call_leg, times)
    elif spec.event_type is EventType.ANSWERED:
        events = _answer_events(endpoints, call_leg, times)
    else:
        events = _live_end_events(endpoints, call_leg, times, spec=spec, phrase=phrase)
    return [began, *events, *unknown_events]


def _ringing_events(endpoints: Endpoints, call_leg: CallEvent, times: Times) -> list[CallEvent]:
    agent_leg = endpoints.agent_leg(call_leg)
    if agent_leg is None:
        return []
    return [replace(agent_leg, event_type=EventType.RINGING, occurred_at=times.started_at)]


def _answer_events(endpoints: Endpoints, call_leg: CallEvent, times: Times) -> list[CallEvent]:
    if not endpoints.is_person:
        return []
    answered_leg = endpoints.agent_leg(call_leg) or call_leg
    # Without a time in the message it is when the message was sent.
    answered_at = times.answered_at or call_leg.occurred_at
    return [replace(answered_leg, event_type=EventType.ANSWERED, occurred_at=answered_at)]


def _live_end_events(
    endpoints: Endpoints,
    call_leg: CallEvent,
    times: Times,
    *,
    spec: LiveEventSpec,
    phrase: str | None,
) -> list[CallEvent]:
    outcome, has_talk = _live_outcome(spec, phrase, times)
    ending = read_ending(
        outcome,
        spec.side,
        has_talk=has_talk,
        is_person=endpoints.is_person,
        talk_s=times.talk_s,
        is_record=False,
    )
    agent_leg = endpoints.agent_leg(call_leg)
    if phrase is not None:
        call_leg = replace(call_leg, vendor_status=phrase[:MAX_WORD_LENGTH])
    may_end_call = spec.side is Side.CALLER or _is_talked_out(outcome, ending)
    return [*end_events(call_leg, agent_leg, ending or Ending(), times, may_end_call=may_end_call)]


def _live_outcome(
    spec: LiveEventSpec, phrase: str | None, times: Times
) -> tuple[Outcome | None, bool]:
    """How the telephone's part ended, and whether the message shows talk."""
    outcome = read_phrase(phrase)
    # An event that is named after its cause ends no talk, unless the phrase says something else.
    if spec.cause is not None and outcome in {None, HangupCause.COMPLETED}:
        return spec.cause, False
    return outcome, times.answered_at is not None


def _is_talked_out(outcome: Outcome | None, ending: Ending | None) -> bool:
    """
    Whether the end of one called telephone is that of the call.

    A telephone that was not picked up ends nothing: others may ring, or be talking already. A
    parked call goes on.
    """
    if ending is None or outcome is NonHangupOutcome.UNSTATED:
        return False
    return ending.agent_cause is HangupCause.COMPLETED
