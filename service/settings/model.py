"""
All settings of one account: each field is a setting, its description is its row in the docs.

Where they come from is in `service.settings.load`, the accounts side by side in
`service.settings.installation`.
"""

from typing import Literal

from pydantic import ConfigDict, Field, SecretStr

from service.settings.alerts import AlertSettings
from service.settings.buildr import BuildrSettings
from service.settings.console import ConsoleSettings
from service.settings.contact_list import ContactListSettings
from service.settings.dialling import DiallingSettings
from service.settings.listening import ListeningSettings
from service.settings.outcomes import OutcomeConfig
from service.settings.reports import ReportSettings
from service.settings.storage import RedisSettings
from service.settings.types import (
    AdminTokens,
    OwnNumberList,
    Region,
    Settle,
    SettleTimes,
    UrlSecrets,
)
from service.sources import SETTING_NAMES, SOURCES
from service.sources.settings import Secrets, SettingKind


class Settings(
    DiallingSettings,
    AlertSettings,
    ReportSettings,
    ConsoleSettings,
    ContactListSettings,
    BuildrSettings,
    RedisSettings,
    ListeningSettings,
):
    """
    The settings of one account; those of the process (host, port, log level) are the same in every
    account.

    `account` is its name. `is_default` is False for an account with a table `[accounts.NAME]`.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    url_secret: UrlSecrets = Field(
        (),
        description=(
            "Secret of at least 32 characters that makes path tokens and signed ids in addresses; "
            "several while rotating."
        ),
    )
    admin_token: AdminTokens = Field(
        (),
        description=(
            "Bearer token for /links, /expected-calls and /phonebook; at least 16 characters. Not "
            "set: they are off."
        ),
    )
    settle_s: Settle = Field(
        SettleTimes(),
        description=(
            "Seconds to wait after a final event, so that all goes out in one PATCH; for a source "
            "of its own like `2, twilio=0`."
        ),
    )
    own_numbers: OwnNumberList = Field(
        (),
        description=(
            "Your own telephone numbers, like +15005550006 or +1500555*; calls between them are "
            "internal."
        ),
    )
    default_region: Region = Field(
        "US",
        description="The country (two letters) of numbers that are given without a country code.",
    )
    ambiguous_match: Literal["nearest", "oldest", "leave_unmatched"] = Field(
        "leave_unmatched",
        description=(
            "Which expected call is chosen where several fit equally well: nearest in time, "
            "oldest, or none."
        ),
    )
    expected_call_h: float = Field(
        4,
        gt=0,
        le=24 * 30,
        description="Hours for which an expected call waits if its window has no end.",
    )
    ringing_timeout_s: float = Field(
        300,
        gt=0,
        description="Seconds after which a call that only ever rang is reported as stalled.",
    )
    in_progress_timeout_s: float = Field(
        4 * 3600 + 300,
        gt=0,
        description="Seconds after which an answered call without an end is reported as stalled.",
    )
    ask_for_ends: bool = Field(
        True,
        description=(
            "Whether a call without its end is read from the telephony system's own API, where "
            "that has credentials."
        ),
    )
    worker_jobs: int = Field(
        10, ge=1, le=100, description="Jobs that one worker runs at a time, and requests under way."
    )
    log_format: Literal["auto", "json", "pretty"] = Field(
        "auto", description="json, pretty, or auto: pretty on a terminal."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )
    # What is excluded is no setting of its own.
    outcome_config: OutcomeConfig = Field(OutcomeConfig(), exclude=True)
    # What the sources' own settings hold (`service.sources.SETTINGS`), by name.
    of_sources: dict[str, tuple[SecretStr, ...]] = Field(default_factory=dict, exclude=True)
    is_default: bool = Field(True, exclude=True, repr=False)

    @property
    def has_sources(self) -> bool:
        """Whether any source has a secret."""
        return any(self.secrets_of(source) for source in SOURCES)

    @property
    def path_account(self) -> str | None:
        """The account's name as it is in paths; None for the default account, which has none."""
        if self.is_default:
            return None
        return self.account

    @property
    def url_secrets(self) -> tuple[str, ...]:
        """The secrets of path tokens and signed ids in URLs, newest first."""
        return tuple(secret.get_secret_value() for secret in self.url_secret)

    def secrets_of(self, source: str) -> Secrets:
        """
        The secrets of a source, by its slug; falsy if there are none, which means that the source
        is off.
        """
        pairs = (pair.partition(":") for pair in self._values_of(source, SettingKind.KEY_PAIR))
        return Secrets(
            self._values_of(source, SettingKind.SIGNING_SECRET),
            {key_id: key for key_id, _, key in pairs},
        )

    def api_of(self, source: str) -> dict[str, str]:
        """
        The credentials for the API of a source, which manages its subscriptions there: by the
        setting's name without the slug, defaults included.
        """
        credentials: dict[str, str] = {}
        for setting in SOURCES[source].settings:
            if setting.kind is not SettingKind.API_CREDENTIAL:
                continue
            name = setting.name.removeprefix(f"{source}_")
            values = self.of_sources.get(setting.name)
            if values:
                credentials[name] = values[0].get_secret_value()
            elif setting.default is not None:
                credentials[name] = setting.default
        return credentials

    def _values_of(self, slug: str, kind: SettingKind) -> tuple[str, ...]:
        # First, so that a source is loaded only where it is set up.
        if self.of_sources.keys().isdisjoint(SETTING_NAMES.get(slug, ())):
            return ()
        names = [setting.name for setting in SOURCES[slug].settings if setting.kind is kind]
        return tuple(
            secret.get_secret_value() for name in names for secret in self.of_sources.get(name, ())
        )
