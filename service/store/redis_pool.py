"""
Pools of connections to Redis: one server, a socket, TLS, or the primary that Sentinel names.
"""

from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct
from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.connection import (
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import ExponentialBackoff
from redis.exceptions import ReadOnlyError

SENTINEL: Final = "redis+sentinel"
SENTINEL_TLS: Final = "rediss+sentinel"
SENTINEL_PORT: Final = 26379
REDIS_PORT: Final = 6379
SENTINEL_TRIES: Final = 2
# Options of a URL that are true or false; redis-py takes every text for true.
_FLAGS: Final = ("ssl_check_hostname",)
_FALSE: Final = ("false", "0", "no")


class _LeavesReplica:
    """
    Ends a connection whose server has become a replica: after a failover the same name leads to the
    new primary, but only for new connections.
    """

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]
        except ReadOnlyError:
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise


class _Plain(_LeavesReplica, Connection):
    pass


class _Tls(_LeavesReplica, SSLConnection):
    pass


class _Unix(_LeavesReplica, UnixDomainSocketConnection):
    pass


_CLASSES: Final[Mapping[object, type]] = {SSLConnection: _Tls, UnixDomainSocketConnection: _Unix}


class SentinelUrl(Struct, frozen=True, kw_only=True):
    """
    `redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/DB?sentinel_password=...`, with
    `rediss+sentinel` for TLS; user and password are those of Redis.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str
    options: Mapping[str, Any]
    sentinel_options: Mapping[str, Any]

    @classmethod
    def read(cls, url: str) -> Self:
        """Raises ValueError that says what is wrong, without the URL."""
        scheme, _, rest = url.partition("://")
        netloc, _, path = rest.partition("/")
        path, _, query = path.partition("?")
        user_part, _, host_part = netloc.rpartition("@")
        service, _, db = path.partition("/")
        if not service:
            raise ValueError("the name of the service is missing after the hosts, like /mymaster")
        options: dict[str, Any] = {"db": int(db or 0)}
        user, _, password = user_part.partition(":")
        if user:
            options["username"] = unquote(user)
        if password:
            options["password"] = unquote(password)
        sentinel_options: dict[str, Any] = {}
        for name, value in parse_qsl(query):
            if name.startswith("sentinel_"):
                sentinel_options[name.removeprefix("sentinel_")] = value
            else:
                options[name] = value
        if scheme == SENTINEL_TLS:
            options["ssl"] = True
            sentinel_options["ssl"] = True
            # Certificates are the same for both, unless Sentinel's are given.
            for name, value in options.items():
                if name.startswith("ssl_"):
                    sentinel_options.setdefault(name, value)
        return cls(
            hosts=tuple(_host_of(part) for part in host_part.split(",")),
            service=unquote(service),
            options=_with_flags(options),
            sentinel_options=_with_flags(sentinel_options),
        )


def open_pool(url: str, *, max_connections: int, wait_s: int, **options: Any) -> ConnectionPool:
    """
    A pool for a URL of Redis; connects on first use. `wait_s` is how long a caller waits while all
    connections are in use. Raises ValueError for a URL that cannot be read.
    """
    if is_sentinel(url):
        sentinel_url = SentinelUrl.read(url)
        # Asked anew at each connect, one after another.
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            sentinel_url.hosts,
            sentinel_kwargs={
                "socket_timeout": options.get("socket_connect_timeout"),
                "socket_connect_timeout": options.get("socket_connect_timeout"),
                **sentinel_url.sentinel_options,
            },
        )
        # Few tries: each of them tries the old primary so often before it asks Sentinel again.
        options["retry"] = Retry(ExponentialBackoff(cap=0.5, base=0.05), SENTINEL_TRIES)
        # Not a blocking one, which redis-py does not have for Sentinel.
        return SentinelConnectionPool(  # type: ignore[no-untyped-call]
            sentinel_url.service, sentinel, **{**options, **sentinel_url.options}
        )
    url_options = dict(parse_url(url))
    connection_class = url_options.pop("connection_class", Connection)
    if connection_class is SSLConnection:
        # redis-py does not compare the name in the certificate with the host's by default. Python
        # refuses to, where the certificate itself is not checked.
        is_unchecked = url_options.get("ssl_cert_reqs") == "none"
        url_options.setdefault("ssl_check_hostname", str(not is_unchecked).lower())
    # Blocking: the plain pool raises when it is empty, which a burst of jobs would cause.
    return BlockingConnectionPool(
        max_connections=max_connections,
        timeout=wait_s,
        connection_class=_CLASSES.get(connection_class, _Plain),
        **options,
        **_with_flags(url_options),
    )


def is_sentinel(url: str) -> bool:
    """Whether a URL names Sentinels, which name the primary."""
    return url.partition("://")[0] in (SENTINEL, SENTINEL_TLS)


def address_of(url: str) -> str:
    """Where a URL leads to, for people: without user, password and options."""
    if is_sentinel(url):
        sentinel_url = SentinelUrl.read(url)
        hosts = ",".join(f"{host}:{port}" for host, port in sentinel_url.hosts)
        return f"{sentinel_url.service} of the Sentinels {hosts}"
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return unquote(parts.path)
    return f"{parts.hostname or 'localhost'}:{parts.port or REDIS_PORT}"


def _host_of(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host of a Sentinel is missing")
    return parts.hostname, parts.port or SENTINEL_PORT


def _with_flags(options: Mapping[str, Any]) -> dict[str, Any]:
    read = dict(options)
    for name in _FLAGS:
        if name in read:
            read[name] = str(read[name]).lower() not in _FALSE
    return read
