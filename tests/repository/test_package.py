"""
What the wheel holds besides Python: every file that a command reads.
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_file_beside_the_code_is_in_the_wheel() -> None:
    """A file that no pattern of pyproject.toml names would be missing after `pip install`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]
    packed = {
        path
        for package, globs in patterns.items()
        for pattern in globs
        for path in (ROOT / package).glob(pattern)
    }
    files = {
        path
        for package in patterns
        for path in (ROOT / package).rglob("*.*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert set() == {str(path.relative_to(ROOT)) for path in files - packed}
