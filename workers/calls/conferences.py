"""
Conferences: which legs of a call were in the same one at the same time, and so could talk.

That a leg came into a conference shows nothing by itself: callers are often held in one, with
music, until an agent comes.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from msgspec import Struct

from service.events import CallEvent, EventType

MIN_UTC: Final = datetime.min.replace(tzinfo=UTC)
MAX_UTC: Final = datetime.max.replace(tzinfo=UTC)

# From when until when (UTC); a time that is not known is None.
Span: TypeAlias = tuple[datetime | None, datetime | None]


class ConferenceStay(Struct, frozen=True):
    """One stay of a leg in a conference: times in UTC, None where they are not known."""

    conference_id: str | None
    joined_at: datetime | None = None
    left_at: datetime | None = None


def read_stays(
    events: Iterable[CallEvent], *, ended_at: datetime | None
) -> tuple[ConferenceStay, ...]:
    """
    The stays of one leg, from its events in their order.

    A stay without an end lasts until the leg's (`ended_at`, UTC). One of which only the end was
    reported began at an unknown time.
    """
    stays: list[ConferenceStay] = []
    open_stays: dict[str | None, datetime | None] = {}
    for event in events:
        if event.event_type is EventType.JOINED:
            open_stays.setdefault(event.conference_id, event.occurred_at)
        elif event.event_type is EventType.LEFT:
            joined_at = open_stays.pop(event.conference_id, None)
            stays.append(ConferenceStay(event.conference_id, joined_at, event.occurred_at))
    stays += [
        ConferenceStay(conference_id, joined_at, ended_at)
        for conference_id, joined_at in open_stays.items()
    ]
    return tuple(stays)


def shared_spans(
    stays: Sequence[ConferenceStay], other_stays: Sequence[ConferenceStay]
) -> tuple[Span, ...]:
    """When two legs were in the same conference, in no order; empty if they never were."""
    return tuple(
        (_latest(stay.joined_at, other.joined_at), _earliest(stay.left_at, other.left_at))
        for stay in stays
        for other in other_stays
        if stay.conference_id == other.conference_id and _overlap(stay, other)
    )


def _overlap(stay: ConferenceStay, other: ConferenceStay) -> bool:
    """
    Whether two stays in one conference certainly overlap.

    One of which only the end is known was there right before it; one without any time shows
    nothing.
    """
    first_began_at = _known_since(stay)
    second_began_at = _known_since(other)
    if first_began_at is None or second_began_at is None:
        return False
    ended_at = min(stay.left_at or MAX_UTC, other.left_at or MAX_UTC)
    return max(first_began_at, second_began_at) < ended_at


def _known_since(stay: ConferenceStay) -> datetime | None:
    if stay.joined_at is not None or stay.left_at is None:
        return stay.joined_at
    if stay.left_at == MIN_UTC:
        return None
    return stay.left_at - timedelta(microseconds=1)


def _latest(first: datetime | None, second: datetime | None) -> datetime | None:
    if first is None or second is None:
        return None
    return max(first, second)


def _earliest(first: datetime | None, second: datetime | None) -> datetime | None:
    if first is None or second is None:
        return first or second
    return min(first, second)
