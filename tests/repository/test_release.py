"""
What a release is made of: its licences and its notes.
"""

import pytest

from tests.repository.licences import licence_of, licences_of, unusual
from tests.repository.release import ROOT, licence_table, readme_faults, release_notes

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n- New.\n\n## [0.1.0] - 2026-11-28\n\n- First.\n"


def test_every_package_has_a_licence_that_is_allowed() -> None:
    """Of those that a release pins and that are installed here."""
    licences = licences_of((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    assert [] == unusual(licences)
    assert {"starlette": "BSD-3-Clause", "arq": "MIT", "certifi": "MPL-2.0"}.items() <= (
        licences.items()
    )
    assert "| arq | MIT |" in licence_table(licences)


def test_a_licence_that_nobody_has_allowed_is_reported() -> None:
    """Also as one part of an expression."""
    licences = {"a": "MIT", "b": "MIT AND GPL-3.0-only", "c": "MIT OR Apache-2.0"}
    assert ["b: MIT AND GPL-3.0-only"] == unusual(licences)


def test_a_package_that_is_not_installed_has_no_licence() -> None:
    """Nothing is guessed."""
    assert licence_of("there-is-no-such-package") is None


def test_notes_are_the_newest_section_of_the_changelog() -> None:
    """That of the version, or what is not released yet."""
    assert "# buildr-calls [Unreleased]\n\n- New.\n" == release_notes(CHANGELOG, "0.1.0")
    released = CHANGELOG.replace("## [Unreleased]\n\n- New.\n\n", "")
    assert release_notes(released, "0.1.0").endswith("2026-11-28\n\n- First.\n")
    with pytest.raises(ValueError, match="no section"):
        release_notes("# Changelog\n", "0.1.0")


def test_readme_renders_and_links_to_files_that_exist() -> None:
    """As an index of packages shows it."""
    assert [] == list(readme_faults())
