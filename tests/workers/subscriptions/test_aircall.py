"""
Aircall: a token that the vendor chooses, and webhooks that were switched off.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from service.settings import Settings
from service.store.connection import Store
from tests.doubles.vendors.aircall import Aircall
from tests.workers.subscriptions.conftest import (
    OLD,
    SECRET,
    Bench,
    opened,
)
from workers.subscriptions import Action
from workers.subscriptions.aircall import EVENTS


@pytest.fixture
async def bench(store: Store, make_settings: Callable[..., Settings]) -> AsyncIterator[Bench]:
    """Aircall, with nothing in it."""
    async with opened("aircall", store, make_settings()) as made:
        yield made


def _standin(bench: Bench) -> Aircall:
    assert isinstance(bench.standin, Aircall)
    return bench.standin


async def test_without_a_place_for_its_token_none_is_made(bench: Bench) -> None:
    """The worker makes none: it says which command does."""
    report = await bench.turn(saves=False)
    assert ((), [Action.BY_HAND], []) == (
        report.done,
        [step.action for step in report.left],
        bench.standin.changes,
    )
    assert ("missing", True) == (
        report.state.state,
        "--token-to FILE" in (report.state.detail or ""),
    )


async def test_token_is_saved_and_only_saved(bench: Bench) -> None:
    """
    The new token goes to its place; until it is set, no second webhook is made, and it can be saved
    once more.
    """
    report = await bench.turn()
    (stored,) = _standin(bench).stored.values()
    assert [stored["token"]] == bench.saved
    assert str(stored["token"]) not in repr(report)
    report = await bench.turn(saves=False)
    assert (1, [Action.BY_HAND]) == (
        len(_standin(bench).stored),
        [step.action for step in report.left],
    )
    assert "its token is not in AIRCALL_TOKEN" in report.left[0].why
    assert [Action.SAVE] == [step.action for step in (await bench.turn()).done]
    assert [stored["token"], stored["token"]] == bench.saved


@pytest.mark.parametrize("lists_tokens", [True, False])
async def test_switched_off_one_is_switched_on(bench: Bench, lists_tokens: bool) -> None:
    """A webhook whose token is ours comes back, with all that a call needs."""
    _standin(bench).lists_tokens = lists_tokens
    _standin(bench).add("mine", bench.target.address, active=False, token=SECRET)
    report = await bench.turn(saves=False)
    assert [Action.ENABLE] == [step.action for step in report.done]
    stored = _standin(bench).stored["mine"]
    assert (True, sorted(EVENTS), SECRET) == (stored["active"], stored["events"], stored["token"])
    assert () == (await bench.turn(saves=False)).done


async def test_one_with_a_foreign_token_stays_off(bench: Bench) -> None:
    """Its messages would be refused, and it would be switched off again."""
    _standin(bench).add("mine", bench.target.address, active=False)
    assert ((), []) == ((await bench.turn(saves=False)).done, bench.standin.changes)


async def test_address_is_mended_and_every_event_stays_every_event(bench: Bench) -> None:
    """No events at all means all of them, and stays so."""
    _standin(bench).add("mine", f"{bench.path}/t/{OLD}", token=SECRET, events=[])
    assert [Action.UPDATE] == [step.action for step in (await bench.turn()).done]
    assert (bench.target.address, []) == (
        _standin(bench).stored["mine"]["url"],
        _standin(bench).stored["mine"]["events"],
    )


async def test_two_of_ours_may_live_side_by_side(bench: Bench) -> None:
    """While one takes the place of the other, both are wanted."""
    bench.target = replace(bench.target, secrets=("new-token-of-a-webhook", SECRET))
    _standin(bench).add("old", bench.target.address, token=SECRET)
    _standin(bench).add("new", bench.target.address, token="new-token-of-a-webhook")
    assert ((), ()) == ((await bench.turn()).done, (await bench.turn()).left)
