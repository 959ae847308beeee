"""
A Vonage call without its end asks for itself, by the legs that its webhooks have named.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from service.clock import utc_now
from service.store.delivery_state import DeliveryState
from tests.doubles.vendors.vonage import Vonage
from tests.workers.backfill.conftest import OpenBench
from tests.workers.backfill.harness import Bench
from workers.backfill import LOGS
from workers.backfill.asking import EndAsker, askable_sources

pytestmark = pytest.mark.anyio
CONVERSATION = "CON-00000000-0000-4000-8000-000000000001"
REF = f"vonage:{CONVERSATION}"
LEG = "00000000-0000-4000-8000-00000000000a"
AGENT_LEG = "00000000-0000-4000-8000-00000000000b"


def at(minutes: float) -> datetime:
    """So many minutes after the call began to ring, which is now: Redis says when it came."""
    return (utc_now() + timedelta(minutes=minutes)).replace(microsecond=0)


async def report(bench: Bench, leg_id: str, direction: str) -> None:
    """A webhook of a leg that rings."""
    fields = {
        "conversation_uuid": CONVERSATION,
        "uuid": leg_id,
        "status": "ringing",
        "direction": direction,
        "from": "15005550006",
        "to": "15005550001",
        "timestamp": f"{utc_now():%Y-%m-%dT%H:%M:%S.000Z}",
    }
    await bench.webhook(json.dumps(fields).encode(), "application/json")


@asynccontextmanager
async def asked(open_bench: OpenBench, vonage: Vonage, **legs: str) -> AsyncIterator[Bench]:
    """An account whose call rang, became overdue, and was asked for; `legs` by their direction."""
    async with open_bench(vonage, SETTLE_S="0") as bench:
        bench.now = at(0)
        for direction, leg_id in legs.items():
            await report(bench, leg_id, direction)
        bench.now = at(6)
        assert DeliveryState.STALLED is (await bench.run(REF)).state
        asker = EndAsker(
            settings=bench.settings,
            store=bench.store,
            clock=bench.clock,
            sources=askable_sources(bench.settings, LOGS),
        )
        await asker.ask_due("vonage")
        yield bench


@pytest.mark.parametrize(
    ("status", "duration_s", "result"),
    [("completed", 40, "connected"), ("busy", 0, "busy"), ("timeout", 0, "no_answer")],
)
async def test_the_end_of_a_known_call_is_read(
    open_bench: OpenBench, status: str, duration_s: int, result: str
) -> None:
    """It is what the lost webhook would have reported, under the same call."""
    vonage = Vonage()
    vonage.add(LEG, status, began_at=at(0), ended_at=at(1), duration_s=duration_s)
    async with asked(open_bench, vonage, outbound=LEG) as bench:
        assert result == await bench.result(REF)


@pytest.mark.parametrize(
    ("legs", "result"),
    [({"inbound": LEG}, None), ({"inbound": LEG, "outbound": AGENT_LEG}, "connected")],
)
async def test_a_callers_end_needs_the_agents_leg(
    open_bench: OpenBench, legs: dict[str, str], result: str | None
) -> None:
    """A caller who was answered stays open if no leg of an agent is known."""
    vonage = Vonage()
    vonage.add(LEG, "completed", began_at=at(0), ended_at=at(2), duration_s=90, direction="inbound")
    vonage.add(AGENT_LEG, "completed", began_at=at(0), ended_at=at(2), duration_s=60)
    async with asked(open_bench, vonage, **legs) as bench:
        assert result == await bench.result(REF)


@pytest.mark.parametrize("status", ["answered", "teleported", None])
async def test_what_is_not_over_stays_open(open_bench: OpenBench, status: str | None) -> None:
    """A leg that goes on, a status that is not known, a leg without a record."""
    vonage = Vonage()
    if status is not None:
        vonage.add(LEG, status, began_at=at(0), ended_at=at(1))
    async with asked(open_bench, vonage, outbound=LEG) as bench:
        assert await bench.result(REF) is None
        assert 1 == len(vonage.received)
