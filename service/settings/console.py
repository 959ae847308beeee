"""
Who may look into the service: the console, and the metrics.
"""

from pydantic import Field

from service.settings.parts import SettingsPart
from service.settings.types import AdminTokens


class ConsoleSettings(SettingsPart):
    """The tokens of console and metrics; both are for all accounts of an installation."""

    console_token: AdminTokens = Field(
        (),
        description=(
            "Token that opens the console at /console for operators; at least 16 characters, "
            "several while rotating. Not set, with CONSOLE_READ_TOKEN: the console is off."
        ),
    )
    console_read_token: AdminTokens = Field(
        (),
        description=(
            "Token that opens the console for looking only: nothing can be changed, and numbers "
            "stay masked."
        ),
    )
    console_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description=(
            "A port of its own for the console, which is then at no other: keep it off the "
            "internet. Not set: the console is at /console of the receiver."
        ),
    )
    console_host: str | None = Field(
        None, description="The address to listen on at CONSOLE_PORT. Not set: HOST."
    )

    metrics_token: AdminTokens = Field(
        (),
        description=(
            "Bearer token for /metrics, for Prometheus; at least 16 characters. Not set: it is off."
        ),
    )

    @property
    def has_console(self) -> bool:
        """Whether anybody may open the console."""
        return bool(self.console_token or self.console_read_token)
