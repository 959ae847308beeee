"""
Addresses in Plivo's requests: the SIP endpoints of an account, which are agents' telephones.
"""

from typing import Final

ENDPOINT: Final = "sip:"
ENDPOINT_HOST: Final = "phone.plivo.com"


def endpoint_user(address: str | None) -> str | None:
    """The user of one of the account's own SIP endpoints, None for any other address."""
    if address is None or not address.startswith(ENDPOINT):
        return None
    user, _, host = address.removeprefix(ENDPOINT).partition("@")
    if host.partition(";")[0] != ENDPOINT_HOST:
        return None
    return user or None
