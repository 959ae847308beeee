"""
One run at a time reads a source's call log.
"""

import asyncio

import pytest
import redis.asyncio

from service.store.connection import open_store
from tests.doubles.vendors.twilio import Twilio
from tests.workers.backfill.conftest import OpenBench
from tests.workers.backfill.harness import NOW, Bench
from workers.backfill.exclusive import AlreadyRunning, RightLost, running_alone

pytestmark = pytest.mark.anyio
RIGHT = "backfill_run:twilio"


class Renewals:
    """Lets a run renew its right when a test wants it to."""

    def __init__(self) -> None:
        self.due = asyncio.Event()
        self.waits = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        """Wait until a renewal is due."""
        del seconds
        self.waits.set()
        await self.due.wait()
        self.due.clear()

    async def renew(self) -> None:
        """Have the right renewed once."""
        await self.waits.wait()
        self.waits.clear()
        self.due.set()
        await self.waits.wait()


async def right_of(bench: Bench) -> bytes | None:
    """What is stored of the right to run."""
    value: bytes | None = await bench.store.redis.get(bench.store.keys.named(RIGHT))
    return value


async def test_the_second_run_is_refused(open_bench: OpenBench) -> None:
    """It learns since when and where the first one runs; afterwards it may."""
    async with (
        open_bench(Twilio()) as bench,
        open_store(bench.settings, role="cli") as other,
    ):
        async with running_alone(bench.store.backfill, "twilio", now=NOW):
            with pytest.raises(AlreadyRunning, match=r"since 2026-11-27 18:00:00 UTC \(process"):
                async with running_alone(other.backfill, "twilio", now=NOW):
                    pytest.fail("two runs at once")
            async with running_alone(other.backfill, "zoom", now=NOW):
                pass
        async with running_alone(other.backfill, "twilio", now=NOW):
            assert await right_of(bench) is not None
        assert await right_of(bench) is None


async def test_the_right_is_renewed(open_bench: OpenBench) -> None:
    """It expires by itself, and is renewed as long as the run goes on."""
    renewals = Renewals()
    async with (
        open_bench(Twilio()) as bench,
        redis.asyncio.Redis.from_url(bench.settings.redis_dsn) as client,
    ):
        key = bench.store.keys.named(RIGHT)
        records = bench.store.backfill
        async with running_alone(records, "twilio", now=NOW, pause=renewals.pause):
            assert 0 < await client.pttl(key) <= 60_000
            await client.pexpire(key, 600_000)
            await renewals.renew()
            assert await client.pttl(key) <= 60_000


async def test_a_lost_right_ends_the_run(open_bench: OpenBench) -> None:
    """A run that could not renew its right in time makes room, and leaves the other's alone."""
    renewals = Renewals()
    async with open_bench(Twilio()) as bench, open_store(bench.settings, role="cli") as other:

        async def run() -> None:
            records = bench.store.backfill
            async with running_alone(records, "twilio", now=NOW, pause=renewals.pause):
                await bench.store.redis.delete(bench.store.keys.named(RIGHT))
                async with running_alone(other.backfill, "twilio", now=NOW):
                    renewals.due.set()
                    await asyncio.Event().wait()

        with pytest.raises(RightLost, match="another run has begun meanwhile"):
            await run()
        assert await right_of(bench) is None


async def test_a_cancelled_run_gives_its_right_back(open_bench: OpenBench) -> None:
    """As Ctrl-C ends it."""
    async with open_bench(Twilio()) as bench:
        began = asyncio.Event()

        async def run() -> None:
            async with running_alone(bench.store.backfill, "twilio", now=NOW):
                began.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(run())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await right_of(bench) is None
