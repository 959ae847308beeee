"""
Forged requests over all sources, of which none is taken for genuine: a hundred thousand of them in
a thorough run, and in `make attacks`.
"""

import itertools
from typing import Final

import pytest

from service.sources import SOURCES
from tests.attacks.forger import accepted, forged, forges
from tests.sources.cases import CONTRACTS, fixture_names, signed
from tests.trials import trials

SHARE: Final = -(-trials(100_000) // len(SOURCES))


@pytest.mark.slow
@pytest.mark.parametrize("slug", list(SOURCES))
def test_no_forged_request_is_accepted(slug: str) -> None:
    """Each source refuses its share of them."""
    taken = sum(accepted(slug, request) for request in itertools.islice(forged(slug), SHARE))
    assert 0 == taken


@pytest.mark.parametrize("slug", list(SOURCES))
def test_the_forger_begins_with_what_is_genuine(slug: str) -> None:
    """What is changed would be accepted unchanged, so that only the change is refused."""
    assert forges(slug)
    assert all(
        accepted(slug, signed(slug, name))
        for name in fixture_names(slug)
        if CONTRACTS[slug].smallest == name
    )
