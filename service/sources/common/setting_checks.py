"""
Checks of what an operator wrote into a source's setting.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

# Of what a vendor gives or an operator makes up. A shorter secret can be guessed by whoever has one
# signed message, as fast as a machine computes.
LEAST_SECRET: Final = 16
# Of what a vendor issues. No vendor is known to issue such a short one: it is a part of one.
LEAST_ISSUED_SECRET: Final = 8


def check_length(text: str) -> str | None:
    """What is wrong with a secret that must not be guessed, or None."""
    if len(text) >= LEAST_SECRET:
        return None
    return f"must be at least {LEAST_SECRET} characters; make one with: openssl rand -hex 32"


def check_issued_length(text: str) -> str | None:
    """What is wrong with a secret that a vendor has issued, or None."""
    if len(text) >= LEAST_ISSUED_SECRET:
        return None
    return f"must be at least {LEAST_ISSUED_SECRET} characters; copy all of it"


def check_pair(text: str) -> str | None:
    """What is wrong with a setting that must be a pair of id and secret, or None."""
    key_id, _, key = text.partition(":")
    if key_id and key:
        return check_length(key)
    return "must be pairs of id and key, like webhooks_sharedkey_01:THEKEY"


def check_switch(text: str) -> str | None:
    """What is wrong with a setting that is on or off, or None."""
    if text in {"true", "false"}:
        return None
    return "must be true or false"


def check_url(text: str) -> str | None:
    """What is wrong with a setting that must be a URL, or None."""
    try:
        parts = urlsplit(text)
        is_full = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_full = False
    if not is_full:
        return "must be a full URL, like https://calls.example.com"
    if parts.query or parts.fragment or parts.username:
        return "must be a URL without user, query and fragment"
    return None


def check_api_url(text: str) -> str | None:
    """What is wrong with the URL of an API to which credentials are sent, or None."""
    fault = check_url(text)
    if fault is not None:
        return fault
    parts = urlsplit(text)
    if parts.scheme == "https" or is_loopback(parts.hostname or ""):
        return None
    return "must be https://, since credentials are sent there; http:// only to this machine"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, which nothing outside reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
