"""
The decision by itself: whatever is found, doing what it says leaves nothing more to be done.
"""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from workers.subscriptions import (
    Action,
    State,
    Step,
    Subscription,
    plan,
)
from workers.subscriptions.types import Issue

ALL = frozenset({"calls", "more"})
MENDED = {"state": State.ACTIVE, "troubles": ()}
FULL = {
    Issue.MISSING: Action.CREATE,
    Issue.DUPLICATE: Action.REMOVE,
    Issue.EXPIRED: Action.RECREATE,
    Issue.DISABLED: Action.ENABLE,
    Issue.EXPIRING: Action.RENEW,
    Issue.ADDRESS: Action.REPLACE,
    Issue.SIGNING_SECRET: Action.UPDATE,
    Issue.EVENTS: Action.REPLACE,
}
TROUBLES = st.lists(
    st.sampled_from(sorted(set(Issue) - {Issue.MISSING, Issue.DUPLICATE})), unique=True
).map(tuple)
SUBSCRIPTIONS = st.builds(
    Subscription,
    subscription_id=st.uuids().map(str),
    address=st.just("https://hooks.example.test/webhooks/x"),
    state=st.sampled_from(State),
    is_ours=st.booleans(),
    has_calls=st.booleans(),
    events=st.sets(st.sampled_from(sorted(ALL))).map(frozenset),
    scope=st.sampled_from(["", "1"]),
    troubles=TROUBLES,
    is_fixed=st.booleans(),
)


def _do(found: list[Subscription], steps: tuple[Step, ...]) -> list[Subscription]:
    """What a vendor makes of the steps."""
    made = list(found)
    for number, step in enumerate(steps):
        new = Subscription(
            subscription_id=f"new-{number}",
            address="",
            state=State.ACTIVE,
            is_ours=True,
            events=ALL,
        )
        if step.action is Action.CREATE:
            made.append(new)
        elif step.action in {Action.RECREATE, Action.REPLACE} and step.subscription is not None:
            made.remove(step.subscription)
            made.append(
                replace(
                    new,
                    has_calls=step.subscription.has_calls,
                    events=step.subscription.events | ALL,
                    scope=step.subscription.scope,
                )
            )
        elif step.action is Action.REMOVE and step.subscription is not None:
            made.remove(step.subscription)
        elif step.action is not Action.BY_HAND and step.subscription is not None:
            made[made.index(step.subscription)] = replace(
                step.subscription, state=State.ACTIVE, troubles=()
            )
    return made


@given(
    found=st.lists(SUBSCRIPTIONS, max_size=6, unique_by=lambda each: each.subscription_id),
    ways=st.sets(st.sampled_from(Issue)),
)
def test_turns_come_to_rest(found: list[Subscription], ways: set[Issue]) -> None:
    """
    After a few turns only a person's part is left; what is not ours, or cannot be changed, is never
    touched; calls always come.
    """
    can = {trouble: FULL[trouble] for trouble in ways}
    stored = list(found)
    for _ in range(3):
        steps = plan(stored, can, "by hand")
        touched = [
            step.subscription
            for step in steps
            if step.subscription is not None and step.action is not Action.BY_HAND
        ]
        assert all(each.is_ours and not each.is_fixed for each in touched)
        assert len(touched) == len({each.subscription_id for each in touched})
        stored = _do(stored, steps)
    left = plan(stored, can, "by hand")
    assert {Action.BY_HAND} >= {step.action for step in left}
    assert [item for item in found if not item.is_ours] == [
        each for each in stored if not each.is_ours
    ]
    if Issue.MISSING in can:
        assert any(each.is_ours and each.has_calls for each in stored)


@given(found=st.lists(SUBSCRIPTIONS, max_size=6, unique_by=lambda each: each.subscription_id))
def test_order_of_the_list_does_not_matter(found: list[Subscription]) -> None:
    """Vendors list in any order."""
    assert plan(found, FULL, "by hand") == plan(found[::-1], FULL, "by hand")
