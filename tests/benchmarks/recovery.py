"""
How soon a call goes on after its worker has died, and how little a restart of all workers is felt.
"""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from tests.benchmarks.fleet import answers, fleet, start_workers
from tests.benchmarks.latency import FREE, send_final
from tests.e2e.harness import System, wait_for
from tests.e2e.preloaded import PreloadedProcess

WORKERS: Final = 3
FIRST_CALL: Final = 9000
SLOW_S: Final = 6.0
STREAM_EVERY_S: Final = 0.1
MOST_RECOVERY_S: Final = 15.0
MOST_DELAY_S: Final = 5.0
MOST_STOP_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """
    Seconds: from `kill -9` in the middle of a PATCH to the next PATCH of that call; from final
    event to PATCH while every worker was restarted; from SIGTERM in the middle of a slow PATCH to
    the worker's end.
    """

    killed_s: tuple[float, ...]
    restarted_s: tuple[float, ...]
    stopped_s: tuple[float, ...]

    def faults(self) -> list[str]:
        """Which requirements were missed; empty if none was."""
        expected = (
            ("a killed worker's call went on after", self.killed_s, MOST_RECOVERY_S),
            ("a restart delayed a call by", self.restarted_s, MOST_DELAY_S),
            ("a worker took to stop", self.stopped_s, MOST_STOP_S),
        )
        return [
            f"{kind} {max(result):.1f} s, more than {most:g} s"
            for kind, result, most in expected
            if max(result) > most
        ]


def measure_recovery(*, kills: int) -> Recovery:
    """
    Kill so many workers in the middle of a PATCH, stop as many, and restart all of them under a
    stream of calls.
    """
    with fleet(FREE, mode="off", SETTLE_S="0") as system:
        system.start("receiver", "serve")
        wait_for(lambda: answers(system, f"{system.url}/healthz"), goal="the receiver")
        start_workers(system, WORKERS)
        killed = tuple(_interrupt(system, number, signal.SIGKILL)[0] for number in range(kills))
        stopped = tuple(
            _interrupt(system, kills + number, signal.SIGTERM)[1] for number in range(kills)
        )
        return Recovery(
            killed_s=killed, restarted_s=_restart_all(system, 2 * kills), stopped_s=stopped
        )


def _interrupt(system: System, number: int, how: signal.Signals) -> tuple[float, float]:
    """
    End the worker that is in the middle of a slow PATCH; seconds until the call's next PATCH (0 if
    none comes), and until its end.
    """
    call = str(FIRST_CALL + number)
    system.fault(kind="slow", seconds=SLOW_S, times=1, match=f"calls/{call}")
    before = {name: system.log(name) for name in _workers(system)}
    send_final(system, f"interrupted-{number}", call)
    wait_for(lambda: bool(_arrivals(system, call)), goal="the slow PATCH")
    (name,) = (
        item for item in before if f"interrupted-{number}" in system.log(item)[len(before[item]) :]
    )
    at = time.time()
    started = time.monotonic()
    system.kill(name, how)
    took = time.monotonic() - started
    times = system.log(name).count('"worker.started"')
    system.start_worker(name)
    if how is signal.SIGKILL:
        wait_for(
            lambda: len(_arrivals(system, call)) > 1, goal="the PATCH after the kill", timeout_s=60
        )
    system.wait_for_worker(name, times=times + 1)
    later = _arrivals(system, call)[1:]
    return (later[0] - at if later else 0.0), took


def _restart_all(system: System, first: int) -> tuple[float, ...]:
    """
    Restart one worker after the other while a call ends every tenth of a second; seconds from final
    event to PATCH.
    """
    sent: dict[str, float] = {}

    def stream(is_over: Callable[[], bool]) -> None:
        while not is_over():
            call = str(FIRST_CALL + first + len(sent))
            sent[call] = time.time()
            send_final(system, f"streamed-{call}", call)
            time.sleep(STREAM_EVERY_S)

    for name in _workers(system):
        times = system.log(name).count('"worker.started"')
        process = system.parts.pop(name)
        process.send_signal(signal.SIGTERM)
        stream(partial(_has_ended, process))
        system.start_worker(name)
        stream(partial(_has_started, system, name, times + 1))
    wait_for(
        lambda: all(_arrivals(system, call) for call in sent), goal="the PATCHes of the stream"
    )
    return tuple(_arrivals(system, call)[0] - at for call, at in sent.items())


def _has_ended(process: subprocess.Popen[bytes] | PreloadedProcess) -> bool:
    return process.poll() is not None


def _has_started(system: System, name: str, times: int) -> bool:
    return system.log(name).count('"worker.started"') >= times


def _workers(system: System) -> list[str]:
    return sorted(name for name in system.parts if name.startswith("worker"))


def _arrivals(system: System, call: str) -> list[float]:
    result = [patch for patch in system.patches() if str(patch["path"]).endswith(f"/{call}")]
    return [datetime.fromisoformat(str(item["at"])).timestamp() for item in result]
