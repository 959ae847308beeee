"""
`trigger --faults`: every message arrives, in a bad order, and no later than its vendor would send
it.
"""

import itertools
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from service.sources import RetryPolicy, WebhookRequest
from workers.simulator.network import simulate_deliveries

ZOOM = RetryPolicy(response_timeout_s=3, retry_delays_s=(300, 1200, 3600))
NEVER = RetryPolicy(response_timeout_s=3)


def requests(count: int) -> list[WebhookRequest]:
    return [
        WebhookRequest(method="POST", url=f"https://hooks.example.test/{number}")
        for number in range(count)
    ]


@given(st.integers(1, 6), st.integers(), st.sampled_from([ZOOM, NEVER]))
def test_every_message_arrives_by_the_schedule_of_its_vendor(
    count: int, seed: int, retry_policy: RetryPolicy
) -> None:
    """
    Each message comes at least once; each try comes when the vendor makes it, and none comes twice.
    """
    sent = requests(count)
    result = simulate_deliveries(sent, retry_policy, Random(seed))
    moments = [0.0, *itertools.accumulate(retry_policy.retry_delays_s)]
    assert {entry.url for entry in sent} == {entry.request.url for entry in result}
    assert [moments[entry.try_number - 1] for entry in result] == [entry.late_s for entry in result]
    tries = [(item.request.url, item.try_number) for item in result]
    assert len(tries) == len(set(tries))


@given(st.integers(2, 6), st.integers())
def test_there_is_always_something_wrong(count: int, seed: int) -> None:
    """
    Of two messages or more at least one comes twice and one comes late, where the vendor retries
    at all.
    """
    result = simulate_deliveries(requests(count), ZOOM, Random(seed))
    urls = [item.request.url for item in result]
    assert len(urls) > len(set(urls))
    assert any(
        entry.try_number > 1 and sum(other == entry.request.url for other in urls) == 1
        for entry in result
    )


def test_vendor_that_never_retries_loses_nothing_here() -> None:
    """Its messages come once each, in some order or other."""
    orders = {
        tuple(
            arrival.request.url for arrival in simulate_deliveries(requests(3), NEVER, Random(seed))
        )
        for seed in range(20)
    }
    assert all(len(order) == 3 for order in orders)
    assert len(orders) > 1
