"""
What single events of a call state beside how it went: recording, voicemail, queue, note.

Of several values the latest counts.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from service.events import CallEvent, Recording, Voicemail
from workers.calls.event_order import Rank, Timeline

T = TypeVar("T")
Audio = TypeVar("Audio", Recording, Voicemail)


def latest_value(
    timelines: Collection[Timeline], read: Callable[[CallEvent], T | None]
) -> T | None:
    """
    The latest value that is not None: within a leg by the leg's own order, between legs by time.
    """
    event = latest_event(timelines, lambda event: read(event) is not None)
    if event is None:
        return None
    return read(event)


def latest_event(
    timelines: Collection[Timeline], is_wanted: Callable[[CallEvent], bool]
) -> CallEvent | None:
    """The latest event that fits: within a leg by the leg's own order, between legs by time."""
    latest: CallEvent | None = None
    latest_place: tuple[datetime, Rank] | None = None
    for timeline in timelines:
        ordered = next((item for item in reversed(timeline) if is_wanted(item.event)), None)
        if ordered is None:
            continue
        place = (ordered.counts_at, ordered.rank)
        if latest_place is None or place > latest_place:
            latest = ordered.event
            latest_place = place
    return latest


def _latest_with_url(
    timelines: Collection[Timeline], read: Callable[[CallEvent], Audio | None]
) -> Audio | None:
    """The latest recording or voicemail that has a URL, else the latest of all."""

    def read_if_with_url(event: CallEvent) -> Audio | None:
        audio = read(event)
        if audio is None or not audio.url:
            return None
        return audio

    return latest_value(timelines, read_if_with_url) or latest_value(timelines, read)


def latest_recording(timelines: Collection[Timeline]) -> Recording | None:
    """The call's recording: the latest with a URL, else the latest."""
    return _latest_with_url(timelines, lambda event: event.recording)


def latest_voicemail(timelines: Collection[Timeline]) -> Voicemail | None:
    """The voicemail that was left: the latest with a URL, else the latest, with its transcript."""
    voicemail = _latest_with_url(timelines, lambda event: event.voicemail)
    if voicemail is None or voicemail.transcript:
        return voicemail
    # A transcript often comes later than the recording, in a message of its own.
    return replace(voicemail, transcript=latest_value(timelines, _transcript))


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
