"""
Events as objects: how they are made and copied.
"""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from service.errors import MalformedPayload
from service.events import CallEvent, EventType, Recording, as_dict, from_json, to_json

EVENT = CallEvent(
    source="twilio",
    message_id="m1",
    source_call_id="CA1",
    leg_id="CA1",
    event_type=EventType.ENDED,
    occurred_at=datetime(2026, 11, 2, 10, 0, tzinfo=UTC),
    recording=Recording("RE1"),
)


def test_event_cannot_be_changed() -> None:
    """Fields without a default are required, others are not known, and none can be set later."""
    event = CallEvent(
        source="s", message_id="m", source_call_id="c", leg_id="l", event_type=EventType.ENDED
    )
    assert event.tags == ()
    with pytest.raises(AttributeError, match="immutable"):
        event.source = "other"  # type: ignore[misc]
    with pytest.raises(TypeError, match="source_call_id"):
        CallEvent(source="s", message_id="m")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        CallEvent(colour="red")  # type: ignore[call-arg]


def test_event_is_read_back_as_it_was_written() -> None:
    """With its time in UTC, in whatever zone it was written; so is every field that is not set."""
    berlin = timezone(timedelta(hours=1))
    event = replace(
        EVENT, occurred_at=datetime(2026, 11, 2, 11, 0, tzinfo=berlin), vendor_status="x"
    )
    (stored,) = from_json(to_json([event]))
    assert replace(EVENT, vendor_status="x") == stored
    assert stored.occurred_at is not None
    assert UTC is stored.occurred_at.tzinfo


def test_event_as_a_dict_has_every_field() -> None:
    """Also those that the stored form leaves out, and those of its recording."""
    plain = as_dict(EVENT)
    assert len(CallEvent.__struct_fields__) == len(plain)
    assert {"recording_id": "RE1", "url": None, "duration_s": None} == plain["recording"]
    assert ("2026-11-02T10:00:00Z", "ended", [], None) == (
        plain["occurred_at"],
        plain["event_type"],
        plain["tags"],
        plain["word"],
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"v": 1}',
        '{"v": 1, "events": [{}]}',
        to_json([EVENT]).replace("2026-11-02T10:00:00Z", "2026-11-02T10:00:00"),
        to_json([EVENT]).replace("ended", "exploded"),
        to_json([EVENT]).replace('"v":1', '"v":2'),
    ],
)
def test_what_is_no_event_is_refused(text: str) -> None:
    """Times without a zone, unknown types, newer forms."""
    with pytest.raises(MalformedPayload):
        from_json(text)
