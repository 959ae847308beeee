"""
The spool with real processes: a receiver that starts without Redis, is killed, and is stopped while
Redis hangs.
"""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.conftest import STANDARD_SECRET, TWILIO_TOKEN
from tests.doubles.redis import RedisServer
from tests.e2e.harness import System, twilio_forms, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def system(own_redis: RedisServer, tmp_path: Path) -> Iterator[System]:
    """A system of which only the receiver is started."""
    made = System(tmp_path, own_redis.url, TWILIO_TOKEN, STANDARD_SECRET)
    yield made
    made.stop()


def test_nothing_is_lost_by_kills_and_stops_without_redis(
    system: System, own_redis: RedisServer
) -> None:
    """
    A receiver starts without Redis and takes messages at once; after a kill -9 the next one moves
    them; a stop while Redis hangs answers every sender, with no traceback.
    """
    own_redis.kill()
    _start(system, status="degraded")
    assert {204} == set(_send(system, range(20)))
    system.kill("receiver")
    _start(system, status="degraded")
    # Sent again, since its answer might have been lost with the process.
    assert {204} == set(_send(system, range(10, 30)))
    own_redis.start()
    wait_for(partial(_holds, own_redis, 30), goal="the messages to be in Redis")
    assert own_redis.process is not None
    own_redis.process.send_signal(signal.SIGSTOP)
    spooled = system.log("receiver").count("message.spooled")
    with ThreadPoolExecutor(26) as senders:
        answers = [senders.submit(_send, system, [number]) for number in range(30, 56)]
        wait_for(
            lambda: system.log("receiver").count("message.spooled") > spooled,
            goal="the first message to be spooled",
        )
        system.kill("receiver", signal.SIGTERM)
        statuses = {status for answer in answers for status in answer.result()}
    own_redis.process.send_signal(signal.SIGCONT)
    assert {204} == statuses
    assert "Traceback" not in system.log("receiver")
    _start(system, status="ready")
    wait_for(partial(_holds, own_redis, 56), goal="the last messages to be in Redis")
    system.kill("receiver", signal.SIGTERM)
    assert [] == list((system.folder / "spool").iterdir())


def _start(system: System, *, status: str) -> None:
    system.start("receiver", "serve")
    wait_for(partial(_is, system, status), goal=f"a receiver that is {status}")


def _is(system: System, status: str) -> bool:
    try:
        return bool(system.http.get(f"{system.url}/readyz").json()["status"] == status)
    except (httpx.TransportError, KeyError):
        return False


def _send(system: System, numbers: "range | list[int]") -> list[int]:
    """The status of the answer to the first webhook of each call."""
    return [system.twilio(twilio_forms(number)[0]).status_code for number in numbers]


def _holds(redis: RedisServer, count: int) -> bool:
    with Redis.from_url(redis.url) as client:
        return int(client.zcard("bc:default:inbox")) == count
