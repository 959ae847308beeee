"""
A Redis, a sandbox and workers for one measurement, all of them new, and ended with it whatever
happens.
"""

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from redis import Redis

from tests.benchmarks.theory import Limit
from tests.benchmarks.workload import Case
from tests.conftest import STANDARD_SECRET, TWILIO_TOKEN
from tests.doubles.redis import RedisServer
from tests.e2e.harness import System, wait_for

POLL_S: Final = 0.5
BLOCKED: Final = "bc:default:blocked"
LANE: Final = "bc:default:lane:final"


@contextmanager
def fleet(
    limit: Limit, *, mode: str, budgets: str | None = None, **settings: str
) -> Iterator[System]:
    """
    Redis (`appendfsync always`) and the sandbox, holding the limit in this reading; nothing else
    runs yet.

    The workers keep to `budgets`, which is the sandbox's limit unless given.
    """
    folder = Path(tempfile.mkdtemp(prefix="bc-bench-"))
    server = RedisServer(folder)
    arguments = (
        "--auto-create",
        "--limit-mode",
        mode,
        "--requests",
        str(limit.requests),
        "--window",
        f"{limit.window_s:g}",
    )
    extra = {"BUILDR_BUDGETS": budgets or str(limit), "LOG_LEVEL": "info", **settings}
    system = System(folder, server.url, TWILIO_TOKEN, STANDARD_SECRET, extra, arguments)
    try:
        server.start(appendfsync="always")
        system.start(
            "sandbox",
            "sandbox",
            "--port",
            str(system.sandbox_port),
            *arguments,
            LOG_LEVEL="warning",
        )
        wait_for(
            lambda: answers(system, f"{system.sandbox_url}/_sandbox/state"), goal="the sandbox"
        )
        yield system
    finally:
        try:
            system.stop()
        finally:
            server.kill()
            shutil.rmtree(folder, ignore_errors=True)


def answers(system: System, url: str) -> bool:
    """Whether something answers 200 there."""
    return system._answers(url)


def start_workers(system: System, count: int) -> None:
    """Start so many workers at once and wait until each says that it has started."""
    names = [f"worker{number}" for number in range(count)]
    for name in names:
        system.start_worker(name)
    for name in names:
        system.wait_for_worker(name, times=1)


@contextmanager
def block(system: System) -> Iterator[Callable[[], None]]:
    """Let no request go, as after a 429; what it gives ends that a second later."""
    with Redis.from_url(system.redis_url) as client:

        def until(seconds: float) -> None:
            client.set(BLOCKED, int((time.time() + seconds) * 1000), ex=3600)

        until(3600)
        yield lambda: until(1)


def waiting_calls(system: System) -> int:
    """How many calls stand in the lane of final results."""
    with Redis.from_url(system.redis_url) as client:
        return cast("int", client.zcard(LANE))


def read_names(system: System) -> None:
    """
    Let a worker read the account's outcome names, as one has before in any fleet that is in use,
    and end it.
    """
    system.start_worker("names")
    system.wait_for_worker("names")
    system.kill("names", signal.SIGTERM)


def state(system: System) -> dict[str, Any]:
    """The sandbox's counts."""
    result: dict[str, Any] = system.http.get(f"{system.sandbox_url}/_sandbox/state").json()
    return result


def forget_requests(system: System) -> None:
    """Begin the sandbox's counts anew."""
    system.http.delete(f"{system.sandbox_url}/_sandbox/requests").raise_for_status()


def patches_sent(system: System) -> int:
    """PATCH requests that the sandbox has received, refused ones included."""
    return int(state(system)["by_method"].get("PATCH", 0))


def right_calls(system: System, cases: Sequence[Case]) -> int:
    """How many of the calls hold the right outcome in the sandbox."""
    right = 0
    for case in cases:
        answer = system.http.get(f"{system.sandbox_url}/_sandbox/calls/{case.buildr_call_id}")
        outcome = answer.json()["call"]["call_outcome"] if answer.is_success else None
        right += outcome is not None and outcome["id"] == case.outcome_id
    return right


def watch(is_over: Callable[[], bool], *, limit_s: float) -> bool:
    """Look every half second until it is over; False if it was not in time."""
    deadline = time.monotonic() + limit_s
    while not is_over():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
