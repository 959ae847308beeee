"""
All scenarios, by name and in the order of the report.
"""

from collections.abc import Mapping
from typing import Final

from tests.faults.catalogue import (
    buildr,
    bulk,
    clocks,
    poison,
    processes,
    receiver,
    redis,
    spool,
)
from tests.faults.scenario import Scenario

GROUPS: Final[Mapping[str, tuple[Scenario, ...]]] = {
    "Nothing broken, and processes that end": processes.SCENARIOS,
    "The receiver and what reaches it": receiver.SCENARIOS,
    "Redis": redis.SCENARIOS,
    "The spool": spool.SCENARIOS,
    "Buildr": buildr.SCENARIOS,
    "Clocks": clocks.SCENARIOS,
    "Rubbish in Redis": poison.SCENARIOS,
    "In bulk": bulk.SCENARIOS,
}
SCENARIOS: Final[Mapping[str, Scenario]] = {
    scenario.name: scenario for group in GROUPS.values() for scenario in group
}
