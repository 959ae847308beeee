"""
Which sources tell which facts of a call: derived from the events that their fixtures and whole
calls make, so that the table never promises more than they do.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from typing import Final

from service.errors import MessageError
from service.events import CallEvent, HangupCause
from service.sources import SOURCES, WebhookRequest
from tests.sources.cases import call_messages, fixture, fixture_names
from workers.calls.fold import Call, fold
from workers.simulator.scenarios import names

UNANSWERED: Final = frozenset(HangupCause) - {HangupCause.COMPLETED, HangupCause.HUNG_UP}


def _has_voicemail_s(event: CallEvent) -> bool:
    return event.voicemail is not None and event.voicemail.duration_s is not None


def _has_rang_agent(event: CallEvent) -> bool:
    return event.agent is not None and event.hangup_cause in UNANSWERED


# The conditions of a row, and whether an event holds the fact that they ask for.
OF_EVENTS: Final[Mapping[tuple[str, ...], Callable[[CallEvent], bool]]] = {
    ("voicemail_at_least_s", "voicemail_below_s"): _has_voicemail_s,
    ("answered_by",): lambda event: event.answered_by is not None,
    ("agent",): lambda event: event.agent is not None,
    ("rang_agent",): _has_rang_agent,
    ("queue",): lambda event: event.queue is not None,
    ("team",): lambda event: event.team is not None,
    ("hung_up_by",): lambda event: event.hung_up_by is not None,
    ("transferred",): lambda event: event.is_transferred is True,
    ("forwarded",): lambda event: event.is_forwarded is True,
    ("answered_elsewhere",): lambda event: event.is_answered_elsewhere is True,
    ("disposition",): lambda event: event.disposition is not None,
    ("tag",): lambda event: event.tags != (),
}
# The same for facts that several events make together.
OF_CALLS: Final[Mapping[tuple[str, ...], Callable[[Call], bool]]] = {
    ("direction",): lambda call: call.direction is not None,
    ("from_number", "to_number"): lambda call: bool(call.from_number and call.to_number),
    ("business_hours", "outside_business_hours"): lambda call: call.started_at is not None,
    ("talk_at_least_s", "talk_below_s"): lambda call: bool(call.duration_s),
    ("wait_at_least_s", "wait_below_s"): lambda call: call.wait_s is not None,
    ("rang_agent",): lambda call: call.rang_agents != (),
}


def facts_table(slugs: Collection[str]) -> str:
    """A row for each fact with the sources, of those given, that tell it; in their order."""
    rows = [
        f"| {', '.join(f'`{name}`' for name in conditions)} | {_sources(conditions, slugs)} |"
        for conditions in dict.fromkeys((*OF_CALLS, *OF_EVENTS))
    ]
    return "\n".join(["| condition | sources that tell it |", "|---|---|", *rows])


def _sources(conditions: tuple[str, ...], slugs: Collection[str]) -> str:
    titles = {slug: f"[{slug}]({slug}.md)" for slug in slugs}
    telling = [titles[slug] for slug in slugs if _tells(slug, conditions)]
    others = [title for title in titles.values() if title not in telling]
    if not others:
        return "all"
    if len(others) < len(telling) / 2:
        return f"all but {', '.join(others)}"
    return ", ".join(telling) or "none"


def _tells(slug: str, conditions: tuple[str, ...]) -> bool:
    of_event = OF_EVENTS.get(conditions)
    if of_event is not None and any(map(of_event, _events(slug))):
        return True
    of_call = OF_CALLS.get(conditions)
    return of_call is not None and any(map(of_call, _calls(slug)))


@cache
def _events(slug: str) -> tuple[CallEvent, ...]:
    """The events of all fixtures and whole calls of a source."""
    requests = [fixture(slug, name) for name in fixture_names(slug)]
    for scenario in names(slug):
        requests += call_messages(slug, scenario)
    return tuple(event for request in requests for event in _read(slug, request))


@cache
def _calls(slug: str) -> tuple[Call, ...]:
    """The whole calls of a source."""
    return tuple(_whole_calls(slug))


def _whole_calls(slug: str) -> Iterator[Call]:
    for scenario in names(slug):
        messages = call_messages(slug, scenario)
        yield fold(event for request in messages for event in _read(slug, request))


def _read(slug: str, request: WebhookRequest) -> list[CallEvent]:
    try:
        return SOURCES[slug].read(request, "m1")
    except MessageError:
        return []
