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
    latest: T | None = None
    latest_place: tuple[datetime, Rank] | None = None
    for timeline in timelines:
        for counts_at, event, rank in reversed(timeline):
            value = read(event)
            if value is None:
                continue
            if latest_place is None or (counts_at, rank) > latest_place:
                latest = value
                latest_place = (counts_at, rank)
            break
    return latest


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


def latest_recording(timelines: Collection[Timeline]) -> Recording | None:
    """The call's recording: the latest with a URL, else the latest."""
    return _latest_with_url(timelines, _recording)


def latest_voicemail(timelines: Collection[Timeline]) -> Voicemail | None:
    """The voicemail that was left: the latest with a URL, else the latest, with its transcript."""
    voicemail = _latest_with_url(timelines, _voicemail)
    if voicemail is None or voicemail.transcript:
        return voicemail
    # A transcript often comes later than the recording, in a message of its own.
    return replace(voicemail, transcript=latest_value(timelines, _transcript))


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
