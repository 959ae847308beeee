"""
A call whose end never came asks for itself, before it counts as ended, unknown how.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from service.cancelling import cancel_and_wait
from service.clock import utc_now
from service.store.delivery_state import DeliveryState
from tests.doubles.vendors.plivo import AUTH_ID
from tests.doubles.vendors.serving import Fault
from tests.doubles.vendors.twilio import Twilio
from tests.doubles.waiting import until
from tests.workers.backfill.conftest import OpenBench
from tests.workers.backfill.harness import Bench
from workers.backfill import LOGS
from workers.backfill.asking import CALLS_PER_TURN, EndAsker, askable_sources
from workers.backfill.plivo import Plivo
from workers.backfill.types import KnownCall, LoggedCall
from workers.maintenance.periodic import run_every
from workers.maintenance.redis_watch import RedisWatch

pytestmark = pytest.mark.anyio
SID = f"CA{1:032x}"
REF = f"twilio:{SID}"
RINGING = {
    "CallSid": SID,
    "CallStatus": "ringing",
    "Direction": "outbound-api",
    "From": "+15005550006",
    "To": "+15005550001",
}
LONG: Final = 2 * 24 * 60


def at(minutes: float) -> datetime:
    """
    So many minutes after the call began to ring, which is now: Redis says when a message came.
    """
    return utc_now() + timedelta(minutes=minutes)


async def run(bench: Bench) -> DeliveryState:
    """The state of the call after a worker's run."""
    return (await bench.run(REF)).state


def asker(bench: Bench) -> EndAsker:
    """The worker's part."""
    return EndAsker(
        settings=bench.settings,
        store=bench.store,
        clock=bench.clock,
        sources=askable_sources(bench.settings, LOGS),
    )


class HangingLog(Plivo):
    """Its vendor never answers, however long it is given."""

    def __init__(self, is_asked: asyncio.Event) -> None:
        self.is_asked: Final = is_asked

    async def read_call(self, call_ids: KnownCall) -> LoggedCall | None:
        """Wait."""
        self.is_asked.set()
        await asyncio.Event().wait()
        return None

    async def close(self) -> None:
        """Close nothing."""


async def _overdue_of_plivo(bench: Bench) -> str:
    """A call of Plivo that rang, and has no end; gives its name."""
    fields = {
        "CallUUID": "00000000-0000-4000-8000-000000000001",
        "Event": "Ring",
        "CallStatus": "ringing",
        "Direction": "outbound",
        "From": "15005550006",
        "To": "15005550001",
    }
    return await replace(bench, slug="plivo").form(fields)


async def _wait_for_busy(bench: Bench, ref: str) -> None:
    """Wait until the end of a call has been read."""

    async def is_busy() -> bool:
        return await bench.result(ref) == "busy"

    await until(is_busy, goal=f"the end of {ref}")


@asynccontextmanager
async def overdue(open_bench: OpenBench, twilio: Twilio, **values: str) -> AsyncIterator[Bench]:
    """An account with one call that rang and is overdue by now."""
    async with open_bench(twilio, **values) as bench:
        bench.now = at(0)
        await bench.form(RINGING)
        bench.now = at(6)
        assert DeliveryState.STALLED is await run(bench)
        yield bench


async def test_an_overdue_call_is_asked_for(open_bench: OpenBench) -> None:
    """Its end is read and fed in, in the lane of fresh calls; then it is asked for no more."""
    twilio = Twilio()
    twilio.add(SID, "no-answer", began_at=at(0), ended_at=at(1))
    async with overdue(open_bench, twilio) as bench:
        await asker(bench).ask_due("twilio")
        assert (await bench.store.calls.load(REF)).stored.replay_request is None
        assert "no_answer" == await bench.result(REF)
        assert [] == await bench.store.backfill.due_ends("twilio", at=at(LONG), limit=9)


async def test_it_is_asked_for_a_few_times(open_bench: OpenBench) -> None:
    """Where the log has no end, with growing pauses, and then never again."""
    twilio = Twilio()
    twilio.add(SID, "ringing", began_at=at(0))
    async with overdue(open_bench, twilio) as bench:
        asked_at = []
        for _ in range(12 * 24):
            before = len(twilio.received)
            await asker(bench).ask_due("twilio")
            if len(twilio.received) > before:
                asked_at.append(bench.now)
            bench.now += timedelta(minutes=5)
        pauses = [later - earlier for earlier, later in pairwise(asked_at)]
        assert [timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6)] == pauses
        await run(bench)
        assert [] == await bench.store.backfill.due_ends("twilio", at=bench.now, limit=9)


async def test_unknown_end_waits_for_the_answer(open_bench: OpenBench, tmp_path: Path) -> None:
    """
    It counts once the vendor has answered without an end, or ten minutes later where it never did.
    """
    config = tmp_path / "buildr-calls.toml"
    config.write_text(
        '[[unknown_end]]\nafter_minutes = 3\n\n[outcomes]\nunknown_end = "No Answer"\n'
    )
    twilio = Twilio()
    twilio.add(SID, "ringing", began_at=at(0))
    async with open_bench(twilio, CONFIG_FILE=str(config)) as bench:
        bench.now = at(0)
        await bench.form(RINGING)
        bench.now = at(4)
        assert DeliveryState.OPEN is await run(bench)
        twilio.faults.append(Fault(match="Calls", status=503))
        waiting = asker(bench)
        await waiting.ask_due("twilio")
        assert DeliveryState.OPEN is await run(bench)
        bench.now = at(7)
        await waiting.ask_due("twilio")
        await run(bench)
        assert "unknown_end" == (await bench.record(REF)).result


@pytest.mark.parametrize("name", ["TWILIO_ACCOUNT_SID", "ASK_FOR_ENDS"])
async def test_it_can_be_off(open_bench: OpenBench, name: str) -> None:
    """Without credentials, and by a setting: nothing is put on the list, and nobody is asked."""
    value = {"ASK_FOR_ENDS": "false"}.get(name, "")
    twilio = Twilio()
    async with overdue(open_bench, twilio, **{name: value}) as bench:
        await asker(bench).ask_due("twilio")
        assert [] == twilio.received
        assert [] == await bench.store.backfill.due_ends("twilio", at=at(LONG), limit=9)


async def test_a_fault_leaves_the_source_alone_for_a_while(open_bench: OpenBench) -> None:
    """A 429 as long as it states; the call keeps its place, and nothing counts as asked."""
    twilio = Twilio()
    twilio.add(SID, "busy", began_at=at(0), ended_at=at(1))
    twilio.faults.append(Fault(match="Calls", status=429, headers={"retry-after": "600"}))
    async with overdue(open_bench, twilio) as bench:
        one = asker(bench)
        await one.ask_due("twilio")
        bench.now += timedelta(minutes=9)
        await one.ask_due("twilio")
        assert 1 == len(twilio.received)
        bench.now += timedelta(minutes=2)
        await one.ask_due("twilio")
        assert "busy" == await bench.result(REF)


async def test_a_call_that_is_refused_is_in_no_ones_way(open_bench: OpenBench) -> None:
    """It counts as asked for, and the next one is asked for in the same turn."""
    twilio = Twilio()
    other = f"CA{2:032x}"
    twilio.add(other, "busy", began_at=at(0), ended_at=at(1))
    twilio.faults.append(Fault(match=f"Calls/{SID}", status=400))
    async with overdue(open_bench, twilio) as bench:
        await bench.form({**RINGING, "CallSid": other})
        bench.now = at(12)
        await bench.run(f"twilio:{other}")
        await asker(bench).ask_due("twilio")
        assert "busy" == await bench.result(f"twilio:{other}")
        assert 1 == await bench.store.backfill.times_asked(REF)


@pytest.mark.parametrize("is_damaged", [True, False])
async def test_a_call_that_breaks_the_turn_is_in_no_ones_way(
    open_bench: OpenBench, *, is_damaged: bool
) -> None:
    """Neither one whose record is damaged, nor one for which the vendor always gives a 500."""
    twilio = Twilio()
    other = f"CA{2:032x}"
    twilio.add(other, "busy", began_at=at(0), ended_at=at(1))
    twilio.faults.append(Fault(match=f"Calls/{SID}", status=500, times=9))
    async with overdue(open_bench, twilio) as bench:
        if is_damaged:
            await bench.store.redis.hset(bench.store.keys.call(REF), "rec", "damaged")
        await bench.form({**RINGING, "CallSid": other})
        bench.now = at(12)
        await bench.run(f"twilio:{other}")
        one = asker(bench)
        with capture_logs():
            await one.ask_due("twilio")
            bench.now += timedelta(minutes=2)
            await one.ask_due("twilio")
        assert "busy" == await bench.result(f"twilio:{other}")
        assert int(is_damaged) == await bench.store.backfill.times_asked(REF)


async def test_a_turn_asks_for_some_of_many_calls(open_bench: OpenBench) -> None:
    """So that the next source's lock, and the end of the worker, are not far away."""
    twilio = Twilio()
    async with overdue(open_bench, twilio) as bench:
        for number in range(2 * CALLS_PER_TURN):
            sid = f"CA{number + 2:032x}"
            await bench.form({**RINGING, "CallSid": sid})
            await bench.store.backfill.want_end(f"twilio:{sid}", at=bench.now)
        await asker(bench).ask_due("twilio")
        assert CALLS_PER_TURN == len(twilio.received)


async def test_one_worker_asks_at_a_time(open_bench: OpenBench) -> None:
    """For a source: two would ask for the same calls."""
    twilio = Twilio()
    twilio.add(SID, "busy", began_at=at(0), ended_at=at(1))
    async with overdue(open_bench, twilio) as bench:
        assert await bench.store.backfill.lock("twilio", ttl_s=60)
        await asker(bench).ask_due("twilio")
        assert [] == twilio.received
        await bench.store.backfill.unlock("twilio")
        await asker(bench).ask_due("twilio")
        assert "busy" == await bench.result(REF)


async def test_what_is_planned_keeps_its_time(open_bench: OpenBench) -> None:
    """Each job of an overdue call plans for it; what was taken off the list does not come back."""
    async with overdue(open_bench, Twilio()) as bench:
        backfill = bench.store.backfill
        await backfill.want_end("zoom:1", at=at(1))
        await backfill.want_end("zoom:1", at=at(5))
        await backfill.postpone_end("zoom:2", at=at(1))
        assert ["zoom:1"] == await backfill.due_ends("zoom", at=at(2), limit=9)
        await backfill.postpone_end("zoom:1", at=at(5))
        assert [] == await backfill.due_ends("zoom", at=at(2), limit=9)


async def test_a_source_that_is_off_leaves_no_list(open_bench: OpenBench) -> None:
    """Nobody reads it, so that it has to end by itself."""
    async with overdue(open_bench, Twilio()) as bench:
        await bench.store.backfill.want_end("zoom:1", at=bench.now)
        assert 0 < await bench.store.pool.pttl(bench.store.keys.named("ask:zoom"))


async def test_a_vendor_that_hangs_delays_no_calls_of_another(open_bench: OpenBench) -> None:
    """
    While one vendor does not answer, with a thousand calls that are overdue for longer, the turns
    of the other go on.
    """
    is_asked = asyncio.Event()
    twilio = Twilio()
    second = f"CA{2:032x}"
    for sid in (SID, second):
        twilio.add(sid, "busy", began_at=at(0), ended_at=at(1))
    values = {
        "PLIVO_AUTH_TOKEN": "FAKE0000000000000000000000000000",
        "PLIVO_AUTH_ID": AUTH_ID,
    }
    async with overdue(open_bench, twilio, **values) as bench:
        ref = await _overdue_of_plivo(bench)
        others = {f"plivo:{number}": 1.0 for number in range(1000)}
        await bench.store.redis.zadd(bench.store.keys.named("ask:plivo"), {ref: 0.0, **others})
        hanging = structs.replace(LOGS["plivo"], open=lambda _: HangingLog(is_asked))
        sources = askable_sources(bench.settings, {**LOGS, "plivo": hanging})
        assert ["plivo", "twilio"] == sorted(sources)
        one = structs.replace(asker(bench), sources=sources)
        tasks = [
            asyncio.create_task(run_every(0, turn, watch=RedisWatch())) for turn in one.turns()
        ]
        try:
            await is_asked.wait()
            await _wait_for_busy(bench, REF)
            # The next turn comes too.
            await bench.form({**RINGING, "CallSid": second})
            await bench.store.backfill.want_end(f"twilio:{second}", at=bench.now)
            await _wait_for_busy(bench, f"twilio:{second}")
        finally:
            await cancel_and_wait(set(tasks))
