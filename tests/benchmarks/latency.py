"""
How soon a PATCH follows the final event of a call while the budget is free.
"""

import random
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tests.benchmarks.fleet import (
    answers,
    fleet,
    forget_requests,
    patches_sent,
    start_workers,
)
from tests.benchmarks.theory import Limit, percentile
from tests.benchmarks.workload import FIRST_BUILDR_CALL
from tests.e2e.harness import System, wait_for

WARM_UP: Final = 10
MOST_P95_MS: Final = 100.0
FREE: Final = Limit(requests=100_000, window_s=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds from a final event's request to the arrival of its PATCH."""

    workers: int
    took_ms: tuple[float, ...]

    def at(self, percent: float) -> float:
        """A percentile."""
        return percentile(self.took_ms, percent)

    def faults(self) -> list[str]:
        """Which requirements were missed; empty if none was."""
        return (
            []
            if self.at(95) <= MOST_P95_MS
            else [f"p95 is {self.at(95):.0f} ms, more than {MOST_P95_MS:g} ms"]
        )


def measure_latency(*, calls: int, workers: int) -> Latency:
    """
    Send final events to the real receiver one after the other, with pauses of chance between them.

    Nothing is asked of the sandbox meanwhile; its own times are read at the end.
    """
    rng = random.Random(3)
    with fleet(FREE, mode="off", SETTLE_S="0") as system:
        system.start("receiver", "serve")
        wait_for(lambda: answers(system, f"{system.url}/healthz"), goal="the receiver")
        start_workers(system, workers)
        for number in range(WARM_UP):
            _send(system, number)
            time.sleep(0.1)
        wait_for(lambda: patches_sent(system) >= WARM_UP, goal="the first PATCHes")
        forget_requests(system)
        sent_at: dict[str, float] = {}
        for number in range(WARM_UP, WARM_UP + calls):
            sent_at[_buildr_call(number)] = time.time()
            _send(system, number)
            time.sleep(rng.uniform(0.06, 0.16))
        wait_for(lambda: patches_sent(system) >= calls, goal="the last PATCHes")
        arrived = {
            str(patch["path"]).rpartition("/")[2]: datetime.fromisoformat(str(patch["at"]))
            for patch in reversed(system.patches())
        }
        return Latency(
            workers=workers,
            took_ms=tuple(1000 * (arrived[call].timestamp() - at) for call, at in sent_at.items()),
        )


def send_final(system: System, call_id: str, buildr_call_id: str) -> None:
    """Send the one event of a call that was not answered."""
    body: dict[str, object] = {
        "version": "1",
        "type": "call.ended",
        "call_id": call_id,
        "direction": "outbound",
        "hangup_cause": "no_answer",
        "buildr_call_id": buildr_call_id,
    }
    system.standard(body, message_id=call_id).raise_for_status()


def _send(system: System, number: int) -> None:
    send_final(system, f"quick-{number}", _buildr_call(number))


def _buildr_call(number: int) -> str:
    return str(FIRST_BUILDR_CALL + number)
