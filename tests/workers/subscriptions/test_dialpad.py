"""
Dialpad: a webhook and a subscription, which are made, mended and rotated together.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from service.settings import Settings
from service.store.connection import Store
from tests.doubles.vendors.dialpad import Dialpad
from tests.doubles.vendors.serving import Fault
from tests.workers.subscriptions.conftest import (
    OLD,
    SECRET,
    Bench,
    opened,
)
from workers.subscriptions import Action
from workers.subscriptions.dialpad import STATES


@pytest.fixture
async def bench(store: Store, make_settings: Callable[..., Settings]) -> AsyncIterator[Bench]:
    """Dialpad, with nothing in it."""
    async with opened("dialpad", store, make_settings()) as made:
        yield made


def _standin(bench: Bench) -> Dialpad:
    assert isinstance(bench.standin, Dialpad)
    return bench.standin


async def test_both_parts_are_made(bench: Bench) -> None:
    """
    A webhook with our secret, and a subscription of the whole company to it with the states that
    calls need.
    """
    await bench.turn()
    (webhook,) = _standin(bench).webhooks.values()
    (stored,) = _standin(bench).stored.values()
    assert (bench.target.address, SECRET) == (webhook["hook_url"], webhook["secret"])
    assert (webhook["id"], True, sorted(STATES)) == (
        stored["endpoint_id"],
        stored["enabled"],
        stored["call_states"],
    )


async def test_webhook_without_a_subscription_is_used(bench: Bench) -> None:
    """Cut short between the two, the second turn makes only what is missing."""
    _standin(bench).faults = [Fault(match="POST /api/v2/subscriptions")]
    assert (await bench.turn()).fault is not None
    assert (1, 0) == (len(_standin(bench).webhooks), len(_standin(bench).stored))
    assert [Action.CREATE] == [step.action for step in (await bench.turn()).done]
    assert (1, 1) == (len(_standin(bench).webhooks), len(_standin(bench).stored))


@pytest.mark.parametrize("shows_secrets", [True, False])
async def test_new_secret_is_given_once(bench: Bench, shows_secrets: bool) -> None:
    """Rotation, whether or not Dialpad shows what it was given."""
    _standin(bench).shows_secrets = shows_secrets
    await bench.turn()
    bench.target = replace(bench.target, secrets=("another-secret-of-the-source", SECRET))
    assert [Action.UPDATE] == [step.action for step in (await bench.turn()).done]
    assert ["another-secret-of-the-source"] == [
        webhook["secret"] for webhook in _standin(bench).webhooks.values()
    ]
    assert () == (await bench.turn()).done


async def test_one_that_is_off_lacks_states_and_has_an_old_address(bench: Bench) -> None:
    """All of it is mended at once; states that somebody added stay."""
    number = _standin(bench).add(
        f"{bench.path}/t/{OLD}", SECRET, enabled=False, call_states=["hangup", "csat"]
    )
    assert [Action.ENABLE] == [step.action for step in (await bench.turn()).done]
    stored = _standin(bench).stored[number]
    (webhook,) = _standin(bench).webhooks.values()
    assert (True, sorted({*STATES, "csat"}), bench.target.address) == (
        stored["enabled"],
        stored["call_states"],
        webhook["hook_url"],
    )
    assert ((), ()) == ((await bench.turn()).done, (await bench.turn()).left)


async def test_subscriptions_of_two_offices_are_no_twins(bench: Bench) -> None:
    """What brings the calls of somebody else is not spare; what brings the same is."""
    for office in (1, 2, 2):
        _standin(bench).add(bench.target.address, SECRET, target_type="office", target_id=office)
    assert [Action.REMOVE] == [step.action for step in (await bench.turn()).done]
    assert [1, 2] == sorted(int(str(item["target_id"])) for item in _standin(bench).stored.values())
