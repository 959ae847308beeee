"""
Events as objects: how they are made and copied.
"""

import dataclasses
from datetime import UTC, datetime

import pytest

from service.events import CallEvent, Direction, EventType, Recording
from service.quick_dataclass import replace

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


def test_events_are_made_as_dataclasses_are() -> None:
    """Fields without a default are required, others are not known, and none can be set later."""
    event = CallEvent(
        source="s", message_id="m", source_call_id="c", leg_id="l", event_type=EventType.ENDED
    )
    assert event.tags == ()
    assert type(event) is CallEvent
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.source = "other"  # type: ignore[misc]
    with pytest.raises(TypeError, match="source_call_id"):
        CallEvent(source="s", message_id="m")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        CallEvent(colour="red")  # type: ignore[call-arg]


def test_copy_of_something_else_is_refused() -> None:
    """It is for quick classes alone, and for the fields that they have."""
    with pytest.raises(TypeError, match="Recording"):
        replace(Recording("RE1"), url="https://rec.example.test/1")
    with pytest.raises(TypeError, match="colour"):
        replace(EVENT, colour="red")  # type: ignore[call-arg]
