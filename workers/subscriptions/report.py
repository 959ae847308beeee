"""
What one reconciliation did, and the state that is stored of it.
"""

from datetime import datetime
from typing import Final

from msgspec import Struct, field

from service.store.subscriptions import UpkeepState
from workers.subscriptions.errors import UpkeepError
from workers.subscriptions.plan import rank
from workers.subscriptions.types import Action, Step, Subscription

FAILED: Final = "failed"
MISSING: Final = "missing"
UNSEEN: Final = "what was changed does not show at the vendor yet"


class Report(Struct, frozen=True, kw_only=True):
    """
    The result of one reconciliation of the source `slug`.

    `subscriptions` are all that the vendor listed last. `done` are the steps that were taken,
    `left` those that were not: an operator has to take them, it was a dry run, or the `fault` came
    first.
    """

    slug: str
    state: UpkeepState
    subscriptions: tuple[Subscription, ...] = ()
    done: tuple[Step, ...] = ()
    left: tuple[Step, ...] = ()
    fault: UpkeepError | None = None


class Progress(Struct, kw_only=True):
    """
    One reconciliation while it runs, so that what was done is reported even if it breaks off.

    `secret_fingerprints` by subscription id, `unseen_since` (UTC) and `failures` in a row start as
    they were stored.
    `is_settled` is False while the vendor still lists what was there before the steps.
    """

    secret_fingerprints: dict[str, str]
    unseen_since: datetime | None
    failures: int = 0
    settings: str = ""
    subscriptions: list[Subscription] = field(default_factory=list)
    done: list[Step] = field(default_factory=list)
    left: tuple[Step, ...] = ()
    is_settled: bool = True
    fault: UpkeepError | None = None


def make_report(slug: str, progress: Progress, now: datetime) -> Report:
    """The report on a reconciliation that has ended at `now`, well or not."""
    return Report(
        slug=slug,
        state=_state_of(progress, now),
        subscriptions=tuple(progress.subscriptions),
        done=tuple(progress.done),
        left=progress.left,
        fault=progress.fault,
    )


def _state_of(progress: Progress, now: datetime) -> UpkeepState:
    best = _best(progress.subscriptions)
    state = MISSING
    expires_at = None
    failures = 0
    if progress.fault is not None:
        state = FAILED
        failures = progress.failures + 1
    elif best is not None:
        state = best.state.value
        expires_at = best.expires_at
    return UpkeepState(
        checked_at=now,
        state=state,
        expires_at=expires_at,
        detail=_detail(progress, best),
        settings=progress.settings,
        given=progress.secret_fingerprints,
        unseen_since=progress.unseen_since,
        failures=failures,
    )


def _best(subscriptions: list[Subscription]) -> Subscription | None:
    """The best of ours that brings calls: its state is the source's."""
    ours = (item for item in subscriptions if item.is_ours and item.has_calls)
    return min(ours, key=rank, default=None)


def _detail(progress: Progress, best: Subscription | None) -> str | None:
    """One line for the operator, the most urgent that there is."""
    if progress.fault is not None:
        return str(progress.fault)
    for step in progress.left:
        if step.action is Action.BY_HAND:
            return step.why
    if best is not None and best.detail:
        return best.detail
    if not progress.is_settled:
        return UNSEEN
    return None
