"""
A week of simulated calls, for the pictures of the docs.
"""

from datetime import UTC, datetime
from typing import Final

from service.store.source_activity import LAST_AT_KEY
from tests.doubles.clock import Skew
from tests.fundamentals.system import System, message

HOUR_S: Final = 3600
DAY_H: Final = 24
WEEK_H: Final = 7 * DAY_H
# Messages in an hour of a working day, by the hour of the day (UTC).
BY_HOUR: Final = {14: 40, 15: 80, 16: 95, 17: 70, 18: 30, 19: 60, 20: 85, 21: 50, 22: 12}
SATURDAY: Final = 5
AGENTS: Final = ("Ana Lopez", "Ben Ito", "Cleo Marsh", "Dev Patel")
# How calls end, one after the other: the hangup cause, and seconds of talk if somebody answered.
ENDS: Final = (
    ("completed", 37),
    ("no_answer", 0),
    ("completed", 212),
    ("busy", 0),
    ("completed", 9),
    ("completed", 95),
)
CALLS: Final = 36


async def seed_week(system: System) -> None:
    """Calls of several agents, most written to Buildr, some unmatched."""
    for number in range(CALLS):
        call_id = f"call-{number + 20}"
        cause, talk_s = ENDS[number % len(ENDS)]
        fields: dict[str, object] = {
            "call_id": call_id,
            "agent": AGENTS[number % len(AGENTS)],
            "to": f"+1500555{number + 1100}",
        }
        if number % 5:
            fields["buildr_call_id"] = "111"
        await system.receive(message("ringing", 0, **fields))
        if talk_s:
            await system.receive(message("answered", 9, **fields))
            fields["duration_s"] = talk_s
        await system.receive(message("ended", 9 + talk_s, hangup_cause=cause, **fields))
        await system.run_worker(f"standard:{call_id}")
    await _count_messages(system)
    # The tests' clock ran ahead of Redis's.
    assert isinstance(system.store.scripts.skew_ms, Skew)
    system.store.scripts.skew_ms.ms = 0
    client = system.store.redis
    await client.delete("bc:default:clock")
    now_ms = int(datetime.now(UTC).timestamp() * 1000) - 15_000
    await client.hset(f"bc:default:{LAST_AT_KEY}", "message:standard", now_ms)


async def show_worker(system: System) -> None:
    """A worker that runs, for the next seconds."""
    await system.store.workers.beat("worker-1", map_digest="")


async def _count_messages(system: System) -> None:
    client = system.store.redis
    now_h = int(datetime.now(UTC).timestamp()) // HOUR_S
    for hour in range(now_h - WEEK_H, now_h):
        at = datetime.fromtimestamp(hour * HOUR_S, UTC)
        count = BY_HOUR.get(at.hour, 1)
        # The newest day is in full, whatever day the picture is taken on.
        if at.weekday() >= SATURDAY and hour < now_h - DAY_H:
            count //= 10
        await client.hset("bc:default:hours:standard", str(hour), count)
