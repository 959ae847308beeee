"""
Which addresses of a vendor's API may be sent credentials.
"""

import ipaddress
from urllib.parse import urlsplit

from workers.subscriptions.errors import NotReady


def check_transport(title: str, url: str) -> None:
    """
    Credentials go over TLS, or nowhere out of this machine: raises `NotReady` for any other URL.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (
        parts.scheme == "http" and _is_loopback(parts.hostname or "")
    ):
        raise NotReady(f"the addresses of {title}'s API must be https")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
