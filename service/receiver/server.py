"""
The receiver as a process: settings checked for serving, a socket, uvicorn.
"""

import contextlib
import ipaddress
import signal
import socket
import sys
from typing import Final

import structlog
import uvicorn

from service.errors import SettingsError
from service.logs.events import LogEvent
from service.logs.setup import configure_logging, flush_log_on_signal
from service.receiver.app import create_app
from service.settings import Installation
from service.settings.source_settings import start_faults
from service.sources.settings import how_to_enable

# Connections that the kernel holds while the process is busy. It is cut to `net.core.somaxconn`.
BACKLOG: Final = 2048
# Requests take milliseconds. Only with Redis away those wait longer whose sender never retries.
GRACE_S: Final = 10
# Longer than load balancers keep idle connections (60 s is usual), so that none of them sends into
# one that is being closed.
KEEP_ALIVE_S: Final = 75
FAILED: Final = 1

log = structlog.get_logger(__name__)


def serve(installation: Installation) -> None:
    """
    Serve until SIGTERM or SIGINT.

    Raises `SettingsError` if no account could take a message, or one is not fit to start. Ends the
    process with status 1 and one line on stderr if it cannot listen.
    """
    settings = installation.default
    configure_logging(fmt=settings.log_format, level=settings.log_level, in_background=True)
    # uvicorn ends the process by the signal that it got, without Python's own end.
    flush_log_on_signal(signal.SIGTERM)
    check_serving(installation)
    listener = _listen(settings.host, settings.port)
    # A warning and no fault: without a proxy, the URL of the request itself is the right one.
    if settings.public_url is None and not _is_loopback(settings.host):
        log.warning(
            LogEvent.SERVICE_NO_PUBLIC_URL,
            reason="behind a proxy signatures may not match: set PUBLIC_URL, or TRUSTED_PROXIES",
        )
    # Receiving is worth it without credentials: messages are kept until a worker can deliver them.
    if not (installation.others or settings.has_buildr_credentials):
        log.warning(
            LogEvent.SERVICE_NO_CREDENTIALS,
            reason="webhooks are kept and wait: no worker starts before Buildr credentials are set",
        )
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(installation),
            # uvicorn would set up handlers of its own, around the masking of `service.logs`.
            log_config=None,
            access_log=False,
            # Nothing names the software or its version to a stranger.
            server_header=False,
            # uvicorn would change the scheme and the client by `X-Forwarded-*`; `PublicUrlResolver`
            # decides by `TRUSTED_PROXIES`, and needs to see the real peer for it.
            proxy_headers=False,
            ws="none",
            # Not `auto`, which goes on without a lifespan that has failed.
            lifespan="on",
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            # asyncio can leak a context into the next request of a connection
            # (python/cpython#140947), and its log lines would begin with what was bound for another
            # one.
            reset_contextvars=True,
        )
    )
    # uvicorn raises the signal once more after it has stopped, so that SIGINT ends here.
    with listener, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    # uvicorn logs what went wrong in the lifespan and returns: the exit status has to be set here.
    if not server.started:
        sys.exit(FAILED)


def check_serving(installation: Installation) -> None:
    """
    Raises `SettingsError` unless at least one source of one account is on and every account is fit
    to start.
    """
    faults = start_faults(installation)
    if not installation.has_sources:
        faults = (f"no source has a secret: set {how_to_enable()}", *faults)
    if faults:
        raise SettingsError(faults)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET
    if ":" in host:
        family = socket.AF_INET6
    try:
        # Bound before uvicorn starts, so that an address in use is one clear line, and not a
        # traceback after "started".
        return socket.create_server(
            (host, port),
            family=family,
            backlog=BACKLOG,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as err:
        # Python adds the address to the system's words.
        reason = (err.strerror or str(err)).partition(" (")[0]
        sys.stderr.write(
            f"buildr-calls: cannot listen on {host} port {port}: {reason}. "
            "Choose another with HOST and PORT.\n"
        )
        sys.exit(FAILED)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
