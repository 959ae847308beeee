"""
Nothing broken at all, and workers and receivers that are killed, stopped or frozen.
"""

import signal
from typing import Final

from tests.faults.actions import (
    kill,
    kill_child,
    repeatedly,
    restart_worker,
    send_signal,
    start,
    start_receiver,
)
from tests.faults.calls import WITH_ZOOM
from tests.faults.exemptions import IN_HANDS, WHILE_DOWN
from tests.faults.scenario import At, Layout, Scenario, Via
from tests.faults.traffic import Traffic

SCENARIOS: Final = (
    Scenario(
        name="nothing-broken",
        title="nothing broken, five kinds of senders",
        traffic=Traffic(calls=500, over_s=20, kinds=WITH_ZOOM),
        is_faultless=True,
    ),
    Scenario(
        name="limit-of-buildr",
        title="nothing broken, 20 requests in any second, two workers",
        layout=Layout(workers=2, sandbox_limit=(20, 1)),
        settings={"BUILDR_BUDGETS": "20/1s"},
        is_faultless=True,
    ),
    Scenario(
        name="worker-killed",
        title="the only worker killed (SIGKILL), started again after 1 s",
        steps=(At(at_s=6, action=kill("worker0")), At(at_s=7, action=start("worker0"))),
    ),
    Scenario(
        name="worker-killed-of-two",
        title="one of two workers killed for good",
        layout=Layout(workers=2),
        steps=(At(at_s=6, action=kill("worker0")),),
    ),
    Scenario(
        name="worker-killed-often",
        title="the only worker killed six times",
        steps=tuple(
            step
            for at_s in range(3, 21, 3)
            for step in (
                At(at_s=at_s, action=kill("worker0")),
                At(at_s=at_s + 0.5, action=start("worker0")),
            )
        ),
    ),
    Scenario(
        name="worker-frozen",
        title="one of two workers stands still for 20 s (SIGSTOP) and goes on",
        layout=Layout(workers=2),
        steps=(
            At(at_s=4, action=send_signal("worker0", signal.SIGSTOP)),
            At(at_s=24, action=send_signal("worker0", signal.SIGCONT)),
        ),
    ),
    Scenario(
        name="worker-restarted",
        title="the worker restarted in order (SIGTERM) four times",
        steps=(At(at_s=3, action=repeatedly(restart_worker, times=4, every_s=1)),),
    ),
    Scenario(
        name="receiver-killed",
        title="the only receiver killed (SIGKILL), started again at once",
        steps=(At(at_s=6, action=kill("receiver0")), At(at_s=6, action=start_receiver())),
        exemption=WHILE_DOWN,
        is_alone=True,
    ),
    Scenario(
        name="receiver-killed-socket-held",
        title="the receiver killed (SIGKILL), its socket held by systemd (`--fd`)",
        layout=Layout(holds_socket=True),
        steps=(At(at_s=6, action=kill("receiver0")), At(at_s=6, action=start_receiver())),
        exemption=IN_HANDS,
        is_alone=True,
    ),
    Scenario(
        name="receiver-killed-of-two",
        title="one of two receivers behind a proxy killed (SIGKILL)",
        layout=Layout(receivers=2, via=frozenset({Via.RECEIVER})),
        steps=(At(at_s=6, action=kill("receiver0")), At(at_s=10, action=start_receiver())),
        exemption=IN_HANDS,
    ),
    Scenario(
        name="receiver-process-killed",
        title="one of the two processes of the receiver killed (SIGKILL), five times",
        layout=Layout(processes=2),
        steps=(At(at_s=4, action=repeatedly(kill_child, times=5, every_s=3)),),
        exemption=IN_HANDS,
    ),
    Scenario(
        name="everything-killed",
        title="receiver and worker killed at the same moment, socket held",
        layout=Layout(holds_socket=True),
        steps=(
            At(at_s=6, action=kill("receiver0")),
            At(at_s=6, action=kill("worker0")),
            At(at_s=6, action=start("worker0")),
            At(at_s=6, action=start_receiver()),
        ),
        exemption=IN_HANDS,
        is_alone=True,
    ),
)
