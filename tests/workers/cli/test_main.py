"""
The command line as a whole: exit codes, faults in plain lines, output for people and for programs.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.e2e.harness import inherited
from workers.cli.main import COMMANDS, cli
from workers.cli.output import print_json, print_table
from workers.cli.run import DEMO_CALL
from workers.sandbox.records import seed_calls

ROOT = Path(__file__).parents[3]
WRONG_USAGE = 2
FAILED = 1
HEAVY = {"pydantic", "redis", "httpx", "rich", "structlog", "jinja2", "arq", "importlib.metadata"}

# What neither settings nor records need: see decision 59.
UNUSED = {
    "arq",
    "cryptography.hazmat",
    "httpx",
    "jinja2",
    "nacl",
    "phonenumbers",
    "rich.console",
    "service.logs.masking",
    "starlette",
    "structlog",
    "uvicorn",
}


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A runner in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def test_every_command_helps(runner: CliRunner) -> None:
    """
    The help of the whole and of each command exits 0 and keeps examples on lines of their own.
    """
    assert 0 == runner.invoke(cli, ["--help"]).exit_code
    for name in COMMANDS:
        result = runner.invoke(cli, [name, "--help"])
        assert 0 == result.exit_code, name
        assert "\n    " in result.output or "\n  buildr-calls" in result.output, name
        assert "\\b" not in result.output


def test_version(runner: CliRunner) -> None:
    """--version names the program and its version."""
    assert runner.invoke(cli, ["--version"]).output.startswith("buildr-calls, version ")


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["run", "--port", "0"], ["run", "--sandbox-port", "x"], ["serve", "extra"]],
)
def test_wrong_usage_is_2(runner: CliRunner, arguments: list[str]) -> None:
    """Wrong usage exits 2 and says on stderr what is wrong."""
    result = runner.invoke(cli, arguments)
    assert (WRONG_USAGE, "") == (result.exit_code, result.stdout)
    assert result.stderr


@pytest.mark.parametrize("command", ["run", "serve", "work", "sandbox", "status", "check"])
def test_all_faults_of_the_settings_are_named(runner: CliRunner, command: str) -> None:
    """
    Broken settings exit 1 with one line per fault, each with its name, and no traceback; values of
    secrets are not repeated.
    """
    result = runner.invoke(
        cli, [command], env={"PORT": "hundred", "PUBLIC_URL": "nowhere", "ADMIN_TOKEN": "tooshort"}
    )
    assert (FAILED, "") == (result.exit_code, result.stdout)
    by_name = {
        line.split(": ")[1]
        for line in result.stderr.splitlines()
        if line.startswith("buildr-calls: ")
    }
    assert ({"PORT", "PUBLIC_URL", "ADMIN_TOKEN"}, 3) == (by_name, result.stderr.count("\n"))
    assert "tooshort" not in result.stderr


def test_receiver_without_a_source_says_which_secret_to_set(runner: CliRunner) -> None:
    """`serve` without any secret ends with one line."""
    result = runner.invoke(cli, ["serve"])
    assert FAILED == result.exit_code
    assert result.stderr.startswith(
        "buildr-calls: no source has a secret: set the secret of your telephony system, like "
        "TWILIO_AUTH_TOKEN"
    )


def test_worker_without_credentials_says_what_to_set(runner: CliRunner) -> None:
    """`work` without credentials ends with one line."""
    result = runner.invoke(cli, ["work"])
    assert FAILED == result.exit_code
    assert result.stderr.startswith("buildr-calls: BUILDR_ACCESS_TOKEN")
    assert 1 == result.stderr.count("\n")


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["--demo"], "--demo-call ID"),
        (["--once"], "--once stops after the demo"),
        (["--demo", "--demo-call", "one"], "digits only"),
    ],
)
def test_demo_never_changes_a_real_call_by_itself(
    runner: CliRunner, arguments: list[str], reported: str
) -> None:
    """
    With Buildr credentials the demo wants the call's id in words; nothing is started without it.
    """
    result = runner.invoke(
        cli,
        ["run", *arguments],
        env={"BUILDR_ACCESS_TOKEN": "real", "TWILIO_AUTH_TOKEN": "fake-token-of-the-tests"},
    )
    assert WRONG_USAGE == result.exit_code
    assert reported in result.stderr
    assert not Path(".data").exists()


def test_real_run_wants_a_source(runner: CliRunner) -> None:
    """With Buildr credentials no secret is made up: `run` says which one to set."""
    result = runner.invoke(cli, ["run"], env={"BUILDR_ACCESS_TOKEN": "real"})
    assert FAILED == result.exit_code
    assert "no source has a secret" in result.stderr


def test_demo_tells_of_a_call_of_the_sandbox() -> None:
    """The demo's call is one that the sandbox holds."""
    assert DEMO_CALL in seed_calls()


def test_tables_are_whole_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal nothing is cut, however wide, and nothing steers the terminal."""
    print_table(("id", "detail"), [("1", "x" * 300), ("22", "red\x1b[31m [bold]")], empty="None.")
    expected = ["id  detail", "1   " + "x" * 300, r"22  red\x1b[31m [bold]"]
    assert expected == capsys.readouterr().out.splitlines()


def test_empty_table_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is nothing to show, a sentence says so."""
    print_table(("id",), [], empty="Nothing has failed.")
    assert "Nothing has failed.\n" == capsys.readouterr().out


def test_json_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed as JSON is JSON, umlauts and all."""
    print_json({"name": "Müller", "none": None})
    assert {"name": "Müller", "none": None} == json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_process_ends_with_the_same_codes(tmp_path: Path) -> None:
    """As a process: 2 for wrong usage, 1 for a fault, and never a traceback."""
    for arguments, status in ((["nonsense"], WRONG_USAGE), (["status"], FAILED)):
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli.main", *arguments],
            cwd=tmp_path,
            env={**inherited("PATH", kind="command"), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (status, "") == (done.returncode, done.stdout)
        assert "Traceback" not in done.stderr


def _leaves(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, item in command.commands.items():
            yield from _leaves(item, f"{path} {name}".strip())
    else:
        yield path, command


def test_every_command_over_records_takes_an_account() -> None:
    """
    Whatever is read or written is an account's: only what runs the whole installation knows no
    --account; nothing knows two.
    """
    result = {
        path: [option for option in command.params if "--account" in option.opts]
        for path, command in _leaves(cli)
    }
    assert {"run", "serve", "work", "sandbox", "version", "init", "completion"} == {
        path for path, options in result.items() if not options
    }
    assert {1} == {len(options) for options in result.values() if options}


def test_every_name_of_the_table_is_that_of_its_command() -> None:
    """Each entry loads the command of its name."""
    assert list(COMMANDS) == [command.name for command in cli.commands.values()]


def _run_python(program: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env={**inherited("PATH", kind="command"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_loads_no_command() -> None:
    """The list of all commands reads neither settings nor Redis nor anything that they need."""
    program = (
        "import sys\n"
        "from workers.cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "print(*sys.modules)"
    )
    done = _run_python(program)
    modules = done.stdout.splitlines()[-1].split()
    assert set() == HEAVY & set(modules)
    ours = {name for name in modules if name.startswith(("service", "workers"))}
    assert {
        "service",
        "service.collector",
        "workers",
        "workers.cli",
        "workers.cli.command_table",
        "workers.cli.main",
        "workers.cli.module_on_use",
        "workers.cli.program",
    } == ours


def test_commands_load_only_what_they_use(tmp_path: Path) -> None:
    """Commands that read settings and records, as processes; Redis is not there."""
    for arguments in (["explain", "twilio:CA1"], ["calls"], ["failed", "list"], ["status"]):
        program = (
            "import sys\n"
            "from workers.cli.main import main\n"
            f"sys.argv[1:] = {arguments!r}\n"
            "try:\n"
            "    main()\n"
            "finally:\n"
            "    print('modules:', *sys.modules)"
        )
        done = _run_python(program, cwd=tmp_path)
        assert "Redis does not answer" in done.stderr
        modules = done.stdout.splitlines()[-1].split()
        assert {"pydantic", "redis"} <= set(modules)
        assert set() == UNUSED & set(modules)
        assert set() == {name for name in modules if name.startswith("jwt.")}


@pytest.mark.parametrize("command", ["serve", "work"])
def test_processes_do_without_what_prints_in_colours(tmp_path: Path, command: str) -> None:
    """Of what structlog would import, only because it is installed for tables."""
    program = (
        "import sys\n"
        "from workers.cli.main import main\n"
        f"sys.argv[1:] = [{command!r}]\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print('modules:', *sys.modules)"
    )
    done = _run_python(program, cwd=tmp_path)
    assert "must be set" in done.stderr or "no source has a secret" in done.stderr
    modules = done.stdout.splitlines()[-1].split()
    assert "structlog" in modules
    assert set() == {name for name in modules if name.split(".")[0] in {"rich", "pygments"}}


def test_the_collector_works_for_a_command() -> None:
    """It pauses while the command is loaded, and no longer."""
    program = (
        "import gc\n"
        "from service.collector import pause_collector\n"
        "from workers.cli.main import cli\n"
        "pause_collector()\n"
        "cli(['version'], standalone_mode=False)\n"
        "assert gc.isenabled()\n"
        "assert gc.get_freeze_count() > 0"
    )
    done = _run_python(program)
    assert (0, "") == (done.returncode, done.stderr)


def test_a_command_that_does_not_exist_names_the_nearest(runner: CliRunner) -> None:
    """A mistyped command is answered with the one that it may be."""
    assert "explain" in runner.invoke(cli, ["explan"]).stderr


def test_version_as_json(runner: CliRunner) -> None:
    """Programs read the version from JSON; people see the same."""
    printed = json.loads(runner.invoke(cli, ["version", "--json"]).stdout)
    assert {"buildr-calls", "python", "system"} == set(printed)
    assert f"python {printed['python']}" in runner.invoke(cli, ["version"]).stdout
