"""
`run`: the whole service on one machine, in the foreground, until Ctrl-C.

Redis, the sandbox in place of Buildr, the receiver and a worker, each a process of its own. Secrets
that nobody has set are made up for the run and reach the processes through their environment only.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct
from rich.text import Text

from service.logs.events import LogEvent
from service.settings import Installation, load_installation
from service.sources import SOURCES
from service.store.keys import DEFAULT_ACCOUNT
from workers.local.data_folder import (
    FolderLock,
    LocalRunError,
    local_values,
    make_private,
)
from workers.local.demo import Demo, sandbox_outcome
from workers.local.embedded_redis import EmbeddedRedis
from workers.local.programs import SANDBOX_HOST, check_port, local_host, process_spec, program
from workers.local.sandbox_command import NO_LIMIT, drop_token, sandbox_command
from workers.local.supervisor import Supervisor
from workers.local.terminal import Screen, read_line
from workers.sandbox.config import CLIENT_ID, CLIENT_SECRET

SANDBOX_ACCOUNT: Final = "sandbox"
SANDBOX_FOLDER: Final = "sandbox"
CHECK_REDIS_EVERY_S: Final = 1.0
REDIS_AGAIN_S: Final = 2.0
FAILED: Final = 1
# SIGHUP comes when the terminal is closed: Redis, in a session of its own, would go on unseen.
STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class RunOptions(Struct, frozen=True, kw_only=True):
    """
    What the command line asked for.

    `demo_call` is the Buildr call that the demo tells of, or None for no demo; with `is_once` the
    run ends after it. With `is_any_call` the sandbox is one for real traffic.
    """

    sandbox_port: int
    demo_call: str | None
    is_once: bool = False
    is_any_call: bool = False


class LocalRun:
    """One run; `settings` are those of the machine, before anything is made up."""

    def __init__(self, installation: Installation, options: RunOptions, screen: Screen) -> None:
        settings = installation.default
        self._installation: Final = installation
        self._settings: Final = settings
        self._options: Final = options
        self._screen: Final = screen
        # A sandbox beside accounts of the real Buildr would make one of them a simulation.
        self._has_sandbox: Final = not installation.has_buildr_credentials
        self._folder: Final = settings.data_dir.resolve()
        # What was delivered to a sandbox must never reach the real Buildr: each has a Redis of its
        # own.
        self._redis: Final = EmbeddedRedis(
            self._folder / SANDBOX_FOLDER if self._has_sandbox else self._folder
        )
        self._supervisor: Final = Supervisor(on_line=self._on_line, say=self._warn)
        self._demo: Demo | None = None
        self._call = "twilio:CA…"
        self._is_starting = True
        self.url: Final = f"http://{local_host(settings.host)}:{settings.port}"
        self.sandbox_url: Final = f"http://{SANDBOX_HOST}:{options.sandbox_port}"

    async def run(self) -> int:
        """
        Run until a signal comes, or with `is_once` until the demo is over; returns the exit status.

        Raises `LocalRunError` if something cannot be started; nothing is left running then.
        """
        is_stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in STOPS:
            loop.add_signal_handler(number, self._on_signal, is_stopping)
        try:
            async with AsyncExitStack() as stack:
                work = asyncio.create_task(self._work(stack))
                stopping = asyncio.create_task(is_stopping.wait())
                await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
                is_over = work.done()
                for task in (work, stopping):
                    task.cancel()
                await asyncio.wait({work, stopping})
                # From now on a signal means that somebody does not want to wait.
                is_stopping.set()
                self._is_starting = True
                return work.result() if is_over else 0
        finally:
            for number in STOPS:
                loop.remove_signal_handler(number)

    def _on_signal(self, is_stopping: asyncio.Event) -> None:
        if is_stopping.is_set():
            self._supervisor.kill()
            return
        is_stopping.set()
        self._screen.say(Text("\nStopping; Ctrl-C again ends everything at once.", "dim"))

    async def _work(self, stack: AsyncExitStack) -> int:
        make_private(self._folder)
        stack.enter_context(FolderLock(self._folder / "run.lock", name=f"`run` in {self._folder}"))
        self._check_ports()
        if self._settings.redis_url is None:
            await self._start_redis(stack)
        # Undone in reverse: the processes end before their Redis does.
        stack.push_async_callback(self._supervisor.stop)
        made_up = self._generated_settings()
        environment = {**os.environ, **made_up, **self._for_children()}
        left: dict[str, str | int] = {"host": self._settings.host, "port": self._settings.port}
        left.update((name.lower(), value) for name, value in made_up.items())
        stack.enter_context(local_values(self._folder, left))
        await self._start_parts(environment)
        self._print_summary(made_up)
        is_delivered = await self._run_demo(load_installation(environment))
        self._is_starting = False
        if self._options.is_once:
            return 0 if is_delivered else FAILED
        self._say_what_next()
        await asyncio.Event().wait()
        return 0

    def _generated_settings(self) -> dict[str, str]:
        """Settings that nobody has set, by the names of their variables."""
        values = {} if self._settings.redis_url is not None else {"REDIS_URL": self._redis.url}
        if not self._has_sandbox:
            return values
        if self._settings.account == DEFAULT_ACCOUNT:
            # Apart from what waits for the real Buildr, should it lie in the same Redis.
            values["ACCOUNT"] = SANDBOX_ACCOUNT
        values |= {
            "BUILDR_API_URL": f"{self.sandbox_url}/api/2023-01",
            "BUILDR_TOKEN_URL": f"{self.sandbox_url}/oauth/token",
            "BUILDR_CLIENT_ID": CLIENT_ID,
            "BUILDR_CLIENT_SECRET": CLIENT_SECRET,
        }
        if self._options.is_any_call:
            values["BUILDR_BUDGETS"] = NO_LIMIT
        for slug, source in SOURCES.items():
            # Its first setting is the one that turns it on.
            if not self._settings.secrets_of(slug):
                values[source.settings[0].name.upper()] = source.settings[0].generate()
        for name, value in (
            ("ADMIN_TOKEN", self._settings.admin_token),
            ("CONSOLE_TOKEN", self._settings.console_token),
            ("URL_SECRET", self._settings.url_secret),
        ):
            if not value:
                values[name] = secrets.token_hex(16)
        return values

    def _for_children(self) -> dict[str, str]:
        return {
            "PORT": str(self._settings.port),
            "DATA_DIR": str(self._folder),
            # The steps are read from the log; what is shown of them is chosen here.
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "debug" if self._settings.log_level == "debug" else "info",
            "PYTHONUNBUFFERED": "1",
        }

    def _check_ports(self) -> None:
        ports = [(self._settings.host, self._settings.port, "--port")]
        if self._has_sandbox:
            ports.append((SANDBOX_HOST, self._options.sandbox_port, "--sandbox-port"))
        if len({port for _, port, _ in ports}) < len(ports):
            raise LocalRunError(
                f"receiver and sandbox cannot both have port {self._settings.port}: choose another "
                "with --sandbox-port"
            )
        for host, port, option in ports:
            check_port(host, port, option=option)

    async def _start_redis(self, stack: AsyncExitStack) -> None:
        stack.callback(self._redis.stop)
        await asyncio.to_thread(self._redis.start)
        keeper = asyncio.create_task(self._keep_redis())
        stack.callback(keeper.cancel)

    async def _keep_redis(self) -> None:
        while True:
            await asyncio.sleep(CHECK_REDIS_EVERY_S)
            if self._redis.pid is None:
                self._warn("Redis ended; it is started again")
                self._redis.stop()
                try:
                    await asyncio.to_thread(self._redis.start)
                except LocalRunError as err:
                    self._warn(str(err))
                    await asyncio.sleep(REDIS_AGAIN_S)

    async def _start_parts(self, environment: Mapping[str, str]) -> None:
        part = partial(process_spec, environment=environment)
        first = [part("receiver", "serve", ready_url=f"{self.url}/readyz")]
        if self._has_sandbox:
            port = self._options.sandbox_port
            config = self._settings.outcome_config
            command = sandbox_command(port, config, is_any_call=self._options.is_any_call)
            url = f"{self.sandbox_url}/_sandbox/state"
            first.insert(0, part("sandbox", *command, ready_url=url))
            await drop_token(load_installation(environment).default)
        await self._supervisor.start(*first)
        # After the sandbox, because a worker asks Buildr for the names of the outcomes first.
        await self._supervisor.start(
            part("worker", "work", ready_text=f'"{LogEvent.WORKER_STARTED}"')
        )

    def _print_summary(self, made_up: Mapping[str, str]) -> None:
        rows = {
            "receiver": self.url,
            "Buildr": self._settings.buildr_api_url,
            "Redis": "REDIS_URL",
            "data": str(self._folder),
        }
        if self._has_sandbox:
            rows["Buildr"] = f"{self.sandbox_url} (sandbox, because no Buildr credentials are set)"
        if self._settings.redis_url is None:
            rows["Redis"] = "private, on a unix socket"
        elif self._has_sandbox:
            rows["Redis"] = "REDIS_URL, apart from what waits there for Buildr"
        if "CONSOLE_TOKEN" in made_up:
            rows["console"] = f"{self.url}/console, token {made_up['CONSOLE_TOKEN']}"
        self._screen.say(Text("buildr-calls runs. Ctrl-C stops it.", "bold"))
        if self._installation.others:
            rows["accounts"] = ", ".join(self._installation.account_names)
        for name, value in rows.items():
            self._screen.say(Text.assemble((f"  {name:<9} ", "cyan"), value))

    async def _run_demo(self, installation: Installation) -> bool:
        if self._options.demo_call is None or not installation.is_default_active:
            return True
        held_call = partial(sandbox_outcome, self.sandbox_url) if self._has_sandbox else None
        self._demo = Demo(
            settings=installation.default,
            url=self.url,
            buildr_call_id=self._options.demo_call,
            screen=self._screen,
            held_call=held_call,
        )
        try:
            return await self._demo.run()
        finally:
            self._call = f"twilio:{self._demo.source_call_id}"
            self._demo = None

    def _say_what_next(self) -> None:
        program_call = program()
        if self._settings.data_dir != Path(".data"):
            program_call = f"DATA_DIR={self._settings.data_dir} {program_call}"
        self._screen.say()
        self._screen.say(Text("Try next, in another terminal:", "bold"))
        # Where the default account is inactive, a command has to name another.
        account = ""
        if not self._installation.is_default_active:
            account = f" --account {self._installation.account_names[0]}"
        for command in (
            f"explain {self._call}{account}",
            f"trigger twilio no-answer --set buildr_call_id=111{account}",
            f"trigger twilio inbound-missed{account}",
            f"unmatched list{account}",
            f"links set twilio CA… 112{account}",
            f"failed list{account}",
            f"status{account}",
            "check",
        ):
            self._screen.say(f"  {program_call} {command}")
        self._screen.say()

    def _on_line(self, part: str, text: str) -> None:
        line = read_line(part, text)
        if self._demo is not None and self._demo.takes(line):
            return
        # Starting and stopping is the usual case, and printed in a line of our own.
        if not (self._is_starting and line.level in ("debug", "info")):
            self._screen.show(line)

    def _warn(self, text: str) -> None:
        self._screen.say(Text(text, "yellow"))
