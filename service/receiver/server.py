"""
The receiver as a process: settings checked for serving, a socket, uvicorn.
"""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp

from service.error_reports import reporting_errors
from service.errors import SettingsError
from service.logs.events import LogEvent
from service.logs.setup import configure_logging, flush_log_on_signal
from service.receiver.app import NOTHING, Addition, create_app
from service.receiver.connection_table import ConnectionLimits, ConnectionTable
from service.receiver.durability import check_durability
from service.receiver.listening import (
    BACKLOG,
    NotListening,
    adopt,
    hosts_of,
    listen,
    systemd_fds,
)
from service.receiver.open_files import connection_limit
from service.receiver.overload import OverloadGuard, OverloadLimits
from service.receiver.processes import run_master
from service.receiver.protocol import LimitedProtocol
from service.receiver.receiver_server import ReceiverServer, ServerEvents, StopTimes
from service.receiver.side_port import ByPort, side_app
from service.receiver.systemd import Notifier
from service.settings import Installation, Settings
from service.settings.exposure import serving_faults, short_secret_warnings
from service.settings.source_settings import start_faults
from service.sources.settings import how_to_enable

FAILED: Final = 1
# The endpoint answers 408 by itself before the connection is ended.
BODY_MARGIN_S: Final = 2

log = structlog.get_logger(__name__)


def serve(
    installation: Installation,
    *,
    fds: Sequence[int] = (),
    on_ready: Callable[[], None] | None = None,
    addition: Addition = NOTHING,
    drain_s: float = 0.0,
) -> None:
    """
    Serve until SIGTERM or SIGINT, and for `drain_s` more, in which `/readyz` answers 503;
    `on_ready` is called once requests are answered. `fds` are sockets to listen on, in place of
    `HOST` and `PORT`; one of several processes is given all. `addition` is served beside the rest.

    Raises `SettingsError` if no account could take a message, or one is not fit to start. Ends the
    process with status 1 and one line on stderr if it cannot listen.
    """
    settings = installation.default
    notifier = Notifier.of(os.environ)
    configure_logging(fmt=settings.log_format, level=settings.log_level, in_background=True)
    # uvicorn ends the process by the signal that it got, without Python's own end.
    flush_log_on_signal(signal.SIGTERM)
    adopted = adopt_sockets(fds or systemd_fds(os.environ))
    check_serving(installation, adopted)
    check_durability(installation.accounts)
    sockets = adopted
    if on_ready is None:
        sockets = all_sockets(settings, adopted)
    _warn(installation)
    app = create_app(installation, addition=addition)

    def ready() -> None:
        notifier.ready()
        if on_ready is not None:
            on_ready()

    def stopping() -> None:
        notifier.stopping()
        begin_stop = getattr(app.state, "begin_stop", None)
        if begin_stop is not None:
            begin_stop()

    server = make_server(
        _with_side_port(app, settings, addition),
        connection_limits(installation),
        overload=OverloadLimits(
            requests=settings.max_requests_at_once, body_bytes=settings.max_body_bytes_at_once
        ),
        keep_alive_s=settings.keep_alive_s,
        times=StopTimes(drain_s=drain_s),
        events=ServerEvents(on_ready=ready, on_drain=app.state.begin_drain, on_stop=stopping),
    )
    # uvicorn raises the signal once more after it has stopped, so that SIGINT ends here.
    with contextlib.suppress(KeyboardInterrupt), reporting_errors(settings):
        server.run(sockets=sockets)
    # uvicorn logs what went wrong in the lifespan and returns: the exit status has to be set here.
    if not server.started:
        sys.exit(FAILED)


def serve_processes(installation: Installation, *, count: int, fds: Sequence[int] = ()) -> None:
    """
    Serve by so many processes like this one until SIGTERM or SIGINT, and replace them on SIGHUP.

    Raises `SettingsError` like `serve`. Ends the process with status 1 if it cannot listen, or the
    processes do not start.
    """
    settings = installation.default
    notifier = Notifier.of(os.environ)
    configure_logging(fmt=settings.log_format, level=settings.log_level, in_background=True)
    adopted = adopt_sockets(fds or systemd_fds(os.environ))
    check_serving(installation, adopted)
    if not run_master(all_sockets(settings, adopted), count=count, notifier=notifier):
        sys.exit(FAILED)


def all_sockets(settings: Settings, adopted: Sequence[socket.socket]) -> list[socket.socket]:
    """
    The sockets to listen on: those that are given, else one at `HOST` and `PORT`; and one at
    `CONSOLE_PORT`, unless it is among them. Ends the process with status 1 and one line on stderr
    if it cannot listen.
    """
    sockets = list(adopted) or [listen(settings.host, settings.port)]
    port = settings.console_port
    if port is None or not settings.has_console:
        return sockets
    if port not in map(_port_of, sockets):
        host = settings.console_host or settings.host
        sockets.append(listen(host, port, settings="CONSOLE_HOST and CONSOLE_PORT"))
    return sockets


def _port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _with_side_port(app: ASGIApp, settings: Settings, addition: Addition) -> ASGIApp:
    if settings.console_port is None or not addition.side_routes:
        return app
    return ByPort(app, side_app(addition.side_routes), settings.console_port)


def make_server(
    app: ASGIApp,
    limits: ConnectionLimits,
    *,
    overload: OverloadLimits,
    keep_alive_s: int,
    times: StopTimes | None = None,
    events: ServerEvents | None = None,
) -> ReceiverServer:
    """A server for an application, with the limits of connections and requests."""
    table = ConnectionTable(limits)
    config = uvicorn.Config(
        OverloadGuard(app, overload, on_refused=table.count_overload),
        http=LimitedProtocol,
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
        interface="asgi3",
        backlog=BACKLOG,
        timeout_keep_alive=keep_alive_s,
        # asyncio can leak a context into the next request of a connection (python/cpython#140947),
        # and its log lines would begin with what was bound for another one.
        reset_contextvars=True,
    )
    return ReceiverServer(config, table, times=times, events=events)


def connection_limits(installation: Installation) -> ConnectionLimits:
    """The limits of connections; raises this process's limit of open files if it is too low."""
    settings = installation.default
    return ConnectionLimits(
        connections=connection_limit(settings.max_connections, accounts=len(installation.accounts)),
        first_byte_s=settings.head_timeout_s,
        head_s=settings.head_timeout_s,
        body_s=settings.body_timeout_s + BODY_MARGIN_S,
        answer_s=settings.answer_timeout_s,
    )


def adopt_sockets(fds: Sequence[int]) -> list[socket.socket]:
    """
    The sockets that are given, listening. Ends the process with status 1 and one line on stderr if
    one of them is none.
    """
    try:
        return adopt(fds)
    except NotListening as err:
        sys.stderr.write(f"buildr-calls: {err}\n")
        sys.exit(FAILED)


def _warn(installation: Installation) -> None:
    settings = installation.default
    for line in short_secret_warnings(installation):
        log.warning(LogEvent.SERVICE_SHORT_SECRET, reason=line)
    # Receiving is worth it without credentials: messages are kept until a worker can deliver them.
    if not (installation.others or settings.has_buildr_credentials):
        log.warning(
            LogEvent.SERVICE_NO_CREDENTIALS,
            reason="webhooks are kept and wait: no worker starts before Buildr credentials are set",
        )


def check_serving(installation: Installation, adopted: Sequence[socket.socket] = ()) -> None:
    """
    Raises `SettingsError` unless at least one source of one account is on, every account is fit to
    start, and no stranger can choose which address or account a message counts for.
    """
    faults = (*start_faults(installation), *serving_faults(installation, hosts_of(adopted)))
    if not installation.has_sources:
        faults = (f"no source has a secret: set {how_to_enable()}", *faults)
    if faults:
        raise SettingsError(faults)
