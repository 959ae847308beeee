"""
Moving messages from the spool to Redis, whatever happens in between: each is accepted once.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import QueueUnavailable
from service.spool import drain as drain_module
from service.spool.drain import Drain
from service.spool.files import MEGABYTE, SpoolLimits
from service.spool.messages import SpooledMessage, SpoolUnavailable
from service.spool.spool import Spool
from service.store.accept_scripts import AcceptResult
from tests.doubles.messages import spooled
from tests.doubles.waiting import until
from tests.trials import trials

LIMITS = SpoolLimits(max_bytes=8 * MEGABYTE, least_free_bytes=0)


class Killed(BaseException):
    """The process ends here: nothing after it runs, not even what is there for errors."""


class RedisModel:
    """
    What Redis does with messages: it keeps each id once, in order. It may be away, or lose its
    answer, or the process may be killed before it has read the answer.
    """

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.faults: list[str] = []
        self.trouble: str | None = None
        self.has_waiting = False

    async def probe(self) -> bool:
        """Whether no more outage is planned."""
        self.trouble = None
        return True

    async def write_spooled(self, messages: Sequence[SpooledMessage]) -> list[AcceptResult]:
        """Keep messages, or fail in the way that is planned next."""
        fault = "none"
        if self.faults:
            fault = self.faults.pop(0)
        if fault == "away":
            self.trouble = "Redis does not answer"
            raise QueueUnavailable(fault)
        results = [self.accept(message.message_id) for message in messages]
        if fault == "answer lost":
            self.trouble = "Redis does not answer in time"
            raise QueueUnavailable(fault)
        if fault == "killed":
            raise Killed
        return results

    def accept(self, message_id: str) -> AcceptResult:
        """Keep one message, from the spool or from its sender."""
        if message_id in self.kept:
            return AcceptResult.REPEATED
        self.kept.append(message_id)
        return AcceptResult.KEPT


async def _run(
    folder: Path, redis: RedisModel, steps: Sequence[tuple[str, int]], faults: Sequence[str]
) -> list[str]:
    """
    Put messages in, directly into Redis, or restart; then drain until all is done, through the
    faults. Returns the ids in the order in which the spool answered that it has them.
    """
    order: list[str] = []
    spool = Spool(folder, LIMITS)
    await spool.open()
    for step, number in steps:
        key = f"m{number}"
        if step == "spool":
            if await spool.put(spooled(key), is_last_chance=True):
                order.append(key)
        elif step == "redis":
            redis.accept(key)
        else:
            await spool.close()
            spool = Spool(folder, LIMITS)
            await spool.open()
    redis.faults = list(faults)
    while spool.depth("default").messages:
        drain = asyncio.create_task(Drain(spool, "default", redis).run())

        async def has_ended(spool: Spool = spool, drain: asyncio.Task[None] = drain) -> bool:
            return drain.done() or not spool.depth("default").messages

        await until(has_ended, goal="the spool to be drained")
        drain.cancel()
        await asyncio.wait([drain])
        if not drain.cancelled():
            # The next process finds what this one has not removed.
            assert isinstance(drain.exception(), Killed)
            await spool.close()
            spool = Spool(folder, LIMITS)
            await spool.open()
    await spool.close()
    return order


@settings(max_examples=trials(150))
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["spool", "spool", "spool", "redis", "restart"]), st.integers(0, 9)
        ),
        max_size=25,
    ),
    faults=st.lists(st.sampled_from(["none", "away", "answer lost", "killed"]), max_size=6),
    batch=st.integers(1, 5),
)
def test_every_message_is_accepted_once_and_in_order(
    steps: list[tuple[str, int]], faults: list[str], batch: int
) -> None:
    """
    Repeats in the spool and beside it, outages, lost answers, and kills between Redis's
    confirmation and the removal: each message is in Redis once, and in the spool's order.
    """
    redis = RedisModel()
    with pytest.MonkeyPatch.context() as monkeypatch, tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(drain_module, "BATCH", batch)
        monkeypatch.setattr(drain_module, "PROBE_INTERVAL_S", 0)
        order = asyncio.run(_run(Path(folder) / "spool", redis, steps, faults))
        assert [] == list((Path(folder) / "spool").iterdir())
    live = list(dict.fromkeys(f"m{number}" for step, number in steps if step == "redis"))
    expected = live + [key for key in dict.fromkeys(order) if key not in live]
    assert expected == redis.kept


async def test_bug_is_logged_and_is_not_the_end_of_moving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages wait: an error that nobody expected is tried again."""
    monkeypatch.setattr(drain_module, "FULL_INTERVAL_S", 0)
    redis = RedisModel()
    spool = Spool(tmp_path / "spool", LIMITS)
    await spool.open()
    await spool.put(spooled("a"), is_last_chance=True)
    broken = [True]

    async def break_once(_: Sequence[SpooledMessage]) -> list[AcceptResult]:
        if broken:
            broken.pop()
            raise ZeroDivisionError
        return [redis.accept("a")]

    monkeypatch.setattr(redis, "write_spooled", break_once)
    drain = asyncio.create_task(Drain(spool, "default", redis).run())

    async def is_moved() -> bool:
        return not spool.depth("default").messages

    await until(is_moved, goal="the message to be moved")
    assert ["a"] == redis.kept
    drain.cancel()
    await spool.close()


async def test_spool_that_cannot_keep_up_refuses_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for the disk is bounded; what was taken is on it; a closed spool takes nothing."""
    monkeypatch.setattr("service.spool.thread.MAX_WAITING", 3)
    spool = Spool(tmp_path / "spool", LIMITS)
    with pytest.raises(SpoolUnavailable, match="not open"):
        await spool.put(spooled("early"), is_last_chance=True)
    await spool.open()
    answers = await asyncio.gather(
        *(spool.put(spooled(str(number)), is_last_chance=True) for number in range(50)),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, SpoolUnavailable)]
    assert refused
    assert 50 == len(refused) + answers.count(True)
    assert answers.count(True) == spool.depth("default").messages
    await spool.check()
    await spool.close()
    with pytest.raises(SpoolUnavailable, match="stopping"):
        await spool.put(spooled("late"), is_last_chance=True)
