"""
How often a test that tries something at random does so.

Every run chooses other cases, so that many short runs find what one long run does. `THOROUGH=1`
in the environment asks for the long run: `make test-all` does.
"""

import os
from typing import Final

SHARE: Final = 10


def trials(count: int) -> int:
    """The number of trials: `count` of a thorough run, a tenth of it otherwise."""
    if os.environ.get("THOROUGH"):
        return count
    return -(-count // SHARE)
