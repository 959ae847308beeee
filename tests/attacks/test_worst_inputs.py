"""
What an unproved request may cost, for each source: a ratio, since a time is the machine's. The
exact figures are those of `make attacks`; here only the kinds of attack are kept out.
"""

from typing import Final

import pytest

from service.sources import SOURCES, Secrets
from tests.attacks.worst_inputs import cost, refuse, worst_inputs
from tests.sources.cases import CONTRACTS, unparsed

# HMACs over the largest form. The most seen is about 150; where tests are measured for coverage,
# Python takes three times as long and an HMAC does not. What this has found were 6,000 to 65,000.
MOST_RATIO: Final = 4_000


@pytest.mark.parametrize("slug", list(SOURCES))
def test_unproved_request_costs_little(slug: str) -> None:
    """No input costs as much CPU time as some thousand HMACs over the largest body."""
    secrets = CONTRACTS[slug].secrets
    costs = [cost(item, secrets, runs=3) for item in worst_inputs(slug)]
    # A busy machine makes single runs dear: the least of many decides.
    again = [cost(item.worst_input, secrets, runs=30) for item in costs if item.ratio > MOST_RATIO]
    assert {} == {
        item.worst_input.name: round(item.ratio) for item in again if item.ratio > MOST_RATIO
    }


@pytest.mark.parametrize("slug", ["twilio", "plivo", "standard", "openphone", "zoom", "telnyx"])
def test_worst_inputs_are_refused(slug: str) -> None:
    """What is measured is the way of a request that proves nothing."""
    secrets = Secrets(CONTRACTS[slug].secrets)
    assert all(refuse(slug, unparsed(item.request), secrets) for item in worst_inputs(slug))
