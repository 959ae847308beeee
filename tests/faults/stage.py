"""
A trial's surroundings: processes, Redis, proxies and the sandbox's state, in a folder of its own.
"""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from tests.faults.calls import SimulatedCall
from tests.faults.http_client import Answer, HttpClient
from tests.faults.parts import Command, Parts, ports
from tests.faults.proxy import Proxy
from tests.faults.redis_process import RedisProcess
from tests.faults.scenario import Layout, Scenario, Via
from tests.faults.sentinel import SentinelTrio
from tests.faults.signing import (
    DIALPAD_SECRET,
    PUBLIC_URL,
    STANDARD_SECRET,
    TWILIO_TOKEN,
    ZOOM_SECRET,
)

START_TIMEOUT_S: Final = 60
ADMIN_TOKEN: Final = "admin-token-of-the-tests"
SMALL_DISK: Final = "64m"
# Far above what is sent, so that a trial measures faults and not Buildr's limit.
WIDE_BUDGET: Final = "2000/1s"
OK: Final = 200


@dataclass(slots=True)
class Stage:
    """Everything around one scenario."""

    scenario: Scenario
    folder: Path
    redis: RedisProcess = field(init=False)
    parts: Parts = field(init=False)
    proxies: dict[Via, Proxy] = field(init=False, default_factory=dict)
    sentinels: SentinelTrio | None = field(init=False, default=None)
    receiver_ports: list[int] = field(init=False)
    # When something was done to which process, for messages that were in its hands.
    blows: list[float] = field(init=False, default_factory=list)
    fault_ended_at: float = field(init=False, default=0)
    _listener: socket.socket | None = field(init=False, default=None)
    _sandbox_port: int = field(init=False)
    _numbers: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = list(islice(ports(), 24))
        layout = self.layout
        redis_folder = self.folder / "redis"
        redis_folder.mkdir(parents=True)
        if layout.redis_on_small_disk:
            mount(redis_folder)
        self.redis = RedisProcess(
            redis_folder, self._port(), has_own_clock=layout.redis_has_own_clock
        )
        if layout.has_sentinel:
            trio_ports = [self._port() for _ in range(6)]
            self.sentinels = SentinelTrio(self.folder, trio_ports)
        self._sandbox_port = self._port()
        self.receiver_ports = [self._port() for _ in range(layout.receivers)]
        if layout.holds_socket:
            self._listener = socket.create_server(
                ("127.0.0.1", self.receiver_ports[0]), backlog=2048
            )
        targets = {
            Via.REDIS: [self.redis.port],
            Via.BUILDR: [self._sandbox_port],
            Via.RECEIVER: self.receiver_ports,
        }
        for via in sorted(layout.via):
            self.proxies[via] = Proxy(self._port(), targets[via])
        self.parts = Parts(self.folder, self._settings())

    @property
    def layout(self) -> Layout:
        """The layout of the scenario."""
        return self.scenario.layout

    @property
    def public_ports(self) -> Sequence[int]:
        """Where senders send to."""
        proxy = self.proxies.get(Via.RECEIVER)
        if proxy is not None:
            return [proxy.port]
        return self.receiver_ports

    @property
    def receivers(self) -> list[str]:
        """The names of the receivers."""
        return [f"receiver{place}" for place in range(self.layout.receivers)]

    @property
    def workers(self) -> list[str]:
        """The names of the workers."""
        return [f"worker{place}" for place in range(self.layout.workers)]

    async def start(self) -> None:
        """Start every part and wait until each is ready."""
        for proxy in self.proxies.values():
            await proxy.start()
        if self.sentinels is not None:
            await self.sentinels.start()
        elif not self.layout.starts_without_redis:
            await self.redis.start()
        self.parts.start("sandbox", Command(arguments=self._sandbox_arguments()))
        await self._until_answers(self._sandbox_port, "/_sandbox/state")
        for place, name in enumerate(self.receivers):
            self.parts.start(name, self._receiver(place))
        for name in self.workers:
            self.parts.start(
                name,
                Command(
                    arguments=("work",),
                    # Its start shows in its log only.
                    settings={"LOG_LEVEL": "info"},
                    clock_offset_s=self.layout.worker_clock_s,
                ),
            )
        for port in self.receiver_ports:
            await self.until_receiver_ready(port)
        if not self.layout.starts_without_redis:
            for name in self.workers:
                await self.until_worker_started(name, times=1)
        self.parts.watch()

    async def close(self) -> None:
        """End everything and remove what it left."""
        await self.parts.close()
        await self.redis.kill()
        if self.sentinels is not None:
            await self.sentinels.close()
        for proxy in self.proxies.values():
            await proxy.close()
        if self._listener is not None:
            self._listener.close()
        if self.layout.redis_on_small_disk:
            unmount(self.folder / "redis")

    async def until_receiver_ready(self, port: int) -> None:
        """Wait until a receiver takes messages."""
        path = "/readyz"
        if self.layout.starts_without_redis:
            path = "/healthz"
        await self._until_answers(port, path)

    async def until_worker_started(self, name: str, *, times: int) -> None:
        """Wait until a worker has written so often that it has started."""
        await self.until(lambda: self.parts.log_count(name, "worker.started") >= times, goal=name)

    async def link(self, calls: Sequence[SimulatedCall]) -> None:
        """Tell the service which calls of a source are which in Buildr."""
        client = HttpClient(self.receiver_ports[0], keeps=True)
        for call in calls:
            path = f"/links/{call.kind.source}/{call.source_call_id}"
            body = json.dumps({"buildr_call_id": call.buildr_call_id}).encode()
            headers = {
                "authorization": f"Bearer {ADMIN_TOKEN}",
                "content-type": "application/json",
            }
            answer = await client.request("PUT", path, headers=headers, body=body)
            if answer.status >= 300 or not answer.status:
                raise RuntimeError(f"no link was set: {answer.status} {answer.body[:200]!r}")
        client.close()

    async def sandbox(self, method: str, path: str, body: object = None) -> object:
        """Ask the sandbox something that is not Buildr's. Raises `RuntimeError`."""
        answer = await self._ask_sandbox(method, path, body)
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"the sandbox answers {answer.status} {answer.ending} to {path}")
        if not answer.body:
            return None
        result: object = json.loads(answer.body)
        return result

    async def _ask_sandbox(self, method: str, path: str, body: object) -> Answer:
        text = b""
        if body is not None:
            text = json.dumps(body).encode()
        client = HttpClient(self._sandbox_port)
        return await client.request(method, f"/_sandbox{path}", body=text, timeout_s=60)

    def blow(self) -> None:
        """Write down that something has just been broken."""
        self.blows.append(time.time())

    def _port(self) -> int:
        return self._numbers.pop()

    def _receiver(self, place: int) -> Command:
        arguments = ["serve", *self.layout.serve_options]
        if self._listener is not None:
            arguments += ["--fd", str(self._listener.fileno())]
        if self.layout.processes is not None:
            arguments += ["--processes", str(self.layout.processes)]
        return Command(
            arguments=tuple(arguments),
            settings={"PORT": str(self.receiver_ports[place])},
            listener=self._listener,
            clock_offset_s=self.layout.receiver_clock_s,
            has_stuck_log=self.layout.has_stuck_log,
            max_files=self.layout.max_files,
        )

    def _sandbox_arguments(self) -> tuple[str, ...]:
        arguments = ["sandbox", "--port", str(self._sandbox_port), "--auto-create"]
        if self.layout.sandbox_limit is None:
            return (*arguments, "--limit-mode", "off", "--requests", "2000", "--window", "1")
        requests, window_s = self.layout.sandbox_limit
        return (*arguments, "--requests", str(requests), "--window", str(window_s))

    def _settings(self) -> Mapping[str, str]:
        redis_port = self.redis.port
        if Via.REDIS in self.proxies:
            redis_port = self.proxies[Via.REDIS].port
        redis_url = f"redis://127.0.0.1:{redis_port}/0"
        if self.sentinels is not None:
            redis_url = self.sentinels.url
        buildr_port = self._sandbox_port
        if Via.BUILDR in self.proxies:
            buildr_port = self.proxies[Via.BUILDR].port
        settings = {
            "PUBLIC_URL": PUBLIC_URL,
            "REDIS_URL": redis_url,
            "TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
            "STANDARD_SECRET": STANDARD_SECRET,
            "DIALPAD_WEBHOOK_SECRET": DIALPAD_SECRET,
            "ZOOM_SECRET_TOKEN": ZOOM_SECRET,
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "BUILDR_API_URL": f"http://127.0.0.1:{buildr_port}/api/2023-01",
            "BUILDR_TOKEN_URL": f"http://127.0.0.1:{buildr_port}/oauth/token",
            "BUILDR_CLIENT_ID": "sandbox-client",
            "BUILDR_CLIENT_SECRET": "sandbox-secret",
            "BUILDR_BUDGETS": WIDE_BUDGET,
            "BUILDR_TIMEOUT_S": "4",
            "SETTLE_S": "0.5",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "info",
            "DATA_DIR": str(self.folder / "data"),
            **self.scenario.settings,
        }
        if self.scenario.config:
            path = self.folder / "buildr-calls.toml"
            path.write_text(self.scenario.config, encoding="utf-8")
            settings["CONFIG"] = str(path)
        return settings

    async def _until_answers(self, port: int, path: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_TIMEOUT_S
        client = HttpClient(port)
        while (await client.request("GET", path, timeout_s=5)).status != OK:
            if loop.time() > deadline:
                raise RuntimeError(f"nothing answers {path} on port {port}")
            await asyncio.sleep(0.05)

    async def until(
        self, holds: Callable[[], bool], *, goal: str, timeout_s: float = START_TIMEOUT_S
    ) -> None:
        """Wait until something holds. Raises `RuntimeError` if it takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not holds():
            if loop.time() > deadline:
                raise RuntimeError(f"waited in vain for {goal}")
            await asyncio.sleep(0.05)


def mount(folder: Path) -> None:
    """Put a small disk of its own under a folder. Raises `CalledProcessError` without the right."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(folder)],
        check=True,
        capture_output=True,
    )


def unmount(folder: Path) -> None:
    """Take it away again, if it is there."""
    if not folder.is_mount():
        return
    subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def can_mount(folder: Path) -> bool:
    """Whether this machine lets us have a small disk."""
    place = folder / "try"
    place.mkdir()
    try:
        mount(place)
    except (subprocess.CalledProcessError, OSError):
        return False
    finally:
        with contextlib.suppress(OSError):
            unmount(place)
        shutil.rmtree(place, ignore_errors=True)
    return True
