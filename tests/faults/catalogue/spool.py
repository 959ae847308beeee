"""
The receiver's spool: filled, killed over it, full, and there before Redis is.
"""

from typing import Final

from tests.faults.actions import kill, kill_redis, start_receiver, start_redis
from tests.faults.calls import STANDARD_LONG_VOICEMAIL
from tests.faults.exemptions import IN_HANDS, NO_ROOM
from tests.faults.scenario import At, Layout, Scenario
from tests.faults.traffic import Traffic

SCENARIOS: Final = (
    Scenario(
        name="spool-receiver-killed",
        title="Redis away for 14 s, and the receiver killed (SIGKILL) over its filled spool",
        layout=Layout(holds_socket=True),
        steps=(
            At(at_s=3, action=kill_redis),
            At(at_s=9, action=kill("receiver0")),
            At(at_s=9, action=start_receiver()),
            At(at_s=17, action=start_redis),
        ),
        exemption=IN_HANDS,
        is_alone=True,
    ),
    Scenario(
        name="spool-adopted",
        title="Redis away, one of two receivers killed for good: the other takes its spool over",
        layout=Layout(receivers=2),
        steps=(
            At(at_s=3, action=kill_redis),
            At(at_s=20.5, action=kill("receiver0")),
            At(at_s=21, action=start_redis),
        ),
        exemption=IN_HANDS,
    ),
    Scenario(
        name="spool-full",
        title="Redis away for 15 s and the spool full: long messages and 1 MB of room",
        traffic=Traffic(calls=300, over_s=20, kinds=(STANDARD_LONG_VOICEMAIL,)),
        settings={"SPOOL_MAX_MB": "1"},
        steps=(At(at_s=3, action=kill_redis), At(at_s=18, action=start_redis)),
        exemption=NO_ROOM,
    ),
    Scenario(
        name="spool-before-redis",
        title="receiver and worker start 10 s before Redis does",
        layout=Layout(starts_without_redis=True),
        steps=(At(at_s=10, action=start_redis),),
    ),
)
