"""
A module that is loaded on use: nothing before, the real one from then on.
"""

import importlib
import sys
from pathlib import Path

import pytest

from workers.cli.module_on_use import load_on_use, without

NAME = "loaded_late"


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that can be imported, and is forgotten afterwards."""
    (tmp_path / f"{NAME}.py").write_text("VALUE = object()\n")
    monkeypatch.syspath_prepend(tmp_path)
    # So that whatever the test puts there is taken out again.
    monkeypatch.setitem(sys.modules, NAME, None)
    del sys.modules[NAME]


def test_it_is_loaded_when_something_of_it_is_asked_for() -> None:
    """Not by `import`, however often; afterwards everybody has the real module."""
    load_on_use(NAME)
    stand_in = importlib.import_module(NAME)
    assert stand_in is importlib.import_module(NAME)
    assert "VALUE" not in vars(stand_in)
    value = stand_in.VALUE
    module = importlib.import_module(NAME)
    assert module is not stand_in
    assert value is module.VALUE is stand_in.VALUE


def test_one_that_is_loaded_stays() -> None:
    """Nobody has two of it."""
    module = importlib.import_module(NAME)
    load_on_use(NAME)
    assert module is importlib.import_module(NAME)


def test_one_that_does_not_exist_has_nothing(tmp_path: Path) -> None:
    """Who looks through all modules for a name does not find an error in its place."""
    (tmp_path / f"{NAME}.py").unlink()
    load_on_use(NAME)
    assert not hasattr(importlib.import_module(NAME), "VALUE")


def test_an_extra_is_hidden_while_modules_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module does without it, and others can import it afterwards."""
    extra = f"{NAME}_extra"
    (tmp_path / f"{extra}.py").write_text("")
    (tmp_path / f"{NAME}.py").write_text(
        f"try:\n    import {extra}\nexcept ImportError:\n    {extra} = None\n"
    )
    monkeypatch.setitem(sys.modules, extra, None)
    del sys.modules[extra]
    with without(extra):
        module = importlib.import_module(NAME)
    assert getattr(module, extra) is None
    loaded = importlib.import_module(extra)
    # What is loaded already costs nothing more.
    with without(extra):
        assert loaded is importlib.import_module(extra)
