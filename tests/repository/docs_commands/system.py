"""
A whole installation in this process, on which the commands of a page are run as its reader would.

Receiver and Buildr's sandbox listen on loopback, a worker runs what is due, over a real Redis. All
telephony systems are on, in the default account; `acme` is a second account.
"""

import asyncio
import secrets
import shlex
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from click.testing import CliRunner
from msgspec import Struct
from redis import Redis
from structlog.testing import capture_logs

from service.receiver.app import create_app
from service.settings import load_installation
from service.sources import SOURCES
from tests.doubles.threads import in_thread
from tests.doubles.vendors.serving import running
from tests.doubles.worker_loop import worker_loop
from tests.e2e.harness import wait_for
from workers.cli.main import cli
from workers.cli.program import PROGRAM
from workers.sandbox import SandboxConfig, create_sandbox

HOST: Final = "https://calls.example.com"
TOKEN: Final = "sandbox-token"
ACCOUNTS: Final = ("default", "acme")
# A retry comes later than this: nothing that is due sooner is left when a command is run.
REST_S: Final = 5.0
UP_S: Final = 20.0


class Done(Struct, frozen=True, kw_only=True):
    """
    What a command did: exit code, or status of an answer, and what it printed; `exception` is the
    one with which it has ended, if that is a bug.
    """

    code: int
    output: str
    exception: BaseException | None = None


class ShownSystem:
    """The installation; `variables` are its settings, and may be added to."""

    def __init__(self, folder: Path, variables: dict[str, str], sandbox_url: str) -> None:
        self.folder: Final = folder
        self.variables: Final = variables
        self.sandbox_url: Final = sandbox_url
        self.url: Final = f"http://{variables['HOST']}:{variables['PORT']}"

    def run(self, *arguments: str, **more: str) -> Done:
        """
        Run a command of the program, in the current folder, with `more` settings; what it asks is
        agreed to.
        """
        environment = self.variables | more
        result = in_thread(
            lambda: CliRunner().invoke(
                cli, list(arguments), env=environment, input="y\n", prog_name=PROGRAM
            )
        )
        exception = result.exception
        if isinstance(exception, SystemExit):
            exception = None
        output = result.output if exception is None else f"{result.output}{exception!r}"
        return Done(code=result.exit_code, output=output, exception=exception)

    def run_line(self, line: str) -> Done:
        """The same, from a line; fails if the command does."""
        done = self.run(*shlex.split(line))
        assert done.code == 0, f"{line}: {done.output}"
        return done

    def wait_for_rest(self) -> None:
        """Wait until no call is due any more."""
        wait_for(self._is_at_rest, goal="the worker to have run all calls")

    def _is_at_rest(self) -> bool:
        with Redis.from_url(self.variables["REDIS_URL"]) as client:
            seconds, micros = client.time()
            until = (seconds + micros / 1e6 + REST_S) * 1000
            has_due = any(client.zcount(f"bc:{account}:due", "-inf", until) for account in ACCOUNTS)
            # The alarm of a job that waits for Buildr is later than that.
            is_running = any(client.hlen(f"bc:{account}:running") for account in ACCOUNTS)
            has_lane = next(client.scan_iter("bc:*:lane:*", count=1000), None) is not None
            return not (has_due or is_running or has_lane)

    def wait_for_refusal(self) -> None:
        """Wait until the receiver has noted that it refused a request."""
        with Redis.from_url(self.variables["REDIS_URL"]) as client:
            wait_for(lambda: bool(client.exists("bc:default:refused")), goal="the refusal")


def _variables(folder: Path, redis_url: str, port: int, sandbox_url: str) -> dict[str, str]:
    """The settings of both accounts, each with secrets of its own."""
    values = {
        "REDIS_URL": redis_url,
        # The Redis of the tests writes once a second.
        "REDIS_DURABILITY": "off",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DATA_DIR": str(folder / ".data"),
        "SPOOL_DIR": "off",
        "SETTLE_S": ", ".join(["0", *(f"{slug}=0" for slug in SOURCES)]),
        "BUILDR_API_URL": f"{sandbox_url}/api/2023-01",
        "BUILDR_TOKEN_URL": f"{sandbox_url}/oauth/token",
        "BUILDR_BUDGETS": "1000/1s",
        "PROTECT_HAND_EDITS": "true",
    }
    for prefix in ("", "ACCOUNT__ACME__"):
        values |= {
            f"{prefix}BUILDR_CLIENT_ID": "sandbox-client",
            f"{prefix}BUILDR_CLIENT_SECRET": "sandbox-secret",
            f"{prefix}ADMIN_TOKEN": secrets.token_hex(16),
            f"{prefix}URL_SECRET": secrets.token_hex(16),
        }
        for source in SOURCES.values():
            setting = source.settings[0]
            values[f"{prefix}{setting.name.upper()}"] = setting.generate()
    return values


@asynccontextmanager
async def _started(
    folder: Path, redis_url: str, more: Mapping[str, str]
) -> AsyncIterator[ShownSystem]:
    async with AsyncExitStack() as stack:
        sandbox = create_sandbox(SandboxConfig(limit_mode="off"))
        sandbox_url = await stack.enter_async_context(running(sandbox))
        # Its address is part of what is signed, and so of the settings.
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        variables = _variables(folder, redis_url, listener.getsockname()[1], sandbox_url)
        variables |= more
        installation = load_installation(variables, cwd=folder)
        config = uvicorn.Config(create_app(installation), log_config=None, access_log=False)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        for settings in installation.accounts:
            await stack.enter_async_context(worker_loop(settings, token=TOKEN))
        try:
            yield ShownSystem(folder, variables, sandbox_url)
        finally:
            server.should_exit = True
            await serving


@contextmanager
def shown_system(folder: Path, redis_url: str, more: Mapping[str, str]) -> Iterator[ShownSystem]:
    """
    Start one in a thread of its own, until the block ends; `more` are further settings.

    The thread's log lines are held back: they would be in the output of a command.
    """
    ready = threading.Event()
    ended = threading.Event()
    systems: list[ShownSystem] = []

    async def serve() -> None:
        try:
            async with _started(folder, redis_url, more) as system:
                systems.append(system)
                ready.set()
                await asyncio.to_thread(ended.wait)
        finally:
            # One that does not start is not waited for; pytest shows the thread's exception.
            ready.set()

    with capture_logs():
        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            assert ready.wait(UP_S)
            assert systems, "the installation did not start"
            yield systems[0]
        finally:
            ended.set()
            thread.join()
