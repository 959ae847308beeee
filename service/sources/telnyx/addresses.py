"""
Addresses in Telnyx's messages: telephone numbers, and SIP addresses of telephones.
"""

from typing import Final

from service.sources.common.phone_numbers import to_e164

SIP: Final = "sip:"
# One for each region: https://sipdev.telnyx.com/
SIP_HOSTS: Final = (
    "sip.telnyx.com",
    "sip.telnyx.eu",
    "sip.telnyx.com.au",
    "sip.telnyx.ca",
    "sip.telnyx.asia",
)


def to_address(address: str | None) -> str | None:
    """A telephone number in E.164; a SIP address always with its scheme."""
    user, at, _ = (address or "").partition("@")
    if at and ":" not in user:
        return f"{SIP}{address}"
    return to_e164(address)


def to_agent(address: str | None) -> str | None:
    """
    The user of a SIP address at Telnyx, which is an agent's telephone; None for any other address.
    """
    user, at, host = (address or "").removeprefix(SIP).partition("@")
    if not at:
        return None
    host = host.partition(";")[0].partition(":")[0].lower()
    is_at_telnyx = any(host == sip_host or host.endswith(f".{sip_host}") for sip_host in SIP_HOSTS)
    if not is_at_telnyx:
        return None
    return user or None
