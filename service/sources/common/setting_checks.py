"""
Checks of what an operator wrote into a source's setting.
"""

from urllib.parse import urlsplit


def check_pair(text: str) -> str | None:
    """What is wrong with a setting that must be a pair of id and secret, or None."""
    if all(text.partition(":")[::2]):
        return None
    return "must be pairs of id and key, like webhooks_sharedkey_01:THEKEY"


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
