"""
How long to wait after a failure.
"""

import random
from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 900.0
UNAUTHORIZED_FIRST_S: Final = 60.0
MOST_DOUBLINGS: Final = 20


def retry_in_s(attempts: int, *, rng: random.Random) -> float:
    """Seconds to wait after the n-th failure in a row: 1, 2, 4 ... 900, each shortened at random by up to half."""
    return _jittered(min(LONGEST_S, FIRST_S * 2 ** min(attempts - 1, MOST_DOUBLINGS)), rng)


def unauthorized_retry_in_s(times: int, *, rng: random.Random) -> float:
    """
    Seconds to wait after the n-th refused token in a row.

    The first time nothing: a token may have run out, and a new one is asked for. From then on a person has to act.
    """
    if times <= 1:
        return 0.0
    return _jittered(min(LONGEST_S, UNAUTHORIZED_FIRST_S * 2 ** min(times - 2, MOST_DOUBLINGS)), rng)


def _jittered(seconds: float, rng: random.Random) -> float:
    return seconds * (0.5 + 0.5 * rng.random())
