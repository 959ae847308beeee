"""
Where a request comes from: the peer, or what the proxies of `TRUSTED_PROXIES` report about it.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final

from service.receiver.public_url import Network, read_forwarded

UNKNOWN: Final = "unknown"
FORWARDED_FOR: Final = "x-forwarded-for"
# A provider gives a customer a whole network of this size: one address in it is as good as another.
IPV6_PREFIX: Final = 64


def client_address(
    scope: Mapping[str, object], headers: Mapping[str, tuple[str, ...]], trusted: Sequence[Network]
) -> str:
    """
    The address of the sender in one form, an IPv6 address as its network; `unknown` for none.

    Of `X-Forwarded-For`, and of `Forwarded` where there is none, only what trusted proxies wrote
    counts: the entries are read from the right, up to the first address that is not trusted.
    """
    client = scope.get("client")
    peer = None
    if isinstance(client, tuple | list) and client:
        peer = _address(str(client[0]))
    if peer is None:
        return UNKNOWN
    if _is_trusted(peer, trusted):
        for text in reversed(_reported(headers)):
            reported = _address(text)
            if reported is None:
                break
            peer = reported
            if not _is_trusted(peer, trusted):
                break
    if isinstance(peer, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((peer, IPV6_PREFIX), strict=False))
    return str(peer)


def _reported(headers: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The senders that proxies report, the nearest last."""
    values = headers.get(FORWARDED_FOR)
    if values:
        return ",".join(values).split(",")
    return [read_forwarded(headers.get("forwarded", ())).get("for", "")]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    text = text.strip()
    # With a port: `203.0.113.7:4711` and `[2001:db8::1]:4711`.
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        # A dual-stack socket shows an IPv4 peer as ::ffff:10.0.0.1.
        return address.ipv4_mapped
    return address


def _is_trusted(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, trusted: Sequence[Network]
) -> bool:
    return any(address in network for network in trusted)
