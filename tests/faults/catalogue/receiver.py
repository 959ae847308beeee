"""
What reaches the receiver: restarts, floods, idle connections, and a log that nobody reads.
"""

import signal
from dataclasses import replace
from typing import Final

from tests.faults.actions import (
    both,
    hold_idle_connections,
    kill,
    reload_receiver,
    repeatedly,
    signal_redis,
    start_receiver,
)
from tests.faults.calls import MIXED, TWILIO_BUSY, TWILIO_CONNECTED
from tests.faults.exemptions import NO_ROOM
from tests.faults.scenario import At, Layout, Scenario
from tests.faults.traffic import Traffic

RESTARTS: Final = 100
# Two to four seconds each, so that traffic lasts as long as they do on a machine that is not slow.
DURING_RESTARTS: Final = Traffic(calls=3000, over_s=360, kinds=MIXED)
RESTARTS_S: Final = 1000
OF_TWO: Final = Layout(processes=2)

SCENARIOS: Final = (
    Scenario(
        name="rolling-restarts",
        title=f"{RESTARTS} rolling restarts (SIGHUP) of two processes, a connection each",
        traffic=DURING_RESTARTS,
        layout=OF_TWO,
        steps=(At(at_s=2, action=repeatedly(reload_receiver(), times=RESTARTS, every_s=0.1)),),
        last_step_s=RESTARTS_S,
    ),
    Scenario(
        name="rolling-restarts-kept",
        title=f"{RESTARTS} rolling restarts (SIGHUP) of one process, connections kept",
        traffic=replace(DURING_RESTARTS, keeps=True),
        layout=Layout(serve_options=("--reload-on", "HUP")),
        steps=(At(at_s=2, action=repeatedly(reload_receiver(), times=RESTARTS, every_s=0.1)),),
        last_step_s=RESTARTS_S,
    ),
    Scenario(
        name="restarts-socket-held",
        title="ten restarts (SIGTERM) of one receiver, its socket held by systemd (`--fd`)",
        layout=Layout(holds_socket=True),
        steps=(
            At(
                at_s=2,
                action=repeatedly(
                    both(kill("receiver0", signal.SIGTERM), start_receiver()), times=10, every_s=0.2
                ),
            ),
        ),
        is_alone=True,
    ),
    Scenario(
        name="restart-while-redis-hangs",
        title="Redis hangs for 14 s, the receiver is restarted (SIGTERM) meanwhile, socket held",
        layout=Layout(holds_socket=True),
        steps=(
            At(at_s=4, action=signal_redis(signal.SIGSTOP)),
            At(at_s=7, action=both(kill("receiver0", signal.SIGTERM))),
            At(at_s=7, action=start_receiver()),
            At(at_s=18, action=signal_redis(signal.SIGCONT)),
        ),
        is_alone=True,
    ),
    Scenario(
        name="log-not-read",
        title="nobody reads the receiver's log: the pipe is full",
        traffic=Traffic(calls=1500, over_s=30, kinds=MIXED),
        layout=Layout(has_stuck_log=True),
        settings={"LOG_LEVEL": "debug"},
        is_faultless=True,
    ),
    Scenario(
        name="idle-connections",
        title="300 idle connections for 20 s, 256 open files allowed",
        layout=Layout(max_files=256),
        steps=(At(at_s=3, action=hold_idle_connections(300, seconds=20)),),
    ),
    Scenario(
        name="overload",
        title="500 connections at once, as fast as they can",
        traffic=Traffic(calls=5000, over_s=0, kinds=(TWILIO_CONNECTED, TWILIO_BUSY), at_once=500),
        settings={"LOG_LEVEL": "warning"},
        recovery_s=240,
        max_memory_mb=512,
        exemption=NO_ROOM,
        is_alone=True,
    ),
)
