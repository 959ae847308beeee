"""
A failover by real Sentinels while webhooks come in.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import STANDARD_SECRET, TWILIO_TOKEN
from tests.doubles.sentinel import SentinelTrio
from tests.e2e.harness import System, free_port, twilio_forms, wait_for

pytestmark = pytest.mark.slow
CALLS = 30


@pytest.fixture
def trio() -> Iterator[SentinelTrio]:
    """A primary, a replica, and three Sentinels."""
    folder = Path(tempfile.mkdtemp(prefix="bc-sentinel-"))
    made = SentinelTrio(folder, [free_port() for _ in range(5)])
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_failover_loses_nothing_and_needs_no_restart(trio: SentinelTrio, tmp_path: Path) -> None:
    """
    Every message is taken, before, while and after the primary is killed; worker and receiver go on
    with the new one.
    """
    system = System(
        folder=tmp_path,
        redis_url=trio.url,
        twilio_token=TWILIO_TOKEN,
        standard_secret=STANDARD_SECRET,
        extra={"BUILDR_BUDGETS": "1000/1s", "SETTLE_S": "0"},
        sandbox_args=("--auto-create", "--limit-mode", "off"),
    )
    try:
        system.start_all()
        _send(system, range(CALLS))
        wait_for(lambda: len(system.patches()) >= 1, goal="the first PATCH")
        trio.kill_primary()
        _send(system, range(CALLS, 2 * CALLS))
        wait_for(lambda: _patched(system) == 2 * CALLS, goal="all calls", timeout_s=60)
        assert system.parts["worker0"].poll() is None
        assert system.parts["receiver"].poll() is None
        assert "Traceback" not in system.log("worker0")
    finally:
        system.stop()


def _send(system: System, numbers: range) -> None:
    for number in numbers:
        answer = system.twilio(twilio_forms(number)[-1], query=f"buildr_call_id={500 + number}")
        assert answer.is_success


def _patched(system: System) -> int:
    return len({patch["path"] for patch in system.patches()})
