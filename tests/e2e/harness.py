"""
The whole service as processes of their own, on free ports, for tests that send real requests and
kill real workers.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from standardwebhooks.webhooks import Webhook
from twilio.request_validator import RequestValidator

from tests.e2e.preloaded import COVERAGE_VARIABLE, PreloadedProcess
from tests.measuring import (
    MEASURED_PROCESSES,
    PLAIN_PROCESSES,
    count_process,
    is_process_measured,
)

WAIT_TIMEOUT_S = 40
STOP_TIMEOUT_S = 15
COMMAND = ("-m", "workers.cli.main")
# With these a receiver starts itself again.
RESTARTING = frozenset({"--processes", "--reload-on"})
# Set by pytest. Benchmarks start every part as a user does.
IN_TESTS = "PYTEST_CURRENT_TEST"
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


def inherited(*names: str, kind: str) -> dict[str, str]:
    """
    Some variables of this process for one that it starts, and the one by which its coverage is
    measured, unless enough processes of its kind were.
    """
    if is_process_measured(kind):
        names = (*names, COVERAGE_VARIABLE)
    return _of_this_process(*names)


def _of_this_process(*names: str) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(holds: Callable[[], bool], *, goal: str, timeout_s: float = WAIT_TIMEOUT_S) -> None:
    """Wait until something holds, or fail saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for {goal}")
        time.sleep(0.02)


def call_sid(number: int) -> str:
    """A Twilio call id."""
    return f"CA{number:032x}"


def twilio_forms(number: int, *, status: str = "completed", **last: str) -> list[dict[str, str]]:
    """
    The status callbacks of an outbound call, in order: four if it completed, else three.

    `last` overrides fields of the last one.
    """
    common = {
        "AccountSid": "AC00000000000000000000000000000001",
        "ApiVersion": "2010-04-01",
        "CallSid": call_sid(number),
        "CallbackSource": "call-progress-events",
        "Direction": "outbound-api",
        "From": "+15005550006",
        "To": "+15005550001",
        "ToCity": "",
    }
    statuses = ["initiated", "ringing", status]
    duration_s = 0
    if status == "completed":
        statuses.insert(2, "in-progress")
        duration_s = 49
    forms = [
        {
            **common,
            "CallStatus": value,
            "SequenceNumber": str(place),
            "Timestamp": f"Mon, 02 Nov 2026 10:00:0{place} +0000",
        }
        for place, value in enumerate(statuses)
    ]
    forms[-1] |= {
        "CallDuration": str(duration_s),
        "Timestamp": "Mon, 02 Nov 2026 10:00:52 +0000",
        **last,
    }
    return forms


def standard_bodies(number: int) -> list[dict[str, object]]:
    """The messages of an outbound call of the standard source that nobody answered, in order."""
    steps: list[tuple[str, dict[str, object]]] = [
        ("call.ringing", {}),
        ("call.updated", {"agent": "ana"}),
        ("call.ended", {"hangup_cause": "no_answer"}),
    ]
    return [
        {
            "version": "1",
            "type": event_type,
            "call_id": f"pbx-{number}",
            "occurred_at": f"2026-11-02T10:00:0{place}Z",
            "sequence": place,
            "direction": "outbound",
            "from": "+15005550006",
            "to": "+15005550001",
            "buildr_call_id": str(2000 + number),
            **fields,
        }
        for place, (event_type, fields) in enumerate(steps)
    ]


@dataclass
class System:
    """Receiver, workers and sandbox over one Redis. Each part writes its log to a file."""

    folder: Path
    redis_url: str
    twilio_token: str
    standard_secret: str
    extra: Mapping[str, str] = field(default_factory=dict)
    sandbox_args: tuple[str, ...] = ("--auto-create",)
    parts: dict[str, subprocess.Popen[bytes] | PreloadedProcess] = field(default_factory=dict)

    # Those whose coverage is measured: it is written when they end in order.
    measured: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.sandbox_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.sandbox_url = f"http://127.0.0.1:{self.sandbox_port}"
        self.http = httpx.Client(timeout=10)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of every part."""
        return {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "PUBLIC_URL": "https://hooks.example.test",
            "PORT": str(self.port),
            "REDIS_URL": self.redis_url,
            "TWILIO_AUTH_TOKEN": self.twilio_token,
            "STANDARD_SECRET": self.standard_secret,
            "ADMIN_TOKEN": "admin-token-of-the-tests",
            "BUILDR_API_URL": f"{self.sandbox_url}/api/2023-01",
            "BUILDR_TOKEN_URL": f"{self.sandbox_url}/oauth/token",
            "BUILDR_CLIENT_ID": "sandbox-client",
            "BUILDR_CLIENT_SECRET": "sandbox-secret",
            "SETTLE_S": "0.5",
            # The times of some calls are fixed, and must never be too old.
            "KEEP_CALLS_D": "36500",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "debug",
            "DATA_DIR": str(self.folder),
            **self.extra,
        }

    def start(
        self, name: str, *arguments: str, program: tuple[str, ...] = COMMAND, **extra: str
    ) -> None:
        """
        Start one part; `name` tells its log from others'.

        In tests, only the first ones of a kind are started as a user starts them.
        """
        log_path = self.folder / f"{name}.log"
        env = {**self.environment, **extra}
        count = count_process(arguments[0])
        self.measured.discard(name)
        if count <= MEASURED_PROCESSES and COVERAGE_VARIABLE in os.environ:
            env |= _of_this_process(COVERAGE_VARIABLE)
            self.measured.add(name)
        is_usual = program == COMMAND and not RESTARTING.intersection(arguments)
        if IN_TESTS in os.environ and is_usual and count > PLAIN_PROCESSES:
            self.parts[name] = PreloadedProcess(arguments, env=env, log=log_path)
            return
        with log_path.open("ab") as log:
            self.parts[name] = subprocess.Popen(
                [sys.executable, *program, *arguments],
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_all(self, *, workers: int = 1) -> None:
        """Start sandbox, receiver and workers, and wait until each is ready."""
        self.start_sandbox()
        self.start("receiver", "serve")
        for number in range(workers):
            self.start_worker(f"worker{number}")
        wait_for(lambda: self._answers(f"{self.url}/readyz"), goal="the receiver")
        for number in range(workers):
            self.wait_for_worker(f"worker{number}")

    def start_sandbox(self) -> None:
        """Start the sandbox alone, and wait until it is ready."""
        self.start("sandbox", "sandbox", "--port", str(self.sandbox_port), *self.sandbox_args)
        wait_for(lambda: self._answers(f"{self.sandbox_url}/_sandbox/state"), goal="the sandbox")

    def start_worker(self, name: str) -> None:
        """Start one worker."""
        self.start(name, "work")

    def start_skewed_worker(self, name: str, skew_s: str) -> None:
        """Start a worker whose clock is so many seconds ahead."""
        program = ("-m", "tests.faults.skewed_part")
        root = Path(__file__).parents[2]
        self.start(name, "work", program=program, SKEW_S=skew_s, PYTHONPATH=str(root))

    def wait_for_worker(self, name: str, *, times: int = 1) -> None:
        """Wait until a worker has reported so often that it has started."""
        wait_for(lambda: self.log(name).count('"worker.started"') >= times, goal=f"{name} to start")

    def log(self, name: str) -> str:
        """Everything that a part has logged."""
        path = self.folder / f"{name}.log"
        if not path.exists():
            return ""
        return path.read_text(encoding="utf-8", errors="replace")

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """End one part and wait for it; returns its exit status."""
        process = self.parts.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, how)
        return process.wait(timeout=WAIT_TIMEOUT_S)

    def stop(self) -> None:
        """End every part, those that are measured in order."""
        last = [self.parts[name] for name in self.measured.intersection(self.parts)]
        for process in last:
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError, subprocess.TimeoutExpired):
            for process in last:
                process.wait(timeout=STOP_TIMEOUT_S)
        for name in list(self.parts):
            self.kill(name)
        self.http.close()

    def twilio(
        self, form: Mapping[str, str], *, query: str = "", account: str = ""
    ) -> httpx.Response:
        """Send a webhook signed by Twilio's own SDK, to the default account or a named one."""
        path = "/webhooks/twilio"
        if account:
            path = f"/webhooks/{account}/twilio"
        if query:
            path += f"?{query}"
        signature = RequestValidator(self.twilio_token).compute_signature(
            f"https://hooks.example.test{path}", dict(form)
        )
        return self.http.post(
            self.url + path, data=dict(form), headers={"X-Twilio-Signature": signature}
        )

    def takes(self, form: Mapping[str, str], query: str) -> bool:
        """
        Send a Twilio webhook; whether it was taken, also by a receiver that is only just starting.
        """
        try:
            return self.twilio(form, query=query).is_success
        except httpx.TransportError:
            return False

    def standard(
        self, body: Mapping[str, object], *, message_id: str, at: float | None = None
    ) -> httpx.Response:
        """Send a webhook signed by the Standard Webhooks library."""
        moment = datetime.fromtimestamp(at or time.time(), UTC)
        text = json.dumps(body)
        signature = Webhook(self.standard_secret).sign(message_id, moment, text)
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": signature,
            "content-type": "application/json",
        }
        return self.http.post(f"{self.url}/webhooks/standard", content=text, headers=headers)

    def buildr_call(self, call_id: str) -> dict[str, object]:
        """A call as the sandbox holds it."""
        result: dict[str, object] = self.http.get(
            f"{self.sandbox_url}/_sandbox/calls/{call_id}"
        ).json()["call"]
        return result

    def patches(self) -> list[dict[str, object]]:
        """The PATCH requests that the sandbox has received, in order."""
        result = self.http.get(f"{self.sandbox_url}/_sandbox/requests").json()["requests"]
        return [item for item in result if item["method"] == "PATCH"]

    def fault(self, **fault: object) -> None:
        """Let the sandbox misbehave."""
        self.http.post(f"{self.sandbox_url}/_sandbox/faults", json=fault).raise_for_status()

    def _answers(self, url: str) -> bool:
        try:
            return self.http.get(url).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
