"""
Where the receiver is reached, and what a request may be.
"""

from pydantic import Field

from service.settings.parts import SettingsPart
from service.settings.types import Networks, Url


class ListeningSettings(SettingsPart):
    """The settings of the address, the proxies before it, and the limits of a request."""

    public_url: Url | None = Field(
        None,
        description=(
            "The address at which the telephony systems reach this service; signatures cover it."
        ),
    )
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="The port to listen on.")
    trusted_proxies: Networks = Field(
        (),
        description=(
            "Addresses or networks of proxies whose Forwarded and X-Forwarded-Proto, -Host, -Port "
            "and -Prefix are believed."
        ),
    )
    max_body_bytes: int = Field(
        1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest webhook body that is read."
    )
    body_timeout_s: float = Field(
        10, gt=0, description="Seconds within which a webhook's body must arrive."
    )
    head_timeout_s: float = Field(
        10,
        gt=0,
        description=(
            "Seconds within which the head of a request must arrive, and the first byte of a "
            "connection."
        ),
    )
    answer_timeout_s: float = Field(
        10, gt=0, description="Seconds within which a sender must have read its answer."
    )
    # Longer than load balancers keep idle connections (60 s is usual), so that none of them sends
    # into one that is being closed.
    keep_alive_s: int = Field(
        75, ge=1, le=3600, description="Seconds for which a connection may be idle after an answer."
    )
    max_connections: int = Field(
        10_000,
        ge=16,
        le=500_000,
        description=(
            "Connections that a process of the receiver holds; fewer where the limit of open files "
            "is lower. Beyond it, silent and idle ones are closed first."
        ),
    )
    max_requests_at_once: int = Field(
        2000,
        ge=1,
        description=(
            "Requests that a process of the receiver works on at a time, then 503. Those whose "
            "body is arriving do not count."
        ),
    )
    max_body_bytes_at_once: int = Field(
        64 * 1024 * 1024,
        ge=1024 * 1024,
        description="Bytes of the bodies of all requests in a process of the receiver, then 503.",
    )

    @property
    def base_url(self) -> str:
        """The public URL, or where the receiver listens if none is set; no slash at its end."""
        if self.public_url is not None:
            return self.public_url
        host = self.host
        if ":" in host:
            host = f"[{host}]"
        return f"http://{host}:{self.port}"
