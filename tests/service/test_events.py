"""
Copies of events.
"""

import dataclasses
from datetime import UTC, datetime

import pytest

from service.events import CallEvent, Direction, EventType, Recording, replace

EVENT = CallEvent(
    source="twilio",
    message_id="m1",
    source_call_id="CA1",
    leg_id="CA1",
    event_type=EventType.ENDED,
    occurred_at=datetime(2026, 11, 2, 10, 0, tzinfo=UTC),
    recording=Recording("RE1"),
)


def test_copy_is_what_dataclasses_make() -> None:
    """Every field is copied or changed, and the event itself stays as it was."""
    before = dataclasses.asdict(EVENT)
    expected = dataclasses.replace(EVENT, agent="ana", direction=Direction.INBOUND, recording=None)
    assert expected == replace(EVENT, agent="ana", direction=Direction.INBOUND, recording=None)
    assert EVENT == replace(EVENT)
    assert before == dataclasses.asdict(EVENT)


def test_copy_of_something_else_is_refused() -> None:
    """It is for events alone."""
    with pytest.raises(TypeError, match="Recording"):
        replace(Recording("RE1"), url="https://rec.example.test/1")
