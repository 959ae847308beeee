"""
What breaks in real life: Redis killed, hung or full, workers stopped or stalled, Buildr answering
429, 5xx or nothing.
"""

import signal
import threading
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from redis import Redis

from service.store.calls import read_record
from service.store.delivery_state import DeliveryState
from tests.conftest import STANDARD_SECRET, TWILIO_TOKEN
from tests.doubles.redis import RedisServer
from tests.e2e.harness import System, call_sid, free_port, twilio_forms, wait_for

pytestmark = pytest.mark.slow
DAY_S = 86_400


@pytest.fixture
def system(own_redis: RedisServer, tmp_path: Path) -> Iterator[System]:
    """A system whose sandbox takes any call id and whose budget is wide."""
    made = System(
        folder=tmp_path,
        redis_url=own_redis.url,
        twilio_token=TWILIO_TOKEN,
        standard_secret=STANDARD_SECRET,
        extra={"BUILDR_BUDGETS": "1000/1s", "SETTLE_S": "0", "BUILDR_TIMEOUT_S": "4"},
        sandbox_args=("--auto-create", "--limit-mode", "off"),
    )
    yield made
    made.stop()


def test_redis_killed_while_webhooks_come_in_keeps_every_message_that_was_answered_2xx(
    system: System, own_redis: RedisServer
) -> None:
    """
    Every message is taken, also after a kill -9 of Redis, and is delivered once Redis is back.
    """
    system.start_all()
    accepted: set[str] = set()
    killer = threading.Timer(0.3, own_redis.kill)
    killer.start()
    for number in range(200):
        answer = system.twilio(twilio_forms(number)[-1], query=f"buildr_call_id={9000 + number}")
        assert 204 == answer.status_code
        accepted.add(str(9000 + number))
    killer.join()
    own_redis.start(appendfsync="always")
    wait_for(
        lambda: system.http.get(f"{system.url}/readyz").json()["status"] == "ready",
        goal="the receiver to be ready again",
    )
    wait_for(partial(_are_patched, system, accepted), goal="every accepted call", timeout_s=60)


def _are_patched(system: System, calls: set[str]) -> bool:
    """
    Whether all of the calls have been written; a worker that has ended is started again, as a
    supervisor would.
    """
    worker = system.parts["worker0"].poll()
    if worker is not None:
        assert 0 != worker
        system.start_worker("worker0")
    return calls <= {str(patch["path"]).rpartition("/")[2] for patch in system.patches()}


def test_message_is_taken_while_redis_hangs(system: System, own_redis: RedisServer) -> None:
    """
    While Redis hangs the receiver takes messages and says that it is degraded; they are delivered
    once Redis goes on.
    """
    system.start_all()
    assert own_redis.process is not None
    own_redis.process.send_signal(signal.SIGSTOP)
    answer = system.twilio(twilio_forms(1)[-1], query="buildr_call_id=1")
    ready = system.http.get(f"{system.url}/readyz")
    own_redis.process.send_signal(signal.SIGCONT)
    assert (204, 200) == (answer.status_code, ready.status_code)
    assert ("degraded", 1) == (ready.json()["status"], ready.json()["spool"]["messages"])
    wait_for(lambda: _delivered(system, 1), goal="the call to be delivered")


def test_full_redis_spools_what_is_new_and_delivers_what_is_there(
    system: System, own_redis: RedisServer
) -> None:
    """
    With a Redis without room messages are spooled, while the worker delivers what is there, reports
    that Redis is full, and goes on with the rest once there is room.
    """
    system.start_all(workers=0)
    assert system.takes(twilio_forms(1)[-1], "buildr_call_id=1")
    with Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", "1")
        assert system.takes(twilio_forms(2)[-1], "buildr_call_id=2")
        assert "Redis is full" == system.http.get(f"{system.url}/readyz").json()["reason"]
        system.start_worker("worker0")
        wait_for(lambda: _outcome(system, "1") == "786", goal="the PATCH")
        wait_for(lambda: _delivered(system, 1), goal="the record of the delivery")
        client.config_set("maxmemory", "0")
    wait_for(lambda: _outcome(system, "2") == "786", goal="the PATCH of what was spooled")
    wait_for(lambda: '"worker.redis_back"' in system.log("worker0"), goal="the end of the trouble")
    log = system.log("worker0")
    assert '"reason":"full"' in log
    assert "Traceback" not in log


def test_worker_killed_in_the_middle_of_a_patch(system: System) -> None:
    """
    A PATCH whose worker died in the middle is sent again by the next worker, and the call ends
    right.
    """
    system.start_all()
    system.fault(kind="slow", times=1, seconds=3, match="calls/110")
    system.twilio(twilio_forms(1)[-1], query="buildr_call_id=110")
    wait_for(lambda: _has_permit(system), goal="the worker to hold a permit")
    system.kill("worker0")
    system.start_worker("worker1")
    wait_for(lambda: _delivered(system, 1), goal="the call to be delivered", timeout_s=60)
    assert "786" == _outcome(system, "110")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_another_worker_takes_over_long_before_arq_would(
    system: System, how: signal.Signals
) -> None:
    """
    The call of a worker that is killed, or is still, goes on at another one once its request
    cannot arrive any more.

    arq alone would wait 25 seconds here. A worker that goes on after having stood still writes
    nothing a second time.
    """
    system.start_all(workers=2)
    system.fault(kind="slow", times=1, seconds=60, match="calls/110")
    system.twilio(twilio_forms(1)[-1], query="buildr_call_id=110")
    wait_for(lambda: bool(system.patches()), goal="the PATCH")
    wait_for(lambda: _has_permit(system), goal="the permit")
    (name,) = (name for name in ("worker0", "worker1") if call_sid(1) in system.log(name))
    system.parts[name].send_signal(how)
    wait_for(
        lambda: _delivered(system, 1),
        goal="the call to be delivered by the other worker",
        timeout_s=20,
    )
    system.parts[name].send_signal(signal.SIGCONT)
    assert "786" == _outcome(system, "110")
    assert 2 == len(system.patches())
    first, second = (datetime.fromisoformat(str(patch["at"])) for patch in system.patches())
    assert (second - first).total_seconds() > 4


def test_account_whose_buildr_hangs_holds_up_no_other(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    """
    While every request of one account runs into its timeout, another account's calls are written at
    once, by the same worker.
    """
    made = System(
        folder=tmp_path,
        redis_url=own_redis.url,
        twilio_token=TWILIO_TOKEN,
        standard_secret=STANDARD_SECRET,
        extra={"BUILDR_BUDGETS": "1000/1s", "SETTLE_S": "0", "CONFIG": str(tmp_path / "two.toml")},
        sandbox_args=("--auto-create", "--limit-mode", "off"),
    )
    port = free_port()
    table = {
        "buildr_api_url": f"http://127.0.0.1:{port}/api/2023-01",
        "buildr_access_token": "sandbox-token",
        "twilio_auth_token": TWILIO_TOKEN,
        "settle_s": "0",
    }
    lines = "\n".join(f'{name} = "{value}"' for name, value in table.items())
    (tmp_path / "two.toml").write_text(
        f"[accounts.acme]\n{lines}\n[accounts.acme.outcomes]\nconnected = 786\n", encoding="utf-8"
    )
    try:
        made.start(
            "hanging", "sandbox", "--port", str(port), "--auto-create", "--limit-mode", "off"
        )
        hanging = f"http://127.0.0.1:{port}/_sandbox"
        wait_for(lambda: _is_up(made, f"{hanging}/state"), goal="the sandbox that hangs")
        made.http.post(
            f"{hanging}/faults", json={"kind": "timeout", "times": 1000, "seconds": 600}
        ).raise_for_status()
        made.start_all()
        for number in range(30):
            form = twilio_forms(number)[-1]
            query = f"buildr_call_id={100 + number}"
            assert 204 == made.twilio(form, query=query, account="acme").status_code
        wait_for(
            lambda: _count(made, f"{hanging}/state", "by_method", "PATCH") >= 3,
            goal="requests that hang",
        )
        for number in range(20):
            made.twilio(twilio_forms(number)[-1], query=f"buildr_call_id={300 + number}")
        wait_for(lambda: len(made.patches()) == 20, goal="the other account's calls")
        assert 0 == _count(made, f"{hanging}/state", "by_status", "200")
        made.http.delete(f"{hanging}/faults").raise_for_status()
        wait_for(
            lambda: _count(made, f"{hanging}/state", "by_status", "200") >= 30,
            goal="the calls that hung",
            timeout_s=60,
        )
        assert 20 == len(made.patches())
    finally:
        made.stop()


def _count(system: System, url: str, kind: str, name: str) -> int:
    return int(system.http.get(url).json()[kind].get(name, 0))


def _is_up(system: System, url: str) -> bool:
    try:
        return system.http.get(url).is_success
    except httpx.TransportError:
        return False


def test_event_that_arrives_while_the_job_runs_is_delivered(system: System) -> None:
    """An event that comes while the call's PATCH is under way is written after it."""
    system.start_all()
    system.fault(kind="slow", times=1, seconds=1.5, match="calls/110")
    *_, last = twilio_forms(2)
    system.twilio(last, query="buildr_call_id=110")
    wait_for(lambda: _has_permit(system), goal="the first PATCH to be under way")
    amd = {**last, "AnsweredBy": "machine_end_beep", "CallbackSource": "amd"}
    del amd["SequenceNumber"]
    system.twilio(amd, query="buildr_call_id=110")
    wait_for(lambda: _outcome(system, "110") == "787", goal="the better result")


def test_job_older_than_a_day_still_runs(system: System, own_redis: RedisServer) -> None:
    """A call that waited longer than arq keeps a job's body is delivered all the same."""
    system.start_all(workers=0)
    system.twilio(twilio_forms(3)[-1], query="buildr_call_id=110")
    with Redis.from_url(own_redis.url) as client:
        ttl_ms = client.pttl(f"arq:job:default|twilio:{call_sid(3)}")
        assert isinstance(ttl_ms, int)
        assert ttl_ms > 1000 * DAY_S * 365
        client.delete(f"arq:job:default|twilio:{call_sid(3)}")
    system.start_worker("worker0")
    wait_for(lambda: _outcome(system, "110") == "786", goal="the PATCH")


def test_storm_of_429_costs_no_attempt(system: System) -> None:
    """Five 429 in a row delay the calls and cost none of their attempts, of which there are two."""
    system.extra = {**system.extra, "MAX_ATTEMPTS": "2"}
    system.start_all()
    system.fault(kind="rate_limit", times=5, seconds=0.2, match="calls/")
    for number in range(3):
        system.twilio(twilio_forms(number)[-1], query=f"buildr_call_id={300 + number}")
    for number in range(3):
        wait_for(
            partial(_is_connected, system, str(300 + number)), goal="the PATCH after the storm"
        )
    assert '"job.failed"' not in system.log("worker0")


def test_buildr_down_then_up(system: System) -> None:
    """Errors of the server and a connection cut off are tried again until Buildr answers."""
    system.start_all()
    system.fault(kind="status", times=2, status=503, match="calls/110")
    system.fault(kind="reset", times=1, match="calls/110")
    system.twilio(twilio_forms(4)[-1], query="buildr_call_id=110")
    wait_for(lambda: _outcome(system, "110") == "786", goal="the PATCH", timeout_s=60)


def test_buildr_away_when_the_worker_starts(system: System) -> None:
    """
    A worker that starts while Buildr is away goes on as soon as Buildr is there: it reads the
    outcomes and writes what waited.
    """
    system.start("receiver", "serve")
    system.start_worker("worker0")
    system.wait_for_worker("worker0")
    wait_for(lambda: '"service.started"' in system.log("receiver"), goal="the receiver")
    wait_for(
        lambda: '"buildr.outcomes_not_read"' in system.log("worker0"),
        goal="the worker to miss Buildr",
    )
    wait_for(
        partial(system.takes, twilio_forms(6)[-1], "buildr_call_id=110"),
        goal="the webhook to be taken",
    )
    system.start("sandbox", "sandbox", "--port", str(system.sandbox_port), *system.sandbox_args)
    wait_for(lambda: '"buildr.patched"' in system.log("worker0"), goal="the PATCH")


def test_revoked_token_is_replaced(system: System) -> None:
    """A token that Buildr takes no more is replaced by a new one, and the call is written."""
    system.start_all()
    system.fault(kind="revoke_token", times=1)
    system.twilio(twilio_forms(5)[-1], query="buildr_call_id=110")
    wait_for(lambda: _outcome(system, "110") == "786", goal="the PATCH with a new token")


def test_sigterm_under_load_leaves_nothing_in_progress(
    system: System, own_redis: RedisServer
) -> None:
    """
    A worker that is reported to stop finishes what it has begun: no job stays marked as running,
    and it exits with 0.
    """
    system.start_all()
    system.fault(kind="slow", times=50, seconds=0.3, match="calls/")
    for number in range(60):
        system.twilio(twilio_forms(number)[-1], query=f"buildr_call_id={400 + number}")
    assert 0 == system.kill("worker0", signal.SIGTERM)
    with Redis.from_url(own_redis.url) as client:
        assert [] == client.keys("arq:in-progress:*")
        assert [] == client.keys("bc:default:permit:*")
    system.start_worker("worker1")
    wait_for(lambda: len({patch["path"] for patch in system.patches()}) == 60, goal="the rest")


def test_two_workers_share_one_budget(own_redis: RedisServer, tmp_path: Path) -> None:
    """
    Two workers together stay within the budget of one account, and every call is written once.
    """
    made = System(
        folder=tmp_path,
        redis_url=own_redis.url,
        twilio_token=TWILIO_TOKEN,
        standard_secret=STANDARD_SECRET,
        extra={"BUILDR_BUDGETS": "20/1s", "SETTLE_S": "0"},
        sandbox_args=("--auto-create", "--requests", "20", "--window", "1"),
    )
    try:
        made.start_all(workers=2)
        for number in range(80):
            made.twilio(twilio_forms(number)[-1], query=f"buildr_call_id={600 + number}")
        wait_for(
            lambda: len({patch["path"] for patch in made.patches()}) == 80,
            goal="80 calls",
            timeout_s=60,
        )
        assert 80 == len(made.patches())
        assert not [patch for patch in made.patches() if patch["status"] == 429]
    finally:
        made.stop()


def test_workers_whose_clocks_differ_still_write_each_call_once(system: System) -> None:
    """
    One worker's clock is three seconds ahead, another's three behind: every call is written once,
    none twice, none is lost.
    """
    system.extra = {**system.extra, "SETTLE_S": "0.5"}
    system.start_all(workers=0)
    for name, skew_s in (("ahead", "3"), ("behind", "-3")):
        system.start_skewed_worker(name, skew_s)
        system.wait_for_worker(name)
    for number in range(30):
        for form in twilio_forms(number):
            system.twilio(form, query=f"buildr_call_id={700 + number}")
    wait_for(
        lambda: len({patch["path"] for patch in system.patches()}) == 30,
        goal="30 calls",
        timeout_s=60,
    )
    assert 30 == len(system.patches())
    assert '"worker.clock_off"' in system.log("ahead")


def _has_permit(system: System) -> bool:
    with Redis.from_url(system.redis_url) as client:
        return bool(client.keys("bc:default:permit:*"))


def _delivered(system: System, number: int) -> bool:
    with Redis.from_url(system.redis_url) as client:
        ref = f"twilio:{call_sid(number)}"
        stored = client.hget(f"bc:default:call:{ref}", "rec")
        return (
            isinstance(stored, bytes) and read_record(ref, stored).state is DeliveryState.DELIVERED
        )


def _is_connected(system: System, call_id: str) -> bool:
    return _outcome(system, call_id) == "786"


def _outcome(system: System, call_id: str) -> str | None:
    answer = system.http.get(f"{system.sandbox_url}/_sandbox/calls/{call_id}")
    if answer.status_code != 200:
        return None
    outcome = answer.json()["call"]["call_outcome"]
    if outcome is None:
        return None
    return str(outcome["id"])
