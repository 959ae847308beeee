"""
The constants that the scripts get from Python.
"""

import re

import pytest

from service.store.delivery_state import DeliveryState
from service.store.rate_limit.lanes import Lane
from service.store.script_constants import constants_of, lua_constants
from service.store.script_runner import source_of


def test_lanes_come_in_order_of_urgency() -> None:
    """The scripts serve the lanes in the order of the enum."""
    assert "{'own', 'final', 'refinement', 'replay', 'backfill'}" == lua_constants()["LANES"]
    assert list(Lane) == re.findall(r"\w+", lua_constants()["LANES"])


def test_states_are_those_of_python() -> None:
    """A script reads a state by the name and value of its enum member."""
    pairs = re.findall(r"(\w+) = '(\w+)'", lua_constants()["STATE"])
    assert {state.name: state.value for state in DeliveryState} == dict(pairs)


def test_script_gets_the_constants_that_it_uses() -> None:
    """A constant that only a comment names is not defined."""
    script = "-- LANES and SOON_MS\nreturn {LATER_MS, HOUR_MS}\n"
    assert "local HOUR_MS = 3600000\nlocal LATER_MS = 500\n" == constants_of(script)


@pytest.mark.parametrize("name", ["accept", "commit", "grant", "pump", "release", "sweep"])
def test_constants_come_before_the_script(name: str) -> None:
    """Every constant is defined above the first line of the scripts' own text."""
    constants, _, script = source_of(name).partition("--")
    defined = re.findall(r"^local (\w+) = ", constants, re.MULTILINE)
    assert defined
    assert [] == [constant for constant in defined if constant not in script]
