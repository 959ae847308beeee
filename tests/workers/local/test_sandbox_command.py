"""
The command that starts the sandbox of `run`, and the outcomes that it then has.
"""

from itertools import pairwise

from service.settings.outcomes import OutcomeConfig
from workers.local.sandbox_command import sandbox_command
from workers.sandbox.records import OUTCOMES, outcomes_with

CONFIG = OutcomeConfig.model_validate(
    {
        "outcomes": {
            "connected": "Hot Lead",
            "busy": {"id": "4711"},
            "failed": "",
            "rejected": {"id": "786"},
        },
        "rules": [{"when": {"result": "no_answer"}, "outcome": "busy"}],
    }
)


def test_the_sandbox_of_a_demo_is_as_strict_as_buildr() -> None:
    """Neither other calls nor other outcomes."""
    assert ["sandbox", "--port", "8001"] == sandbox_command(8001, CONFIG, is_any_call=False)


def test_the_sandbox_for_real_traffic_has_the_outcomes_of_the_map() -> None:
    """By name and by id; what it has anyway is not doubled."""
    command = sandbox_command(8001, CONFIG, is_any_call=True)
    assert {"--auto-create", "off"} <= set(command)
    names = [value for option, value in pairwise(command) if option == "--outcome"]
    assert ["Hot Lead", "4711=outcome 4711", "busy"] == names
    outcomes = outcomes_with(names)
    more = {name: id_ for id_, name in outcomes.items() if id_ not in OUTCOMES}
    assert ("4711", {"Hot Lead", "outcome 4711"}) == (more["outcome 4711"], set(more))
