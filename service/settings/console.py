"""
Who may open the console.
"""

from pydantic import BaseModel, Field

from service.settings.types import AdminTokens


class ConsoleSettings(BaseModel):
    """The tokens of the console; it is for all accounts of an installation."""

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

    @property
    def has_console(self) -> bool:
        """Whether anybody may open the console."""
        return bool(self.console_token or self.console_read_token)
