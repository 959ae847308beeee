"""
The programs that `run` starts, and the addresses that they listen on.
"""

import contextlib
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from workers.local.data_folder import (
    LocalRunError,
)
from workers.local.supervisor import ProcessSpec

SANDBOX_HOST: Final = "127.0.0.1"

ANY_HOST: Final[Mapping[str, str]] = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def check_port(host: str, port: int, *, option: str) -> None:
    """
    Raises `LocalRunError` that names the port and the option for another if nothing can listen
    there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the servers do: a port whose last connections are in TIME_WAIT is free for them.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as err:
        reason = err.strerror or str(err)
        raise LocalRunError(
            f"cannot listen on port {port} of {host} ({reason}): choose another with {option}"
        ) from err


def process_spec(
    name: str,
    *arguments: str,
    environment: Mapping[str, str],
    ready_url: str | None = None,
    ready_text: str | None = None,
) -> ProcessSpec:
    """One of this program's own commands as a process, which ends with its supervisor."""
    # By this interpreter and not by the name of the command: PATH may lead to another version.
    argv = (sys.executable, "-m", "workers.cli.main", *arguments, "--until-stdin-closes")
    return ProcessSpec(
        name=name, argv=argv, environment=environment, ready_url=ready_url, ready_text=ready_text
    )


def local_host(host: str) -> str:
    """The host by which this machine reaches what listens on `host`, as in a URL."""
    host = ANY_HOST.get(host, host)
    return f"[{host}]" if ":" in host else host


def program() -> str:
    """How this program is called from here."""
    path = Path(sys.executable).with_name("buildr-calls")
    if shutil.which("buildr-calls") == str(path) or not path.exists():
        return "buildr-calls"
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
