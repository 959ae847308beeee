"""
Buildr: where its API is, the credentials for it, its rate limits, and when a write is given up on.
"""

from pydantic import Field, SecretStr

from service.settings.parts import SettingsPart
from service.settings.types import Budget, Budgets, CredentialsUrl


class BuildrSettings(SettingsPart):
    """The settings of Buildr's API and of the writes to it."""

    buildr_api_url: CredentialsUrl = Field(
        "https://api.buildr.com/api/2023-01", description="Buildr's API, version included."
    )
    buildr_token_url: CredentialsUrl = Field(
        "https://buildr.app/oauth/token",
        description="Where client credentials become an access token.",
    )
    buildr_client_id: str | None = Field(
        None, description="Client id of the machine credentials made in Buildr."
    )
    buildr_client_secret: SecretStr | None = Field(
        None, description="Client secret of the machine credentials."
    )
    buildr_scope: str = Field(
        "read write", description="Scope asked for with the client credentials."
    )
    buildr_access_token: SecretStr | None = Field(
        None, description="A ready access token, instead of client id and secret."
    )
    buildr_budgets: Budgets = Field(
        (Budget(requests=10, window_s=10),),
        description="Requests that Buildr allows in any window of time, like `10/10s, 2000/h`.",
    )
    buildr_timeout_s: float = Field(
        8, gt=0, le=10, description="Seconds that one request to Buildr may take in all."
    )
    max_attempts: int = Field(
        1000, ge=1, description="Failed attempts at a PATCH after which a call is filed as failed."
    )
    max_age_h: float = Field(
        168,
        gt=0,
        le=876_000,
        description="Hours after the first failed attempt at which a call is filed as failed.",
    )
    protect_hand_edits: bool = Field(
        False,
        description=(
            "Before an outcome that was written earlier is changed, read the call and leave a "
            "person's change alone; ids of the phone book only fill what is empty."
        ),
    )
    newest_first_above: int = Field(
        200, ge=0, description="Calls waiting in a lane above which the newest go first."
    )

    @property
    def has_buildr_credentials(self) -> bool:
        """Whether a way to authenticate at Buildr is set."""
        return self.buildr_client_id is not None or self.buildr_access_token is not None
