"""
The lanes in which writes to Buildr wait: what is fresh goes first.
"""

from enum import StrEnum


class Lane(StrEnum):
    """
    Why something waits for budget, the most urgent first.

    `own` a request of the service's own, such as reading the outcomes; `final` a call that has
    ended and was never written; `refinement` a call that is written and has become better known;
    `replay` repeated by an operator; `backfill` an old call decided anew.
    """

    OWN = "own"
    FINAL = "final"
    REFINEMENT = "refinement"
    REPLAY = "replay"
    BACKFILL = "backfill"


LANES = tuple(Lane)
