"""
Whether the share of an outcome has shifted against the month before: a map that was changed by
mistake, or a source that reports differently, shows there first.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from math import sqrt
from typing import Final

from msgspec import Struct

# Calls by day (UTC) and outcome.
OutcomeDays = Mapping[date, Mapping[str, int]]

# Today alone would be a few calls each morning.
RECENT: Final = timedelta(days=1)
MONTH: Final = timedelta(days=28)
# With fewer, a quiet day is likely by chance.
LEAST_CALLS: Final = 30
LEAST_USUAL_CALLS: Final = 200
LEAST_USUAL_DAYS: Final = 7
# Both have to hold: many calls make small shifts certain, few calls make large ones likely.
LEAST_POINTS: Final = 0.15
# Standard deviations: by chance alone, a dozen outcomes reach it once in centuries.
LEAST_DEVIATIONS: Final = 5.0


class OutcomeShift(Struct, frozen=True, kw_only=True):
    """An outcome, its share of the calls since yesterday, and that of the month before."""

    outcome: str
    share: float
    usual_share: float


def shifted_outcomes(days: OutcomeDays, *, today: date) -> list[OutcomeShift]:
    """The outcomes whose share has shifted, those that shifted most first."""
    first_recent = today - RECENT
    first_usual = first_recent - MONTH
    recent: Counter[str] = Counter()
    usual: Counter[str] = Counter()
    usual_days = 0
    for day, counts in days.items():
        if day >= first_recent:
            recent.update(counts)
        elif day >= first_usual:
            usual.update(counts)
            usual_days += 1
    calls = recent.total()
    usual_calls = usual.total()
    has_calls = calls >= LEAST_CALLS and usual_calls >= LEAST_USUAL_CALLS
    if not has_calls or usual_days < LEAST_USUAL_DAYS:
        return []
    shifts = []
    for outcome in sorted({*recent, *usual}):
        share = recent[outcome] / calls
        usual_share = usual[outcome] / usual_calls
        # One call more than there was: an outcome that never came before has no deviation of 0.
        expected = (usual[outcome] + 1) / (usual_calls + 2)
        deviation = sqrt(expected * (1 - expected) / calls)
        points = abs(share - usual_share)
        if points >= LEAST_POINTS and points >= LEAST_DEVIATIONS * deviation:
            shifts.append(OutcomeShift(outcome=outcome, share=share, usual_share=usual_share))
    return sorted(shifts, key=lambda shift: -abs(shift.share - shift.usual_share))
