"""
The Python functions that call the scripts, and the arguments that the scripts read.
"""

import inspect
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Final

import pytest

from service.store import accept_scripts, backfill_scripts, index_scripts, script_calls
from service.store.rate_limit import script_calls as rate_limit_calls
from service.store.script_runner import ScriptCall, source_of
from tests.service.store.script_files import SHARED

# What all scripts share takes the first four.
FIRST_ARGUMENT: Final = 5
MODULES: Final = (
    accept_scripts,
    script_calls,
    backfill_scripts,
    index_scripts,
    rate_limit_calls,
)
ARGUMENT: Final = re.compile(r"^local (\w+) = [\w.]*\(?ARGV\[(\d+)\]", re.MULTILINE)


def functions() -> dict[str, Callable[..., ScriptCall[object]]]:
    """Every function that makes a call of a script, by the script's name."""
    return {
        name: function
        for module in MODULES
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }


def scripts() -> set[str]:
    """The names of all scripts."""
    store = files("service.store")
    folders = (store / "scripts", store / "rate_limit" / "scripts")
    names = (path.name for folder in folders for path in folder.iterdir())
    return {name.removesuffix(".lua") for name in names if name.endswith(".lua")} - SHARED


def test_every_script_has_one_function() -> None:
    """A script is called through the function of its name only."""
    assert scripts() == set(functions())


@pytest.mark.parametrize("script", sorted(scripts()))
def test_arguments_are_read_in_the_order_in_which_they_are_given(script: str) -> None:
    """The script names its arguments as the function does, and reads each at its place."""
    parameters = inspect.signature(functions()[script]).parameters
    expected = dict(enumerate(parameters, FIRST_ARGUMENT))
    read = {
        int(place): name.lower()
        for name, place in ARGUMENT.findall(source_of(script))
        if int(place) >= FIRST_ARGUMENT
    }
    # The last one may be a list, which is read by a loop to the end.
    last = {place: name for place, name in expected.items() if place == max(expected)}
    assert expected == {**last, **read}
