"""
The public URL of a request: what the sender called, which is what vendors sign.

Works on the plain ASGI scope, so that path and query stay byte for byte what the sender signed.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Final, Self

from msgspec import Struct

from service.settings import Settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORTS: Final[Mapping[str, str]] = {"http": "80", "https": "443"}
OLDER_HEADERS: Final = frozenset({"x-forwarded-proto", "x-forwarded-host"})
# A part of `Forwarded`: https://www.rfc-editor.org/rfc/rfc7239#section-4
PARAMETER: Final = re.compile(
    r"""\s*([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;,"\s]*))\s*(?:;|$)""", re.ASCII
)
ELEMENT: Final = re.compile(r"""(?:[^",]|"(?:[^"\\]|\\.)*")+""")
# Only what may be in a path, since it becomes a part of the URL that a signature is checked over.
PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+", re.ASCII)
HAS_PORT: Final = re.compile(r":\d+$", re.ASCII)


class Origin(Struct, frozen=True):
    """How a proxy was called: what it does not report is empty."""

    scheme: str = ""
    host: str = ""
    port: str = ""
    prefix: str = ""


class PublicUrlResolver(Struct, frozen=True):
    """
    How this service is reached from outside: a base URL that is set, else what trusted proxies
    report, else the request itself.
    """

    base_url: str | None
    trusted: tuple[Network, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        return cls(
            settings.public_url,
            tuple(ipaddress.ip_network(proxy, strict=False) for proxy in settings.trusted_proxies),
        )

    def url(self, scope: Mapping[str, object], headers: Mapping[str, tuple[str, ...]]) -> str:
        """
        The URL that the sender used, its path and query exactly as they were sent.

        Raises TypeError for a scope whose raw_path or query_string are no bytes, which no ASGI
        server makes.
        """
        # Not `path`: the server has decoded it, and `%2F` and `/` would be signed as the same.
        path = scope.get("raw_path") or b""
        query = scope.get("query_string") or b""
        if not isinstance(path, bytes) or not isinstance(query, bytes):
            raise TypeError("an ASGI server gives raw_path and query_string as bytes")
        target = path.decode("latin-1")
        if query:
            target += "?" + query.decode("latin-1")
        return (self.base_url or self._base_url_of(scope, headers)) + target

    def _base_url_of(
        self, scope: Mapping[str, object], headers: Mapping[str, tuple[str, ...]]
    ) -> str:
        scheme = str(scope.get("scheme", "http"))
        host = _last(headers.get("host", ()))
        # Closed by default: whoever can set these headers chooses the URL that a signature is
        # checked over. uvicorn's own handling of them is off, see `server.py`.
        if not self._is_trusted(scope.get("client")):
            return f"{scheme}://{host}"
        origin = read_origin(headers)
        if origin.scheme in DEFAULT_PORTS:
            scheme = origin.scheme
        host = origin.host or host
        # A proxy sends the default port too, which no vendor has in the URL that it signs.
        is_special_port = origin.port.isdecimal() and origin.port != DEFAULT_PORTS[scheme]
        if is_special_port and not HAS_PORT.search(host):
            host = f"{host}:{origin.port}"
        return f"{scheme}://{host}{origin.prefix}"

    def _is_trusted(self, client: object) -> bool:
        if not self.trusted or not isinstance(client, tuple | list) or not client:
            return False
        try:
            address = ipaddress.ip_address(str(client[0]))
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            # A dual-stack socket shows an IPv4 peer as ::ffff:10.0.0.1.
            address = address.ipv4_mapped
        return any(address in network for network in self.trusted)


def read_origin(headers: Mapping[str, tuple[str, ...]]) -> Origin:
    """
    What the nearest proxy reports, by `X-Forwarded-Proto`, `-Host` and `-Port`, or by `Forwarded`
    (RFC 7239) where it sends none of these. `X-Forwarded-Prefix` is the part of the path that the
    proxy took away.
    """
    forwarded: Mapping[str, str] = {}
    # Not both: a proxy that sets one kind passes the other one on as the sender wrote it.
    if not OLDER_HEADERS & headers.keys():
        forwarded = read_forwarded(headers.get("forwarded", ()))
    prefix = _last(headers.get("x-forwarded-prefix", ())).rstrip("/")
    if not PREFIX.fullmatch(prefix):
        prefix = ""
    return Origin(
        scheme=(forwarded.get("proto") or _last(headers.get("x-forwarded-proto", ()))).lower(),
        host=forwarded.get("host") or _last(headers.get("x-forwarded-host", ())),
        port=_last(headers.get("x-forwarded-port", ())),
        prefix=prefix,
    )


def read_forwarded(values: tuple[str, ...]) -> Mapping[str, str]:
    """The parameters of the last element, that of the nearest proxy, by lower-case name."""
    parameters: dict[str, str] = {}
    elements = ELEMENT.findall(",".join(values))
    if not elements:
        return parameters
    for name, quoted, plain in PARAMETER.findall(elements[-1]):
        parameters[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) or plain
    return parameters


def _last(values: tuple[str, ...]) -> str:
    """The value that the nearest proxy wrote: the last one of a list."""
    if not values:
        return ""
    return values[-1].rpartition(",")[2].strip()
