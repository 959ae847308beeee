"""
Many messages: ten for each call, each of which leaves a tag of its own in the call's notes.
"""

import signal
from typing import Final

from tests.faults.actions import (
    buildr,
    buildr_recovers,
    kill,
    kill_redis,
    signal_redis,
    start,
    start_receiver,
    start_redis,
)
from tests.faults.calls import STANDARD_TAGGED
from tests.faults.exemptions import IN_HANDS
from tests.faults.scenario import At, Layout, Scenario
from tests.faults.traffic import Traffic

NOTES: Final = """
[notes]
mode = "append"
template = "{{ tags | join(' ') }}"
"""
QUIET: Final = {"LOG_LEVEL": "warning", "SETTLE_S": "2"}

SCENARIOS: Final = (
    Scenario(
        name="bulk",
        title="50,000 messages, nothing broken",
        traffic=Traffic(calls=5000, over_s=100, kinds=(STANDARD_TAGGED,), keeps=True, at_once=100),
        config=NOTES,
        settings=QUIET,
        recovery_s=240,
        is_faultless=True,
        is_alone=True,
    ),
    Scenario(
        name="bulk-everything-breaks",
        title="50,000 messages: worker, receiver and Redis killed, Redis hung, Buildr at 500",
        traffic=Traffic(calls=5000, over_s=120, kinds=(STANDARD_TAGGED,), keeps=True, at_once=100),
        layout=Layout(holds_socket=True, workers=2),
        config=NOTES,
        settings=QUIET,
        steps=(
            At(at_s=10, action=kill("worker0")),
            At(at_s=12, action=start("worker0")),
            At(at_s=25, action=kill_redis),
            At(at_s=35, action=start_redis),
            At(at_s=50, action=kill("receiver0")),
            At(at_s=50, action=start_receiver()),
            At(at_s=65, action=buildr(kind="status", status=500, times=1_000_000)),
            At(at_s=75, action=buildr_recovers),
            At(at_s=85, action=signal_redis(signal.SIGSTOP)),
            At(at_s=93, action=signal_redis(signal.SIGCONT)),
            At(at_s=105, action=kill("worker1")),
            At(at_s=105, action=start("worker1")),
        ),
        recovery_s=300,
        exemption=IN_HANDS,
        is_alone=True,
    ),
)
