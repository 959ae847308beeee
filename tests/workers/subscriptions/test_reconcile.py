"""
The decision by itself: whatever is subscriptions, doing what it says leaves nothing more to be
done.
"""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from workers.subscriptions import (
    Action,
    State,
    Step,
    Subscription,
    plan_steps,
)
from workers.subscriptions.types import Issue

ALL = frozenset({"calls", "more"})
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
ISSUES = st.lists(
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
    issues=ISSUES,
    is_fixed=st.booleans(),
)


def _do(subscriptions: list[Subscription], steps: tuple[Step, ...]) -> list[Subscription]:
    """What a vendor makes of the steps."""
    made = list(subscriptions)
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
                step.subscription, state=State.ACTIVE, issues=()
            )
    return made


def _assert_allowed(steps: tuple[Step, ...]) -> None:
    """Only what is ours and can be changed is changed, and each at most once."""
    touched = [
        step.subscription
        for step in steps
        if step.subscription is not None and step.action is not Action.BY_HAND
    ]
    assert all(item.is_ours and not item.is_fixed for item in touched)
    assert len(touched) == len({item.subscription_id for item in touched})


def _foreign(subscriptions: list[Subscription]) -> list[Subscription]:
    return [item for item in subscriptions if not item.is_ours]


@given(
    subscriptions=st.lists(SUBSCRIPTIONS, max_size=6, unique_by=lambda item: item.subscription_id),
    fixable=st.sets(st.sampled_from(Issue)),
)
def test_turns_come_to_rest(subscriptions: list[Subscription], fixable: set[Issue]) -> None:
    """
    After a few turns only an operator's part is left; what is not ours, or cannot be changed, is
    never touched; calls always come.
    """
    supported_fixes = {issue: FULL[issue] for issue in fixable}
    stored = list(subscriptions)
    for _ in range(3):
        steps = plan_steps(stored, supported_fixes, "by hand")
        _assert_allowed(steps)
        stored = _do(stored, steps)
    left = plan_steps(stored, supported_fixes, "by hand")
    assert {Action.BY_HAND} >= {step.action for step in left}
    assert _foreign(subscriptions) == _foreign(stored)
    if Issue.MISSING in fixable:
        assert any(item.is_ours and item.has_calls for item in stored)


@given(
    subscriptions=st.lists(SUBSCRIPTIONS, max_size=6, unique_by=lambda item: item.subscription_id)
)
def test_order_of_the_list_does_not_matter(subscriptions: list[Subscription]) -> None:
    """Vendors list in any order."""
    assert plan_steps(subscriptions, FULL, "by hand") == plan_steps(
        subscriptions[::-1], FULL, "by hand"
    )
