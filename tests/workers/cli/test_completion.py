"""
`completion`: scripts of the shells, and what the program answers them.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from tests.doubles.threads import in_thread
from tests.workers.cli.conftest import Seed, ended
from workers.cli.completion import VARIABLE
from workers.cli.main import cli


def completed(*words: str) -> list[str]:
    """What a shell offers for the last of the words."""
    complete = ShellComplete(cli, {}, "buildr-calls", VARIABLE)
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_the_script_asks_the_program_by_the_variable_that_click_reads(shell: str) -> None:
    """Every shell has its own script, for the program's own name."""
    script = CliRunner().invoke(cli, ["completion", shell]).output
    assert f"{VARIABLE}={shell}_complete" in script
    assert "buildr-calls" in script


def test_commands_are_completed_without_loading_one() -> None:
    """TAB must not take a second."""
    assert ["explain", "expect", "expected"] == completed("exp")
    assert "twilio" in completed("init", "")
    assert ["--version"] == completed("--v")


def test_words_and_options_of_a_command_are_completed() -> None:
    """The words of sources and states, and commands of a group."""
    assert ["zoom"] == completed("calls", "--source", "Z")
    assert ["hand_edited"] == completed("calls", "--state", "hand")
    assert "--until" in completed("calls", "--un")
    assert ["replay"] == completed("failed", "rep")


def test_scenarios_are_completed() -> None:
    """Those of the source before; none while the source is not known."""
    assert "answered" in completed("trigger", "zoom", "")
    assert [] == completed("trigger", "zoom", "no-such")
    assert [] == completed("trigger", "fax", "")


def test_ids_of_the_newest_calls_are_completed(
    seed: Seed, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without their source, since bash ends a word at a colon; without Redis there are none."""
    seed(ended("CA1"))
    seed(ended("CA2"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", redis_url)
    assert ["CA1", "CA2"] == sorted(in_thread(lambda: completed("explain", "CA")))
    assert [] == completed("failed", "show", "")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert ["CA"] == in_thread(lambda: completed("explain", "CA"))


@pytest.mark.slow
def test_bash_takes_the_script(tmp_path: Path) -> None:
    """In a real bash, TAB after `calls --state un` offers what begins so."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    program = tmp_path / "buildr-calls"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m workers.cli.main "$@"\n')
    program.chmod(0o755)
    lines = [
        "source <(buildr-calls completion bash)",
        "COMP_WORDS=(buildr-calls calls --state un); COMP_CWORD=3",
        "_buildr_calls_completion buildr-calls un --state",
        'echo "${COMPREPLY[@]}"',
    ]
    result = subprocess.run(
        [bash, "-c", "\n".join(lines)],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "unmatched unread" == result.stdout.strip(), result.stderr
