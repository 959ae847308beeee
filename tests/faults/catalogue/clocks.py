"""
Clocks that are wrong or that jump.
"""

from typing import Final

from tests.faults.actions import set_redis_clock
from tests.faults.scenario import At, Layout, Need, Scenario

NEEDS: Final = (Need.CLOCKS,)

SCENARIOS: Final = (
    Scenario(
        name="clock-receiver-ahead",
        title="the receiver's clock 250 s ahead",
        layout=Layout(receiver_clock_s=250),
        is_faultless=True,
    ),
    Scenario(
        name="clock-receiver-behind",
        title="the receiver's clock 250 s behind",
        layout=Layout(receiver_clock_s=-250),
        is_faultless=True,
    ),
    Scenario(
        name="clock-worker-ahead",
        title="the worker's clock an hour ahead",
        layout=Layout(worker_clock_s=3600),
        is_faultless=True,
    ),
    Scenario(
        name="clock-worker-behind",
        title="the worker's clock an hour behind",
        layout=Layout(worker_clock_s=-3600),
        is_faultless=True,
    ),
    Scenario(
        name="clock-redis-back",
        title="Redis's clock set back by 600 s",
        layout=Layout(redis_has_own_clock=True, sandbox_limit=(50, 1)),
        settings={"BUILDR_BUDGETS": "50/1s"},
        needs=NEEDS,
        steps=(At(at_s=6, action=set_redis_clock(-600)),),
    ),
    Scenario(
        name="clock-redis-ahead",
        title="Redis's clock set ahead by 600 s",
        layout=Layout(redis_has_own_clock=True, sandbox_limit=(50, 1)),
        settings={"BUILDR_BUDGETS": "50/1s"},
        needs=NEEDS,
        steps=(At(at_s=6, action=set_redis_clock(600)),),
    ),
    Scenario(
        name="clock-redis-jumps",
        title="Redis's clock ahead by 60 s, back by 60 s, and right again",
        layout=Layout(redis_has_own_clock=True, sandbox_limit=(50, 1)),
        settings={"BUILDR_BUDGETS": "50/1s"},
        needs=NEEDS,
        steps=(
            At(at_s=5, action=set_redis_clock(60)),
            At(at_s=9, action=set_redis_clock(-60)),
            At(at_s=13, action=set_redis_clock(0)),
        ),
    ),
)
