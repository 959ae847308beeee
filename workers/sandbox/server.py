"""
The sandbox as a process: uvicorn on one address.
"""

import socket
from contextlib import suppress
from typing import Final

import structlog
import uvicorn

from service.logs.events import LogEvent
from workers.sandbox.app import create_sandbox
from workers.sandbox.config import SandboxConfig

SHUTDOWN_S: Final = 2
# Longer than clients keep idle connections, so that none of them sends into one that is closing.
KEEP_ALIVE_S: Final = 30
BACKLOG: Final = 2048

log = structlog.get_logger(__name__)


def run_sandbox(config: SandboxConfig, *, host: str, port: int) -> None:
    """
    Serve until SIGTERM or SIGINT. Raises OSError if the address is taken or not of this machine.
    """
    with _listen(host, port) as listener:
        log.info(
            LogEvent.SANDBOX_STARTED,
            host=host,
            port=listener.getsockname()[1],
            limit_mode=config.limit_mode,
        )
        # uvicorn stops in order on Ctrl-C, and raises it again then.
        with suppress(KeyboardInterrupt):
            make_server(config).run(sockets=[listener])


def make_server(config: SandboxConfig) -> uvicorn.Server:
    """
    A server that has yet to be given its sockets; nothing that a proxy claims is believed, and
    logging is left as it is.
    """
    return uvicorn.Server(
        uvicorn.Config(
            create_sandbox(config),
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_S,
            # A request that is kept waiting on purpose must not keep the process alive.
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)
