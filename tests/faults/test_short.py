"""
The short form of `make faults`: a few of its faults one after the other, with few calls.
"""

from pathlib import Path
from typing import Final

import pytest

from tests.faults.actions import buildr, buildr_recovers, kill_redis, start_redis
from tests.faults.calls import MIXED
from tests.faults.scenario import At, Scenario
from tests.faults.traffic import Traffic
from tests.faults.trial import run

pytestmark = pytest.mark.slow

SHORT: Final = Scenario(
    name="short",
    title="Buildr answers 500, its answers are lost, Redis is killed and away for a second",
    traffic=Traffic(calls=80, over_s=5, kinds=MIXED),
    settings={"SETTLE_S": "0.2"},
    steps=(
        At(at_s=1, action=buildr(kind="status", status=500, times=3)),
        At(at_s=1.5, action=buildr(kind="reset", times=3, is_applied=True)),
        At(at_s=2.5, action=kill_redis),
        At(at_s=3.5, action=start_redis),
        At(at_s=4, action=buildr_recovers),
    ),
    recovery_s=40,
    linger_s=0.5,
)


async def test_faults_one_after_the_other_lose_nothing(tmp_path: Path) -> None:
    """Every message is taken, also those of senders that never retry, and every call is right."""
    row = await run(SHORT, tmp_path)
    assert [] == row.faults, row.as_json()
    assert 100 == row.acknowledged
