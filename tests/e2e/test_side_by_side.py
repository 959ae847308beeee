"""
The release before and this one work on the same calls, as they do while a deployment rolls.

`make rehearse` tries the same with every part, behind proxies and under traffic.
"""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from service.store.keys import Keys
from tests.conftest import STANDARD_SECRET, TWILIO_TOKEN
from tests.doubles.redis import RedisServer
from tests.e2e.harness import System, twilio_forms, wait_for
from tests.rehearsal.releases import NoRelease, extract_previous

pytestmark = pytest.mark.slow
INBOX = Keys().named("inbox")
# Without -P a process would find the code of its working directory first, which is that of now.
OF_PYTHONPATH = ("-P", "-m", "workers.cli.main")


@pytest.fixture(scope="module")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the release before, out of git; it runs with the packages of now."""
    folder = tmp_path_factory.mktemp("before")
    try:
        return extract_previous(folder).tree
    except NoRelease as err:
        pytest.skip(f"THE RELEASE BEFORE CANNOT BE HAD: no two versions are tried. {err}")


@pytest.fixture
def system(own_redis: RedisServer, tmp_path: Path) -> Iterator[System]:
    """A sandbox and a receiver of now; the workers are started by the test."""
    system = System(
        folder=tmp_path,
        redis_url=own_redis.url,
        twilio_token=TWILIO_TOKEN,
        standard_secret=STANDARD_SECRET,
    )
    yield system
    system.stop()


def _begin(system: System, number: int) -> None:
    """A call that is being talked on; what was sent so far is in its record."""
    _send(system, number, twilio_forms(number)[:3])
    with Redis.from_url(system.redis_url) as client:
        wait_for(lambda: not client.exists(INBOX), goal=f"call {number} to be read")


def _end(system: System, number: int) -> None:
    """The rest of a call."""
    _send(system, number, twilio_forms(number)[3:])
    wait_for(lambda: str(1000 + number) in _patched(system), goal=f"the PATCH of call {number}")


def _send(system: System, number: int, forms: list[dict[str, str]]) -> None:
    for form in forms:
        assert system.takes(form, f"buildr_call_id={1000 + number}")


def _patched(system: System) -> list[str]:
    return [str(patch["path"]).rpartition("/")[2] for patch in system.patches()]


def test_calls_go_on_from_one_version_to_the_other(system: System, release_before: Path) -> None:
    """
    Whichever version began a call, the other one ends it, by one right PATCH; what a receiver of
    now has taken, a worker of before works through.
    """
    system.start_all(workers=1)
    _begin(system, 1)
    system.kill("worker0", signal.SIGTERM)
    system.start("before", "work", program=OF_PYTHONPATH, PYTHONPATH=str(release_before))
    system.wait_for_worker("before")
    _end(system, 1)
    _begin(system, 2)
    _end(system, 2)
    _begin(system, 3)
    system.start_worker("worker1")
    system.wait_for_worker("worker1")
    # Either of them may read it.
    _begin(system, 4)
    system.kill("before", signal.SIGTERM)
    for number in (3, 4):
        _end(system, number)
    assert ["1001", "1002", "1003", "1004"] == _patched(system)
    bodies = [cast("dict[str, dict[str, str]]", patch["body"]) for patch in system.patches()]
    assert {"786"} == {body["call"]["call_outcome_id"] for body in bodies}
    for name in ("receiver", "worker0", "before", "worker1"):
        lines = [json.loads(line) for line in system.log(name).splitlines()]
        assert [] == [line for line in lines if line["level"] == "error"]
