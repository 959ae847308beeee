"""
No call is final too early: a part of a whole call's messages never has a result that the whole
call does not have, unless the customer's own end is in it.

Where a source cannot hold this, its contract names the call and the reason (`early_results`).
"""

import itertools
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

import pytest

from service.errors import IgnoredEvent, MessageError
from service.events import CallEvent, EventType, Result
from service.sources import SOURCES
from tests.sources.cases import (
    CONTRACTS,
    call_messages,
    expected,
    fixture,
    fixture_names,
    scenarios,
)
from workers.calls.fold import fold
from workers.calls.parties import identify_parties

ALL_SUBSETS_UP_TO: Final = 9
RANDOM_SUBSETS: Final = 400
CALLS: Final = [pytest.param(slug, name, id=f"{slug}-{name}") for slug, name in scenarios()]
FIXTURES: Final = [
    pytest.param(slug, name, id=f"{slug}-{name}")
    for slug in SOURCES
    for name in fixture_names(slug)
]

Messages = Sequence[tuple[CallEvent, ...]]


def read_messages(slug: str, scenario: str) -> Messages:
    """The events of each message of a whole call; messages without any are left out."""
    messages = []
    for request in call_messages(slug, scenario):
        try:
            events = SOURCES[slug].read(SOURCES[slug].redact(request), "m000000000000000000000000")
        except MessageError:
            continue
        messages.append(tuple(events))
    return messages


def subsets(messages: Messages) -> Iterator[Messages]:
    """All parts of a short call; of a long one its beginnings and some at random."""
    if len(messages) <= ALL_SUBSETS_UP_TO:
        for size in range(1, len(messages)):
            yield from itertools.combinations(messages, size)
        return
    for size in range(1, len(messages)):
        yield messages[:size]
    rng = Random(len(messages))
    for _ in range(RANDOM_SUBSETS):
        yield rng.sample(messages, rng.randrange(1, len(messages)))


def customer_leg_id(messages: Messages) -> str | None:
    """The customer's leg of the whole call."""
    call = fold(itertools.chain(*messages))
    customer = identify_parties(call.source_call_id, call.legs).customer
    if customer is None:
        return None
    return customer.leg_id


def early_results(messages: Messages) -> set[Result | None]:
    """The results that parts without the customer's end have and the whole call does not."""
    result = fold(itertools.chain(*messages)).result
    customer = customer_leg_id(messages)
    early: set[Result | None] = set()
    for part in subsets(messages):
        events = list(itertools.chain(*part))
        if any(_is_customers_end(event, customer) for event in events):
            continue
        early.add(fold(events).result)
    return early - {None, result}


def _is_customers_end(event: CallEvent, customer: str | None) -> bool:
    if event.result is not None:
        return True
    return event.event_type is EventType.ENDED and event.leg_id == customer


@pytest.mark.parametrize(("slug", "scenario"), CALLS)
def test_part_of_a_call_is_not_final_with_another_result(slug: str, scenario: str) -> None:
    """Whatever is late or lost, nothing is asserted that the whole call does not say."""
    allowed = CONTRACTS[slug].early_results.get(scenario)
    early = early_results(read_messages(slug, scenario))
    if allowed is None:
        assert set() == early
    else:
        assert early == allowed.results
        assert allowed.reason


@pytest.mark.parametrize("slug", SOURCES)
def test_exceptions_are_of_calls_that_there_are(slug: str) -> None:
    """An exception for a call that is gone is taken out."""
    names = {name for source, name in scenarios() if source == slug}
    assert set(CONTRACTS[slug].early_results) <= names


@pytest.mark.parametrize(("slug", "name"), FIXTURES)
def test_message_that_ends_nothing_gives_no_result(slug: str, name: str) -> None:
    """
    A message without an end, a stated result or a voicemail decides nothing, whatever kind it is;
    one of a kind that is not read brings no event at all.
    """
    try:
        events = SOURCES[slug].parse(fixture(slug, name), "m000000000000000000000000")
    except IgnoredEvent:
        assert expected(slug, name) == {"raises": "IgnoredEvent"}
        return
    except MessageError:
        return
    if any(event.event_type is EventType.ENDED or event.result for event in events):
        return
    assert fold(events).result is None
