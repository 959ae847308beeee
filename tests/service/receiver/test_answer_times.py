"""
How long senders waited is added to the figures of their account.
"""

from collections.abc import Callable

import pytest

from service.receiver.answer_times import METRIC, AnswerTimes
from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.figures import Tally
from tests.doubles.waiting import until

NOBODY = "redis://127.0.0.1:1/0"


async def _counts(store: Store) -> dict[str, int]:
    histograms = await store.figures.histograms()
    return {label: sum(times.counts) for (metric, label), times in histograms.items()}


@pytest.mark.anyio
async def test_times_are_added_while_it_is_open_and_at_its_end(store: Store) -> None:
    """So that a restart of the receiver loses none."""
    tally = Tally()
    tally.note_time(METRIC, "twilio", 0.02)

    async def is_added() -> bool:
        return await _counts(store) == {"twilio": 1}

    async with AnswerTimes([(store, tally)], every_s=0.01):
        await until(is_added, goal="the first time")
    async with AnswerTimes([(store, tally)], every_s=60):
        tally.note_time(METRIC, "twilio", 7)
        tally.note_time(METRIC, "zoom", 70)
    assert {"twilio": 2, "zoom": 1} == await _counts(store)
    twilio = (await store.figures.histograms())[METRIC, "twilio"]
    assert (7.02, 1) == (twilio.sum_s, twilio.counts[2])


@pytest.mark.anyio
async def test_redis_that_is_away_keeps_no_time_from_another_account(
    store: Store, make_settings: Callable[..., Settings]
) -> None:
    """What it does not take is added once it is back."""
    waiting = Tally()
    waiting.note_time(METRIC, "zoom", 0.1)
    tally = Tally()
    tally.note_time(METRIC, "twilio", 0.1)
    async with (
        open_store(make_settings(REDIS_URL=NOBODY), role="receiver") as away,
        AnswerTimes([(away, waiting), (store, tally)], every_s=60),
    ):
        pass
    assert {"twilio": 1} == await _counts(store)
    await store.figures.add(waiting)
    assert {"twilio": 1, "zoom": 1} == await _counts(store)
