"""
The recipes of the cookbook do what they say: each is read at the start, and its sample calls get
their outcomes.
"""

import re
from pathlib import Path
from typing import Final

import pytest

from service.settings import load_installation
from tests.repository.site import ROOT
from workers.outcomes.sample_calls import run_tests

PAGE: Final = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
RECIPES: Final = dict(
    re.findall(r"^## (.+?)\n.*?^```toml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
)


def test_every_heading_has_a_recipe() -> None:
    """At least ten."""
    assert list(RECIPES) == re.findall(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    assert len(RECIPES) >= 10


@pytest.mark.parametrize("title", RECIPES)
def test_recipe_decides_its_sample_calls(title: str, tmp_path: Path) -> None:
    """Each sample call gets its outcome; each rule decides one, and leaves one to the map."""
    (tmp_path / "buildr-calls.toml").write_text(RECIPES[title], encoding="utf-8")
    config = load_installation({}, cwd=tmp_path).default.outcome_config
    results = run_tests(config)
    assert [] == [result for result in results if not result.is_passed]
    rules = " ".join(result.rule for result in results)
    assert [] == [rule.name for rule in config.rules if str(rule.name) not in rules]
    assert any("rule" not in result.rule for result in results), rules
