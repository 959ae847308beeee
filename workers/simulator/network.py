"""
What a network does to the messages of a call: they come late, twice and out of order, by the
vendor's own schedule of retries.
"""

import itertools
from collections.abc import Sequence
from random import Random
from typing import Final

from msgspec import Struct

from service.sources import RetryPolicy, WebhookRequest

# Between two messages of a call, in seconds; a scenario does not say how far apart they are sent.
APART_S: Final = 3.0
JITTER_S: Final = 10.0


class Arrival(Struct, frozen=True, kw_only=True):
    """
    One try at a message that reaches the receiver: its attempt number, and how many seconds
    after the message was first sent.
    """

    request: WebhookRequest
    try_number: int
    late_s: float


def simulate_deliveries(
    requests: Sequence[WebhookRequest], retry_policy: RetryPolicy, rng: Random
) -> list[Arrival]:
    """
    All tries that reach the receiver, in the order in which they do.

    Every message arrives at least once. One in three is answered, but the answer gets lost, so that
    it is sent again; one in three fails up to as many times as the vendor tries again. At least one
    of each kind there is, where the vendor retries at all and there are two messages. A message
    of a vendor that never retries is only overtaken.
    """
    fates = [rng.choice((_first_delivery, _arrives_again, _arrives_late)) for _ in requests]
    # One of each kind by force: by chance alone a short call would often show no fault at all.
    if len(requests) > 1:
        again, late = rng.sample(range(len(requests)), 2)
        fates[again] = _arrives_again
        fates[late] = _arrives_late
    result: list[tuple[float, Arrival]] = []
    for place, (request, fate) in enumerate(zip(requests, fates, strict=True)):
        # The first moment of each try.
        moments = (0.0, *itertools.accumulate(retry_policy.retry_delays_s))
        for number in fate(len(moments), rng):
            late_s = moments[number - 1]
            jitter_s = rng.uniform(0, JITTER_S)
            result.append(
                (
                    place * APART_S + late_s + jitter_s,
                    Arrival(request=request, try_number=number, late_s=late_s),
                )
            )
    return [arrival for _, arrival in sorted(result, key=lambda pair: pair[0])]


def _first_delivery(tries: int, rng: Random) -> tuple[int, ...]:
    del tries, rng
    return (1,)


def _arrives_again(tries: int, rng: Random) -> tuple[int, ...]:
    return tuple(range(1, min(tries, rng.randint(2, 3)) + 1))


def _arrives_late(tries: int, rng: Random) -> tuple[int, ...]:
    return (rng.randint(min(2, tries), tries),)
