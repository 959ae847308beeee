"""
The release before this one: its code, out of git.
"""

import subprocess
import tarfile
import tomllib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
# The heading of the changelog that begins what comes after a release.
UNRELEASED: Final = "## [Unreleased]"
PARTS: Final = ("service", "workers", "pyproject.toml", "Procfile")


@dataclass(frozen=True, slots=True)
class Release:
    """A version of the code in a folder of its own; `origin` says how it was found."""

    version: str
    revision: str
    origin: str
    tree: Path


class NoRelease(Exception):
    """Raised where the release before cannot be had."""


def extract_previous(folder: Path, revision: str | None = None) -> Release:
    """
    Write the code of the release before to a folder: of this revision of git, else of the tag of
    the version that pyproject.toml names, else of the last commit before the changelog began with
    what is not released. Raises `NoRelease`.
    """
    origin = "as --previous says"
    if revision is None:
        revision, origin = _find()
    commit = _git("rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()
    archive = _git("archive", "--format=tar", commit, *PARTS)
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return Release(project["version"], commit[:7], origin, folder)


def _find() -> tuple[str, str]:
    """A revision of git, and how it was found."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tag = f"v{project['version']}"
    if _git("tag", "--list", tag).strip():
        return tag, f"tag {tag}"
    began = _git("log", "-1", "--format=%H", f"-S{UNRELEASED}", "--", "CHANGELOG.md")
    if not began.strip():
        raise NoRelease("there is no tag, and the changelog does not show where a release ended")
    return f"{began.decode().strip()}^", "the last commit before the changelog's Unreleased"


def _git(*words: str) -> bytes:
    try:
        return subprocess.run(("git", *words), cwd=ROOT, capture_output=True, check=True).stdout
    except FileNotFoundError as err:
        raise NoRelease("git is not installed") from err
    except subprocess.CalledProcessError as err:
        raise NoRelease(f"git {words[0]}: {err.stderr.decode().strip()}") from err
