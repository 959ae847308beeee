"""
Jobs and records that nobody can read.
"""

from typing import Final

from tests.faults.poison import damage_records, poison_queue
from tests.faults.scenario import At, Layout, Scenario

SCENARIOS: Final = (
    Scenario(
        name="poison-jobs",
        title="20 foreign and damaged jobs in arq's queue, two workers",
        layout=Layout(workers=2),
        steps=(At(at_s=5, action=poison_queue),),
    ),
    Scenario(
        name="poison-records",
        title="20 damaged records of calls, with alarms",
        layout=Layout(workers=2),
        steps=(At(at_s=5, action=damage_records),),
    ),
)
