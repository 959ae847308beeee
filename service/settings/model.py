"""
All settings of one account: each field is a setting, its description is its row in the docs.

Where they come from is in `service.settings.load`, the accounts side by side in
`service.settings.installation`.
"""

from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from pydantic import ConfigDict, Field, SecretStr

from service.settings.contact_list import ContactListSettings
from service.settings.outcomes import OutcomeConfig
from service.settings.redis_socket import socket_path
from service.settings.types import (
    AdminTokens,
    Budget,
    Budgets,
    Networks,
    OwnNumberList,
    RedisUrl,
    Region,
    Settle,
    SettleTimes,
    Url,
    UrlSecrets,
)
from service.sources import SOURCES
from service.sources.settings import Secrets, SettingKind

ACCOUNT_NAME: Final = "^[a-z0-9_-]{1,40}$"


class Settings(ContactListSettings):
    """
    The settings of one account; those of the process (host, port, log level) are the same in every
    account.

    `account` is its name. `is_default` is False for an account with a table `[accounts.NAME]`.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

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
    data_dir: Path = Field(Path(".data"), description="Where `run` keeps its private Redis.")
    account: str = Field(
        "default",
        pattern=ACCOUNT_NAME,
        description="Name of this installation in Redis; those that share one need different ones.",
    )
    redis_url: RedisUrl | None = Field(
        None,
        description=(
            "Redis, like redis://:password@host:6379/0. Not set: the private Redis of `run`."
        ),
    )
    buildr_api_url: Url = Field(
        "https://api.buildr.com/api/2023-01", description="Buildr's API, version included."
    )
    buildr_token_url: Url = Field(
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
    max_body_bytes: int = Field(
        1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest webhook body that is read."
    )
    body_timeout_s: float = Field(
        10, gt=0, description="Seconds within which a webhook's body must arrive."
    )
    accept_timeout_s: float = Field(
        3, gt=0, le=14, description="Seconds that Redis has for keeping a message, then 503."
    )
    max_pending: int = Field(
        200_000,
        ge=1,
        description=(
            "Messages waiting to be read by a worker beyond which webhooks are answered 503."
        ),
    )
    # The longest schedule of retries, that of Standard Webhooks, takes 76 hours.
    dedupe_h: float = Field(
        96,
        ge=72,
        le=876_000,
        description="Hours for which a repeated message is recognised, at least.",
    )
    keep_messages_d: float = Field(
        7, gt=0, le=36_500, description="Days for which a raw message is kept after it was handled."
    )
    keep_failed_d: float = Field(
        30,
        gt=0,
        le=36_500,
        description="Days for which the raw messages of a failed call are kept.",
    )
    keep_calls_d: float = Field(
        30, gt=0, le=36_500, description="Days for which a call is kept after its last event."
    )
    keep_links_d: float = Field(90, gt=0, le=36_500, description="Days for which a link is kept.")
    settle_s: Settle = Field(
        SettleTimes(),
        description=(
            "Seconds to wait after a final event, so that all goes out in one PATCH; for a source "
            "of its own like `2, twilio=0`."
        ),
    )
    newest_first_above: int = Field(
        200, ge=0, description="Calls waiting in a lane above which the newest go first."
    )
    protect_hand_edits: bool = Field(
        False,
        description=(
            "Before an outcome that was written earlier is changed, read the call and leave a "
            "person's change alone; ids of the phone book only fill what is empty."
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
    max_attempts: int = Field(
        1000, ge=1, description="Failed attempts at a PATCH after which a call is filed as failed."
    )
    max_age_h: float = Field(
        168,
        gt=0,
        le=876_000,
        description="Hours after the first failed attempt at which a call is filed as failed.",
    )
    worker_jobs: int = Field(10, ge=1, le=100, description="Jobs that one worker runs at a time.")
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
    def has_buildr_credentials(self) -> bool:
        """Whether a way to authenticate at Buildr is set."""
        return self.buildr_client_id is not None or self.buildr_access_token is not None

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
    def redis_dsn(self) -> str:
        """The URL of Redis: the one that is set, else the socket of the private Redis."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        return f"unix://{quote(str(socket_path(self.data_dir)))}"

    @property
    def base_url(self) -> str:
        """The public URL, or where the receiver listens if none is set; no slash at its end."""
        if self.public_url is not None:
            return self.public_url
        host = self.host
        if ":" in host:
            host = f"[{host}]"
        return f"http://{host}:{self.port}"

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
        source = SOURCES.get(slug)
        if source is None:
            return ()
        names = [setting.name for setting in source.settings if setting.kind is kind]
        return tuple(
            secret.get_secret_value() for name in names for secret in self.of_sources.get(name, ())
        )
