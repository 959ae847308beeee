"""
Which steps bring the subscriptions at a vendor to what they should be.

A pure function, so that a dry run and the real run cannot differ. Subscriptions that are not ours
never get a step.
"""

from collections.abc import Mapping, Sequence

from workers.subscriptions.types import (
    LIVING,
    WHY,
    Action,
    Issue,
    State,
    Step,
    Subscription,
)


def plan_steps(
    subscriptions: Sequence[Subscription], supported_fixes: Mapping[Issue, Action], by_hand: str
) -> tuple[Step, ...]:
    """
    The steps, in the order in which they are taken. An issue without a supported fix becomes a
    `BY_HAND` step with the sentence `by_hand`.
    """
    steps: list[Step] = []
    needed: list[Subscription] = []
    ours = (subscription for subscription in subscriptions if subscription.is_ours)
    # The best first, so that of two equal ones it is the better that stays.
    for subscription in sorted(ours, key=rank):
        is_duplicate = any(_covers(better, subscription) for better in needed)
        # Nothing can be done about it, and it does no harm: a message that comes twice is a
        # duplicate.
        if is_duplicate and subscription.is_fixed:
            continue
        if is_duplicate and Issue.DUPLICATE in supported_fixes:
            action = supported_fixes[Issue.DUPLICATE]
            why = WHY[Issue.DUPLICATE]
            steps.append(Step(action=action, why=why, subscription=subscription))
            continue
        needed.append(subscription)
        steps += _fix(subscription, supported_fixes, by_hand)
    if not any(subscription.has_calls for subscription in needed):
        steps.insert(0, _step(Issue.MISSING, supported_fixes.get(Issue.MISSING), by_hand, None))
    return tuple(steps)


def rank(subscription: Subscription) -> tuple[bool, bool, int, float, str]:
    """A sort key, the best first: alive, without issues, more events, a later expiry."""
    lasts_until = 0.0
    if subscription.expires_at is not None:
        lasts_until = subscription.expires_at.timestamp()
    return (
        subscription.state not in LIVING,
        bool(subscription.issues),
        -len(subscription.events),
        -lasts_until,
        subscription.subscription_id,
    )


def _covers(better: Subscription, subscription: Subscription) -> bool:
    """Whether `better` is alive and brings all that the other one does, for the same scope."""
    if better.state not in LIVING or better.scope != subscription.scope:
        return False
    has_events = bool(subscription.events) and subscription.events <= better.events
    return has_events and subscription.has_calls <= better.has_calls


def _fix(
    subscription: Subscription, supported_fixes: Mapping[Issue, Action], by_hand: str
) -> list[Step]:
    """At most one step, for the gravest issue: its fix brings the rest in order too."""
    if not subscription.issues:
        return []
    gravest = min(subscription.issues, key=list(Issue).index)
    action = supported_fixes.get(gravest)
    if subscription.is_fixed:
        action = None
    return [_step(gravest, action, by_hand, subscription)]


def _step(
    issue: Issue, action: Action | None, by_hand: str, subscription: Subscription | None
) -> Step:
    why = WHY[issue]
    # The detail of an unknown state only says that it is unknown.
    if subscription is not None and subscription.state is not State.UNKNOWN and subscription.detail:
        why += f" ({subscription.detail})"
    if action is None:
        return Step(action=Action.BY_HAND, why=f"{why}: {by_hand}", subscription=subscription)
    return Step(action=action, why=why, subscription=subscription)
