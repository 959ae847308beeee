"""
Whatever comes first, a webhook or the call log: the webhooks' own end counts.
"""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.events import CallEvent, Direction, EventType, HangupCause
from tests.trials import trials
from workers.calls.fold import fold

CAUSES = (HangupCause.BUSY, HangupCause.NO_ANSWER, HangupCause.COMPLETED, HangupCause.FAILED)
FIRST = CallEvent(
    source="twilio",
    message_id="m1",
    source_call_id="CA1",
    leg_id="CA1",
    event_type=EventType.RINGING,
    direction=Direction.OUTBOUND,
)
EVENTS = st.builds(
    lambda cause, is_logged: replace(
        FIRST, event_type=EventType.ENDED, hangup_cause=cause, is_logged=is_logged
    ),
    st.sampled_from(CAUSES),
    st.sampled_from((None, True)),
)


@settings(max_examples=trials(200))
@given(st.lists(EVENTS, min_size=1, max_size=4))
def test_the_log_ranks_below_webhooks(events: list[CallEvent]) -> None:
    """In every order the call is that of its webhooks, where these show an end."""
    reported = [event for event in events if event.is_logged is None]
    expected = fold(reported or events).result
    results = {fold(order).result for order in itertools.permutations(events)}
    assert {expected} == results


@pytest.mark.parametrize("is_logged", [None, True])
def test_the_log_completes_an_open_call(is_logged: bool | None) -> None:
    """What is reported of a call without an end, and its end by the log, are one call."""
    end = replace(
        FIRST, event_type=EventType.ENDED, hangup_cause=HangupCause.BUSY, is_logged=is_logged
    )
    assert "busy" == fold([FIRST, end]).result
    assert fold([FIRST, replace(end, is_logged=None)]) == fold([FIRST, end])
