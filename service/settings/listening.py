"""
Where the receiver is reached, and what a request may be.
"""

from pydantic import BaseModel, Field

from service.settings.types import Networks, Url


class ListeningSettings(BaseModel):
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

    @property
    def base_url(self) -> str:
        """The public URL, or where the receiver listens if none is set; no slash at its end."""
        if self.public_url is not None:
            return self.public_url
        host = self.host
        if ":" in host:
            host = f"[{host}]"
        return f"http://{host}:{self.port}"
