"""
How long to wait after a failure.
"""

import random
from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 900.0
MOST_DOUBLINGS: Final = 20


def retry_in_s(attempts: int, *, rng: random.Random) -> float:
    """
    Seconds to wait after the n-th failure in a row: 1, 2, 4 ... 900, each shortened at random by up
    to half.
    """
    return _jittered(min(LONGEST_S, FIRST_S * 2 ** min(attempts - 1, MOST_DOUBLINGS)), rng)


def _jittered(seconds: float, rng: random.Random) -> float:
    return seconds * (0.5 + 0.5 * rng.random())
