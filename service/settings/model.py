"""
The settings of one account, whole: each field is a setting, its description is its row in the docs.

Not here: where they come from; see `service.settings.loading`.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from service.errors import SettingsError
from service.settings.outcomes import OutcomeConfig
from service.settings.types import (
    NO_TEXT,
    Budget,
    Budgets,
    Networks,
    OwnNumberList,
    Region,
    SecretList,
    Settle,
    SettleTimes,
    Url,
)
from service.sources import SOURCES
from service.sources.settings import Secrets, SettingKind
from service.webhook_urls import TOKEN_SEGMENT

SOCKET_PATH_LIMIT: Final = 100
ADMIN_TOKEN_LENGTH: Final = 16
URL_SECRET_LENGTH: Final = 32
# Of one call: one that reads, one that writes.
MOST_REQUESTS: Final = 2
ACCOUNT_NAME: Final = "^[a-z0-9_-]{1,40}$"


class Settings(BaseModel):
    """All settings of one account; those of the default account hold the other accounts."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    public_url: Url | None = Field(
        None,
        description="The address at which the telephony systems reach this service; signatures cover it.",
    )
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="The port to listen on.")
    trusted_proxies: Networks = Field(
        (),
        description="Addresses or networks of proxies whose X-Forwarded-Proto and X-Forwarded-Host are believed.",
    )
    data_dir: Path = Field(Path(".data"), description="Where `run` keeps its private Redis.")
    account: str = Field(
        "default",
        pattern=ACCOUNT_NAME,
        description="Name of this installation in Redis; those that share one need different ones.",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Redis, like redis://:password@host:6379/0. Not set: the private Redis of `run`.",
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
    url_secret: SecretList = Field(
        (),
        description="Secret of at least 32 characters that makes path tokens and signed ids in addresses; several while rotating.",
    )
    admin_token: SecretList = Field(
        (),
        description="Bearer token for /links and /expected-calls; at least 16 characters. Not set: both are off.",
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
        description="Messages waiting to be read by a worker beyond which webhooks are answered 503.",
    )
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
        description="Seconds to wait after a final event, so that all goes out in one PATCH; for a source of its own like `2, twilio=0`.",
    )
    newest_first_above: int = Field(
        200, ge=0, description="Calls waiting in a lane above which the newest go first."
    )
    protect_hand_edits: bool = Field(
        False,
        description="Before an outcome that was written earlier is changed, read the call and leave a person's change alone.",
    )
    own_numbers: OwnNumberList = Field(
        (),
        description="Your own telephone numbers, like +15005550006 or +1500555*; calls between them are internal.",
    )
    default_region: Region = Field(
        "US",
        description="The country (two letters) of numbers that are given without a country code.",
    )
    ambiguous_match: Literal["nearest", "oldest", "leave_unmatched"] = Field(
        "leave_unmatched",
        description="Which expected call is chosen where several fit equally well: nearest in time, oldest, or none.",
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
    named: tuple["Settings", ...] = Field((), exclude=True, repr=False)

    @field_validator("admin_token")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(token.get_secret_value()) < ADMIN_TOKEN_LENGTH for token in value):
            raise ValueError(
                f"must be at least {ADMIN_TOKEN_LENGTH} characters; make one with: openssl rand -hex 32"
            )
        return _printable(value)

    @field_validator("url_secret")
    @classmethod
    def _hard_to_guess(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < URL_SECRET_LENGTH for secret in value):
            raise ValueError(
                f"must be at least {URL_SECRET_LENGTH} characters; make one with: openssl rand -hex 32"
            )
        return _printable(value)

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in (
            "redis",
            "rediss",
            "unix",
        ):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value

    @field_validator("buildr_budgets")
    @classmethod
    def _reach_for_a_call(cls, value: tuple[Budget, ...]) -> tuple[Budget, ...]:
        if any(budget.requests < MOST_REQUESTS for budget in value):
            raise ValueError(
                "every budget must allow at least 2 requests, since a call may be read before it is written; like 2/2s in place of 1/s"
            )
        return value

    @property
    def has_buildr_credentials(self) -> bool:
        """Whether a way to authenticate at Buildr is set."""
        return self.buildr_client_id is not None or self.buildr_access_token is not None

    @property
    def reaches_buildr(self) -> bool:
        """Whether any account has a way to authenticate at Buildr."""
        return any(account.has_buildr_credentials for account in self.every)

    @property
    def has_sources(self) -> bool:
        """Whether any source has a secret."""
        return any(self.secrets_of(source) for source in SOURCES)

    @property
    def is_active(self) -> bool:
        """
        Whether there is anything to do for this account; the default one stands back where only
        others are set up.
        """
        return not self.named or self.has_sources or self.has_buildr_credentials

    @property
    def every(self) -> tuple["Settings", ...]:
        """
        The settings of each active account, the default one first; of a named account only its own.
        """
        return ((self,) if self.is_active else ()) + self.named

    def of(self, account: str) -> "Settings":
        """
        The settings of one account. Raises `SettingsError` that lists the accounts if there is none
        of that name.
        """
        found = {self.account: self, **{each.account: each for each in self.named}}
        if account not in found:
            raise SettingsError(
                (
                    f"there is no account {account}: there is {', '.join(each.account for each in self.every)}",
                )
            )
        return found[account]

    @property
    def links_prefix(self) -> str:
        """What the paths of this account's links start with: nothing for the default account."""
        return "" if self.is_default else f"/accounts/{self.account}"

    def webhook_path(self, source: str) -> str:
        """
        Where a source sends this account's messages: `/webhooks/SOURCE`, with the account's name
        before the source's if it has one.
        """
        return f"/webhooks/{source}" if self.is_default else f"/webhooks/{self.account}/{source}"

    def webhook_address(self, source: str, *, token: str | None) -> str:
        """
        The same as a whole address; `token` is its path token, see `service.addresses.token_of`.
        """
        return (
            self.base_url
            + self.webhook_path(source)
            + ("" if token is None else f"{TOKEN_SEGMENT}{token}")
        )

    @property
    def redis_dsn(self) -> str:
        """The URL of Redis: the one that is set, else the socket of the private Redis."""
        return (
            self.redis_url.get_secret_value()
            if self.redis_url is not None
            else f"unix://{quote(str(socket_path(self.data_dir)))}"
        )

    @property
    def base_url(self) -> str:
        """The public URL, or where the receiver listens if none is set."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"

    def secrets_of(self, source: str) -> Secrets:
        """
        The secrets of a source, by its slug; falsy if there are none, which means that the source
        is off.
        """
        if source not in SOURCES:
            return Secrets()
        values = {
            use: self._reveal(source, use)
            for use in (SettingKind.SIGNING_SECRET, SettingKind.KEY_PAIR)
        }
        pairs = (pair.partition(":") for pair in values[SettingKind.KEY_PAIR])
        return Secrets(
            values[SettingKind.SIGNING_SECRET], {key_id: key for key_id, _, key in pairs}
        )

    def api_of(self, source: str) -> dict[str, str]:
        """
        What the upkeep of a source's subscriptions needs, by the setting's name without the slug;
        defaults count as set.
        """
        found: dict[str, str] = {}
        for setting in SOURCES[source].settings:
            values = self.of_sources.get(setting.name, ())
            value = values[0].get_secret_value() if values else setting.default
            if setting.kind is SettingKind.API_CREDENTIAL and value is not None:
                found[setting.name.removeprefix(f"{source}_")] = value
        return found

    @property
    def url_secrets(self) -> tuple[str, ...]:
        """The secrets of path tokens and signed links, newest first."""
        return tuple(secret.get_secret_value() for secret in self.url_secret)

    def _reveal(self, source: str, kind: SettingKind) -> tuple[str, ...]:
        names = [setting.name for setting in SOURCES[source].settings if setting.kind is kind]
        return tuple(
            secret.get_secret_value() for name in names for secret in self.of_sources.get(name, ())
        )


def _printable(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if any(not secret.get_secret_value().isprintable() for secret in secrets):
        raise ValueError(NO_TEXT)
    return secrets


def socket_path(data_dir: Path) -> Path:
    """
    Where the private Redis of a data folder listens; moved to the temporary folder when the path is
    too long for a socket.
    """
    path = data_dir.resolve() / "redis.sock"
    if len(str(path)) <= SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"buildr-calls-{os.getuid()}-{name}" / "redis.sock"
