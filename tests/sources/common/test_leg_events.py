"""
What several vendors say of a leg in the same way: earlier times, ends, recordings, numbers.
"""

from datetime import UTC, datetime

import pytest

from service.events import CallEvent, Direction, EventType, Recording, Voicemail
from service.sources.common.leg_events import (
    earlier_events,
    end_time,
    from_and_to,
    recording_event,
    seconds_between,
    unrecognised,
)

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 6, 1, 12, 0, 40, 600_000, tzinfo=UTC)
LAST_MOMENT = datetime.max.replace(tzinfo=UTC)
OURS = "+15005550006"
CUSTOMER = "+15005550001"


def leg(
    event_type: EventType = EventType.UPDATED,
    *,
    occurred_at: datetime | None = None,
    vendor_status: str | None = None,
    recording: Recording | None = None,
    voicemail: Voicemail | None = None,
) -> CallEvent:
    """An event of one leg of a call."""
    return CallEvent(
        source="telnyx",
        message_id="m1",
        source_call_id="c1",
        leg_id="l1",
        event_type=event_type,
        occurred_at=occurred_at,
        vendor_status=vendor_status,
        recording=recording,
        voicemail=voicemail,
    )


def test_each_time_of_an_end_message_is_an_event_in_order() -> None:
    """The event has the type and time, and the name of the field as the vendor's status."""
    events = earlier_events(
        leg(occurred_at=LAST_MOMENT, vendor_status="hangup"),
        [
            ("startTime", EventType.CREATED, NOON),
            ("answerTime", EventType.ANSWERED, LATER),
        ],
    )
    assert [
        leg(EventType.CREATED, occurred_at=NOON, vendor_status="startTime"),
        leg(EventType.ANSWERED, occurred_at=LATER, vendor_status="answerTime"),
    ] == events


def test_time_that_is_not_there_makes_no_event() -> None:
    """Only what the message holds is repeated."""
    times = [("startTime", EventType.CREATED, None), ("answerTime", EventType.ANSWERED, LATER)]
    assert ["answerTime"] == [event.vendor_status for event in earlier_events(leg(), times)]
    assert [] == earlier_events(leg(), [])


@pytest.mark.parametrize(
    ("started_at", "duration_s", "ended_at"),
    [
        (NOON, 90, datetime(2026, 6, 1, 12, 1, 30, tzinfo=UTC)),
        (NOON, 0, NOON),
        (NOON, None, NOON),
        (None, 90, None),
        (None, None, None),
        (LAST_MOMENT, 1, LAST_MOMENT),
    ],
)
def test_end_is_the_start_and_the_duration(
    started_at: datetime | None, duration_s: int | None, ended_at: datetime | None
) -> None:
    """Without a duration it is the start, and without a start it is not known."""
    assert ended_at == end_time(started_at, duration_s)


@pytest.mark.parametrize(
    ("started_at", "ended_at", "duration_s"),
    [
        (NOON, LATER, 41),
        (NOON, NOON, 0),
        (LATER, NOON, 0),
        (None, LATER, None),
        (NOON, None, None),
        (None, None, None),
    ],
)
def test_seconds_between_are_whole_and_never_negative(
    started_at: datetime | None, ended_at: datetime | None, duration_s: int | None
) -> None:
    """Two clocks of one vendor may differ, so that an end lies before its start."""
    assert duration_s == seconds_between(started_at, ended_at)


def test_recording_is_of_the_talk_or_a_voicemail() -> None:
    """A voicemail has no id of its own here."""
    recording = Recording("r1", "https://files.example.test/r1", 12)
    assert leg(EventType.RECORDING, recording=recording) == recording_event(
        leg(), recording, is_voicemail=False
    )
    assert leg(
        EventType.VOICEMAIL, voicemail=Voicemail("https://files.example.test/r1", 12)
    ) == recording_event(leg(), recording, is_voicemail=True)


@pytest.mark.parametrize(
    ("direction", "numbers"),
    [
        (Direction.INBOUND, (CUSTOMER, OURS)),
        (Direction.OUTBOUND, (OURS, CUSTOMER)),
        (None, (None, None)),
    ],
)
def test_direction_decides_which_number_called(
    direction: Direction | None, numbers: tuple[str | None, str | None]
) -> None:
    """Without a direction neither number is put on a side."""
    assert numbers == from_and_to(direction, customer=CUSTOMER, ours=OURS)


def test_values_that_no_table_lists_are_unrecognised() -> None:
    """An absent value is not unrecognised; an empty one is."""
    statuses = {"busy": 1}
    assert ["gone", ""] == unrecognised(
        [("busy", statuses), ("gone", statuses), (None, statuses), ("", frozenset({"x"}))]
    )
