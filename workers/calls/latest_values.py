"""
What single events of a call state beside how it went: recording, voicemail, queue, note.

Of several values the latest counts.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from service.events import CallEvent, EventType, Recording, Voicemail
from workers.calls.event_order import Rank, Timeline

# Fields that few events have.
SELDOM: Final = frozenset(
    {
        "disposition",
        "hung_up_by",
        "is_answered_elsewhere",
        "is_forwarded",
        "is_transferred",
        "note",
        "queue",
        "recording",
        "result",
        "team",
        "voicemail",
        "wait_s",
    }
)
SELDOM_NAMES: Final = tuple(sorted(SELDOM))
NOTHING_STATED: Final = (None,) * len(SELDOM_NAMES)
_read_seldom: Final = attrgetter(*SELDOM_NAMES)

T = TypeVar("T")
Audio = TypeVar("Audio", Recording, Voicemail)


def latest_value(
    timelines: Collection[Timeline], read: Callable[[CallEvent], T | None]
) -> T | None:
    """
    The latest value that is not None: within a leg by the leg's own order, between legs by time.
    """
    if len(timelines) == 1:
        # Most calls have one leg, where nothing has to be compared.
        for timeline in timelines:
            return _latest_of_leg(timeline, read)
    latest: T | None = None
    latest_place: tuple[datetime, Rank] | None = None
    for timeline in timelines:
        for ordered in reversed(timeline):
            value = read(ordered.event)
            if value is None:
                continue
            place = (ordered.counts_at, ordered.rank)
            if latest_place is None or place > latest_place:
                latest = value
                latest_place = place
            break
    return latest


def _latest_of_leg(timeline: Timeline, read: Callable[[CallEvent], T | None]) -> T | None:
    for ordered in reversed(timeline):
        value = read(ordered.event)
        if value is not None:
            return value
    return None


def latest_event(
    timelines: Collection[Timeline], is_wanted: Callable[[CallEvent], bool]
) -> CallEvent | None:
    """The latest event that fits: within a leg by the leg's own order, between legs by time."""
    return latest_value(timelines, lambda event: event if is_wanted(event) else None)


def _latest_with_url(
    timelines: Collection[Timeline], read: Callable[[CallEvent], Audio | None]
) -> Audio | None:
    """The latest recording or voicemail that has a URL, else the latest of all."""
    latest = latest_value(timelines, read)
    if latest is None or latest.url:
        return latest
    with_url = latest_event(timelines, lambda event: bool((audio := read(event)) and audio.url))
    if with_url is None:
        return latest
    return read(with_url)


class StatedValues(Struct, frozen=True):
    """
    The events of a call, the types among them, and the `names` of those of the fields `SELDOM` that
    any of them states: what none states is not looked for.
    """

    timelines: Collection[Timeline]
    types: Collection[EventType]
    names: Collection[str]

    def latest(self, name: str) -> Any:
        """The latest value of a field, None if no event states it."""
        if name not in self.names:
            return None
        return latest_value(self.timelines, attrgetter(name))

    def says(self, name: str) -> bool:
        """Whether any event says so."""
        if name not in self.names:
            return False
        read = attrgetter(name)
        return any(read(ordered.event) for timeline in self.timelines for ordered in timeline)

    @property
    def recording(self) -> Recording | None:
        """The call's recording: the latest with a URL, else the latest."""
        if "recording" not in self.names:
            return None
        return _latest_with_url(self.timelines, _recording)

    @property
    def voicemail(self) -> Voicemail | None:
        """
        The voicemail that was left: the latest with a URL, else the latest, with its transcript.
        """
        if "voicemail" not in self.names:
            return None
        voicemail = _latest_with_url(self.timelines, _voicemail)
        if voicemail is None or voicemail.transcript:
            return voicemail
        # A transcript often comes later than the recording, in a message of its own.
        return replace(voicemail, transcript=latest_value(self.timelines, _transcript))


def stated_fields(events: Iterable[CallEvent]) -> frozenset[str]:
    """Those of `SELDOM` that any event states."""
    rows = [row for row in map(_read_seldom, events) if row != NOTHING_STATED]
    if not rows:
        return frozenset()
    columns = zip(*rows, strict=True)
    return frozenset(
        name
        for name, column in zip(SELDOM_NAMES, columns, strict=True)
        if column.count(None) < len(rows)
    )


def _recording(event: CallEvent) -> Recording | None:
    return event.recording


def _voicemail(event: CallEvent) -> Voicemail | None:
    return event.voicemail


def _transcript(event: CallEvent) -> str | None:
    if event.voicemail is None:
        return None
    return event.voicemail.transcript


def sorted_values(values: Iterable[str | None]) -> tuple[str, ...]:
    """The different values, sorted; None is left out."""
    return tuple(sorted({value for value in values if value is not None}))


def only_value(values: Sequence[str]) -> str | None:
    """The value, if there is exactly one."""
    if len(values) != 1:
        return None
    return values[0]
