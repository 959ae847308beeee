"""
The receiver as a process.
"""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.errors import SettingsError
from service.receiver.server import check_serving
from service.settings import Installation
from tests.conftest import STANDARD_SECRET
from tests.e2e.harness import inherited

SERVE = (
    "import os; from service.receiver.server import serve; "
    "from service.settings import load_installation; serve(load_installation(os.environ))"
)
# The head of a request whose signature has the right shape, without what ends it.
UNPROVED = (
    b"POST /webhooks/standard HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"webhook-id: a\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,eA==\r\n"
)


def _environment(redis_url: str, port: int, folder: Path, **more: str) -> dict[str, str]:
    settings = {
        "PORT": str(port),
        "REDIS_URL": redis_url,
        "STANDARD_SECRET": STANDARD_SECRET,
        "BUILDR_ACCESS_TOKEN": "token-of-the-tests",
        "DATA_DIR": str(folder),
    }
    return {**inherited("PATH", "HOME", "PYTHONPATH", kind="serve"), **settings, **more}


@contextmanager
def _serving(environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A receiver of its own; killed if it does not end by itself."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    watchdog = threading.Timer(30, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read_until(process: "subprocess.Popen[str]", text: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"{text} is not in {lines} {process.stderr and process.stderr.read()}")


@pytest.mark.slow
def test_serves_until_signalled_and_logs_json_only(redis_url: str, tmp_path: Path) -> None:
    """
    A receiver answers, writes nothing but JSON lines, tells nobody what it runs on, and ends
    cleanly.
    """
    port = _free_port()
    with _serving(_environment(redis_url, port, tmp_path)) as process:
        lines = _read_until(process, "service.started")
        ready = httpx.get(f"http://127.0.0.1:{port}/readyz")
        refused = httpx.post(f"http://127.0.0.1:{port}/webhooks/standard", json={})
        missing = httpx.get(f"http://127.0.0.1:{port}/nowhere?phone=%2B15005550006")
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=20)
    assert [200, 401, 404] == [response.status_code for response in (ready, refused, missing)]
    assert "server" not in ready.headers
    assert "" == errors
    events = [json.loads(line)["event"] for line in (*lines, *rest.splitlines())]
    assert {"service.started", "message.rejected", "service.stopped"} <= set(events)
    assert 1 == events.count("message.rejected")
    assert not any("5550006" in event for event in events)
    assert process.returncode in {0, -signal.SIGTERM}


@pytest.mark.slow
def test_too_large_and_broken_requests_over_a_real_socket(redis_url: str, tmp_path: Path) -> None:
    """
    Size limits hold for announced and for chunked bodies, and a sender that leaves in the middle
    leaves no traceback.
    """
    port = _free_port()
    with _serving(
        _environment(redis_url, port, tmp_path, MAX_BODY_BYTES="100000", BODY_TIMEOUT_S="1")
    ) as process:
        lines = _read_until(process, "service.started")
        url = f"http://127.0.0.1:{port}/webhooks/standard"
        headers = {"content-type": "application/json"}
        announced = httpx.post(url, content=b"x" * 3_000_000, headers=headers)
        with socket.create_connection(("127.0.0.1", port)) as gone:
            gone.sendall(UNPROVED + b"Content-Length: 10\r\n\r\nabc")
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(UNPROVED + b"Content-Length: 10\r\n\r\nabc")
            late = slow.makefile("rb").read()
        with socket.create_connection(("127.0.0.1", port)) as chunked:
            head = UNPROVED + b"Transfer-Encoding: chunked\r\n\r\n"
            chunked.sendall(head + b"186a1\r\n" + b"x" * 100_001)
            large = chunked.makefile("rb").read()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert 413 == announced.status_code
    assert late.startswith(b"HTTP/1.1 408 ")
    assert large.startswith(b"HTTP/1.1 413 ")
    assert "" == errors
    entries = [json.loads(line) for line in (*lines, *rest.splitlines())]
    assert not [entry for entry in entries if "exception" in entry]
    reasons = [entry["reason"] for entry in entries if entry["event"] == "message.rejected"]
    assert 4 == len(reasons)
    assert "the sender closed the connection" in reasons
    assert 0 == process.returncode


@pytest.mark.slow
def test_taken_port_is_one_clear_line(redis_url: str, tmp_path: Path) -> None:
    """
    A port that is taken is named, with the way to choose another, and nothing else is printed.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _serving(_environment(redis_url, port, tmp_path)) as process:
            output, errors = process.communicate(timeout=20)
    assert (1, "") == (process.returncode, output)
    assert (
        f"buildr-calls: cannot listen on 127.0.0.1 port {port}: Address already in use. Choose "
        "another with HOST and PORT.\n" == errors
    )


@pytest.mark.slow
def test_missing_credentials_are_a_warning_of_a_receiver(redis_url: str, tmp_path: Path) -> None:
    """
    A receiver alone may take messages before there are credentials: nothing is lost, and its log
    says what they wait for.
    """
    with _serving(
        _environment(redis_url, _free_port(), tmp_path, BUILDR_ACCESS_TOKEN="")
    ) as process:
        lines = _read_until(process, "service.started")
    assert ["service.no_credentials"] == [
        json.loads(line)["event"] for line in lines if json.loads(line)["level"] == "warning"
    ]


def test_receiver_without_any_secret_does_not_start(
    make_installation: Callable[..., Installation],
) -> None:
    """A receiver that could accept nothing says which settings are missing."""
    with pytest.raises(SettingsError, match="like TWILIO_AUTH_TOKEN"):
        check_serving(make_installation(TWILIO_AUTH_TOKEN="", STANDARD_SECRET=""))
    check_serving(make_installation(TWILIO_AUTH_TOKEN=""))


def test_receiver_starts_where_only_a_named_account_receives(
    make_installation: Callable[..., Installation], tmp_path: Path
) -> None:
    """The source of any account is enough, also where the default account is not set up."""
    (tmp_path / "buildr-calls.toml").write_text(
        '[accounts.acme]\nbuildr_access_token = "a"\ntwilio_auth_token = "fake-token-of-tests"\n',
        encoding="utf-8",
    )
    check_serving(
        make_installation(TWILIO_AUTH_TOKEN="", STANDARD_SECRET="", BUILDR_ACCESS_TOKEN="")
    )


def test_account_that_could_not_deliver_keeps_the_receiver_from_starting(
    make_installation: Callable[..., Installation], tmp_path: Path
) -> None:
    """
    Every account whose webhooks nobody could deliver is named with the cure, and so is a table that
    is empty.
    """
    (tmp_path / "buildr-calls.toml").write_text(
        '[accounts.acme]\ntwilio_auth_token = "fake-token-of-the-tests"\n[accounts.beta]\n'
        '[accounts.well]\nbuildr_access_token = "b"\n',
        encoding="utf-8",
    )
    with pytest.raises(SettingsError) as caught:
        check_serving(make_installation())
    assert 2 == len(caught.value.faults)
    first, second = caught.value.faults
    assert first.startswith(
        "account acme: it has source secrets but no Buildr credentials, so that webhooks would be "
        "taken that nobody"
    )
    assert first.endswith("in [accounts.acme]")
    assert second.startswith("account beta: it has neither")


def test_settle_time_of_an_unknown_source_keeps_the_receiver_from_starting(
    make_installation: Callable[..., Installation], tmp_path: Path
) -> None:
    """
    A settle time for a source that does not exist is reported once, and under the account that
    sets another one.
    """
    (tmp_path / "buildr-calls.toml").write_text(
        '[accounts.heir]\nbuildr_access_token = "a"\n'
        '[accounts.own]\nbuildr_access_token = "b"\nsettle_s = "1, voice=2"\n',
        encoding="utf-8",
    )
    with pytest.raises(SettingsError) as caught:
        check_serving(make_installation(SETTLE_S="2, twilo=0"))
    assert "SETTLE_S: there is no source twilo; did you mean twilio?" == caught.value.faults[0]
    assert caught.value.faults[1].startswith(
        "account own: SETTLE_S: there is no source voice; the sources are "
    )
    assert 2 == len(caught.value.faults)
