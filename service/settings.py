"""
Every setting of the service: read once, typed, all faults reported together.

A setting comes from the environment (`PORT`), from a file that the environment names (`TWILIO_AUTH_TOKEN_FILE`, for mounted secrets),
or from `buildr-calls.toml` (`port`), in this order. An empty variable counts as not set.
"""

import base64
import difflib
import hashlib
import ipaddress
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from service.errors import SettingsError
from service.outcome_rules import OutcomeConfig
from service.secrets import Secrets

CONFIG_NAME: Final = "buildr-calls.toml"
OUTCOME_TABLES: Final = frozenset(OutcomeConfig.model_fields)
FILE_SUFFIX: Final = "_FILE"
LOCAL_NAME: Final = "local.toml"
SOCKET_PATH_LIMIT: Final = 100
ADMIN_TOKEN_LENGTH: Final = 16
STANDARD_KEY_BYTES: Final = 16


# pydantic's kinds of faults, in the words of somebody who has to mend them.
CURES: Final = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "extra_forbidden": "is not known here",
    "missing": "is missing",
    "string_type": "must be a text",
    "string_pattern_mismatch": "must look like {pattern}",
}


class Budget(BaseModel):
    """At most `requests` requests to Buildr in any `window_s` seconds."""

    model_config = ConfigDict(frozen=True)
    requests: int = Field(ge=1)
    window_s: float = Field(gt=0)


class SettleTimes(BaseModel):
    """Seconds to settle: `default_s`, and others for sources by their slug."""

    model_config = ConfigDict(frozen=True)
    default_s: float = Field(2, ge=0, le=60)
    by_source: dict[str, Annotated[float, Field(ge=0, le=60)]] = Field(default_factory=dict)

    def of(self, source: str) -> float:
        """Seconds for a source."""
        return self.by_source.get(source, self.default_s)


def _read_settle(value: object) -> object:
    """Read `2, twilio=0, standard=5`; a number alone is for all sources."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"default_s": value}
    if not isinstance(value, str):
        return value
    by_source: dict[str, object] = {}
    found: dict[str, object] = {"by_source": by_source}
    for part in value.replace(",", " ").split():
        name, equals, seconds = part.rpartition("=")
        if equals:
            by_source[name] = seconds
        elif "default_s" in found:
            raise ValueError(f"{value!r} names two times for all sources; write one, then source=seconds, like 2, twilio=0")
        else:
            found["default_s"] = seconds
    return found


def _split(value: object) -> object:
    return tuple(part for part in value.replace(",", " ").split() if part) if isinstance(value, str) else value


def _read_budgets(value: object) -> object:
    """Read `10/10s, 2000/h, 48000/day`; a unit alone means one of it."""
    units = {"s": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}
    if not isinstance(value, str):
        return value
    budgets = []
    for part in value.replace(",", " ").split():
        count, slash, span = part.partition("/")
        number = span.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = span[len(number) :] or "s"
        if not (slash and count.isdigit() and unit in units and (not number or number.replace(".", "", 1).isdigit()) and span):
            raise ValueError(f"{part!r} is no budget; write requests/window, like 10/10s or 2000/h")
        budgets.append({"requests": int(count), "window_s": float(number or 1) * units[unit]})
    return tuple(budgets)


def _check_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a full URL, like https://calls.example.com")
    if parts.query or parts.fragment or parts.username:
        raise ValueError("must be a URL without user, query and fragment")
    return value.rstrip("/")


def _check_network(value: tuple[str, ...]) -> tuple[str, ...]:
    for part in value:
        ipaddress.ip_network(part, strict=False)
    return value


Url = Annotated[str, AfterValidator(_check_url)]
SecretList = Annotated[tuple[SecretStr, ...], BeforeValidator(_split)]
Budgets = Annotated[tuple[Budget, ...], BeforeValidator(_read_budgets), Field(min_length=1)]
Settle = Annotated[SettleTimes, BeforeValidator(_read_settle)]
Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Networks = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_check_network)]


class Settings(BaseModel):
    """All settings; the description of each field is its row in the docs."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    public_url: Url | None = Field(None, description="The address at which the telephony systems reach this service; signatures cover it.")
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="The port to listen on.")
    trusted_proxies: Networks = Field(
        (), description="Addresses or networks of proxies whose X-Forwarded-Proto and X-Forwarded-Host are believed."
    )
    data_dir: Path = Field(Path(".data"), description="Where `run` keeps its private Redis.")
    account: str = Field(
        "default", pattern="^[a-z0-9_-]{1,40}$", description="Name of this installation in Redis; those that share one need different ones."
    )
    redis_url: SecretStr | None = Field(None, description="Redis, like redis://:password@host:6379/0. Not set: the private Redis of `run`.")
    buildr_api_url: Url = Field("https://api.buildr.com/api/2023-01", description="Buildr's API, version included.")
    buildr_token_url: Url = Field("https://buildr.app/oauth/token", description="Where client credentials become an access token.")
    buildr_client_id: str | None = Field(None, description="Client id of the machine credentials made in Buildr.")
    buildr_client_secret: SecretStr | None = Field(None, description="Client secret of the machine credentials.")
    buildr_scope: str = Field("read write", description="Scope asked for with the client credentials.")
    buildr_access_token: SecretStr | None = Field(None, description="A ready access token, instead of client id and secret.")
    buildr_budgets: Budgets = Field(
        (Budget(requests=10, window_s=10),), description="Requests that Buildr allows in any window of time, like `10/10s, 2000/h`."
    )
    buildr_timeout_s: float = Field(8, gt=0, le=10, description="Seconds that one request to Buildr may take in all.")
    twilio_auth_token: SecretList = Field((), description="Twilio auth token; several, separated by commas, while rotating.")
    twilio_shared_keys: SecretList = Field((), description="Twilio shared keys as id:key pairs, separated by commas.")
    standard_secret: SecretList = Field(
        (), description="Standard Webhooks secret (whsec_...) of the source `standard`; several while rotating."
    )
    admin_token: SecretList = Field((), description="Bearer token for /links; at least 16 characters. Not set: /links is off.")
    max_body_bytes: int = Field(1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest webhook body that is read.")
    body_timeout_s: float = Field(10, gt=0, description="Seconds within which a webhook's body must arrive.")
    accept_timeout_s: float = Field(3, gt=0, le=14, description="Seconds that Redis has for keeping a message, then 503.")
    max_pending: int = Field(200_000, ge=1, description="Messages waiting to be read by a worker beyond which webhooks are answered 503.")
    dedupe_h: float = Field(96, ge=72, description="Hours for which a repeated message is recognised.")
    keep_messages_d: float = Field(7, gt=0, description="Days for which a raw message is kept after it was handled.")
    keep_failed_d: float = Field(30, gt=0, description="Days for which the raw messages of a failed call are kept.")
    keep_calls_d: float = Field(30, gt=0, description="Days for which a call is kept after its last event.")
    keep_links_d: float = Field(90, gt=0, description="Days for which a link is kept.")
    settle_s: Settle = Field(
        SettleTimes(),
        description="Seconds to wait after a final event, so that all goes out in one PATCH; for a source of its own like `2, twilio=0`.",
    )
    newest_first_above: int = Field(200, ge=0, description="Calls waiting in a lane above which the newest go first.")
    protect_hand_edits: bool = Field(
        False, description="Before an outcome that was written earlier is changed, read the call and leave a person's change alone."
    )
    own_numbers: Words = Field(
        (), description="Your own telephone numbers, like +15005550006 or +1500555*; calls between them are internal."
    )
    default_region: str = Field(
        "US", pattern="^[A-Z]{2}$", description="The country (two letters) of numbers that are given without a country code."
    )
    ambiguous_match: Literal["nearest", "oldest", "leave_unmatched"] = Field(
        "leave_unmatched", description="Which expected call is chosen where several fit equally well: nearest in time, oldest, or none."
    )
    expected_call_h: float = Field(4, gt=0, le=24 * 30, description="Hours for which an expected call waits if its window has no end.")
    ringing_timeout_s: float = Field(300, gt=0, description="Seconds after which a call that only ever rang is reported as stalled.")
    in_progress_timeout_s: float = Field(
        4 * 3600 + 300, gt=0, description="Seconds after which an answered call without an end is reported as stalled."
    )
    max_attempts: int = Field(1000, ge=1, description="Failed attempts at a PATCH after which a call is filed as failed.")
    max_age_h: float = Field(168, gt=0, description="Hours after the first failed attempt at which a call is filed as failed.")
    worker_jobs: int = Field(10, ge=1, le=100, description="Jobs that one worker runs at a time.")
    log_format: Literal["auto", "json", "pretty"] = Field("auto", description="json, pretty, or auto: pretty on a terminal.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    outcome_config: OutcomeConfig = Field(OutcomeConfig(), exclude=True)

    @field_validator("admin_token")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(token.get_secret_value()) < ADMIN_TOKEN_LENGTH for token in value):
            raise ValueError(f"must be at least {ADMIN_TOKEN_LENGTH} characters; make one with: openssl rand -hex 32")
        return value

    @field_validator("standard_secret")
    @classmethod
    def _base64(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            try:
                key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
            except ValueError:
                key = b""
            if len(key) < STANDARD_KEY_BYTES:
                raise ValueError("must be whsec_ and the base64 of at least 16 random bytes, like: echo whsec_$(openssl rand -base64 32)")
        return value

    @field_validator("twilio_shared_keys")
    @classmethod
    def _pairs(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(all(pair.get_secret_value().partition(":")[::2]) for pair in value):
            raise ValueError("must be pairs of id and key, like webhooks_sharedkey_01:THEKEY")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value

    @model_validator(mode="after")
    def _budget_reaches(self) -> Self:
        if self.requests_per_call > min(budget.requests for budget in self.buildr_budgets):
            raise ValueError("BUILDR_BUDGETS: writing notes takes 2 requests per call, so that every budget must allow at least 2")
        return self

    @property
    def requests_per_call(self) -> int:
        """How many requests to Buildr one call may take: 2 where notes are written, since they are read first."""
        return 1 if self.outcome_config.notes.mode == "never" else 2

    @property
    def has_buildr_credentials(self) -> bool:
        """Whether a way to authenticate at Buildr is set."""
        return self.buildr_client_id is not None or self.buildr_access_token is not None

    @property
    def redis_dsn(self) -> str:
        """The URL of Redis: the one that is set, else the socket of the private Redis."""
        return self.redis_url.get_secret_value() if self.redis_url is not None else f"unix://{quote(str(socket_path(self.data_dir)))}"

    @property
    def base_url(self) -> str:
        """The public URL, or where the receiver listens if none is set."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"

    def secrets_of(self, source: str) -> Secrets:
        """The secrets of a source, by its slug; falsy if there are none, which means that the source is off."""
        if source == "twilio":
            pairs = (pair.get_secret_value().partition(":") for pair in self.twilio_shared_keys)
            return Secrets(_reveal(self.twilio_auth_token), {key_id: key for key_id, _, key in pairs})
        if source == "standard":
            return Secrets(_reveal(self.standard_secret))
        return Secrets()


def _reveal(secrets: tuple[SecretStr, ...]) -> tuple[str, ...]:
    return tuple(secret.get_secret_value() for secret in secrets)


def socket_path(data_dir: Path) -> Path:
    """Where the private Redis of a data folder listens; moved to the temporary folder when the path is too long for a socket."""
    path = data_dir.resolve() / "redis.sock"
    if len(str(path)) <= SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"buildr-calls-{os.getuid()}-{name}" / "redis.sock"


def load(environ: Mapping[str, str], *, cwd: Path | None = None, is_local: bool = False) -> Settings:
    """
    Read all settings.

    `is_local` is for commands on the machine where `run` runs: what `run` made up (demo secrets, the sandbox's address) fills what is not
    set. Raises `SettingsError` with every fault found.
    """
    faults: list[str] = []
    folder = cwd or Path.cwd()
    values = _from_toml(environ, folder, faults)
    values.update(_from_environment(environ, faults))
    if is_local:
        data_dir = folder / Path(str(values.get("data_dir", Settings.model_fields["data_dir"].default)))
        values = _from_local(data_dir / LOCAL_NAME) | values
    if ("buildr_client_id" in values) != ("buildr_client_secret" in values):
        # Looked at here, since pydantic leaves rules over several fields out while any one field is wrong.
        faults.append("BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET go together: set both, or BUILDR_ACCESS_TOKEN instead")
    try:
        settings = Settings.model_validate(values)
    except ValidationError as err:
        faults.extend(_describe(err))
        raise SettingsError(tuple(faults)) from None
    if faults:
        raise SettingsError(tuple(faults))
    return settings


def names() -> tuple[str, ...]:
    """The environment variables that are read, in the order of the docs."""
    return ("CONFIG", *(name.upper() for name in Settings.model_fields if name != "outcome_config"))


def _from_environment(environ: Mapping[str, str], faults: list[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for field in Settings.model_fields:
        name = field.upper()
        if field == "outcome_config":
            continue
        if text := environ.get(name, "").strip():
            values[field] = text
        elif path := environ.get(name + FILE_SUFFIX, "").strip():
            try:
                values[field] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as err:
                faults.append(f"{name}{FILE_SUFFIX}: cannot read {path}: {getattr(err, 'strerror', None) or 'not a text file'}")
    return values


def _from_toml(environ: Mapping[str, str], folder: Path, faults: list[str]) -> dict[str, object]:
    named = environ.get("CONFIG", "").strip()
    path = folder / (named or CONFIG_NAME)
    if not named and not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as err:
        faults.append(f"CONFIG: cannot read {path}: {getattr(err, 'strerror', None) or 'not a text file'}")
        return {}
    except tomllib.TOMLDecodeError as err:
        faults.append(f"CONFIG: {path} is not TOML: {err}")
        return {}
    values: dict[str, object] = {"outcome_config": {key: value for key, value in table.items() if key in OUTCOME_TABLES}}
    for key, value in table.items():
        field = key.lower()
        if key in OUTCOME_TABLES:
            continue
        if field not in Settings.model_fields or field == "outcome_config":
            known = [*Settings.model_fields, *OUTCOME_TABLES]
            near = difflib.get_close_matches(field, known, n=1)
            faults.append(f"{path.name}: {key} is no setting" + (f"; did you mean {near[0]}?" if near else ""))
        else:
            values[field] = value
    return values


def _from_local(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return {}


def _describe(err: ValidationError) -> list[str]:
    lines = []
    for fault in err.errors(include_url=False, include_input=False):
        where = [str(part) for part in fault["loc"] if part != "[key]"]
        template = CURES.get(fault["type"])
        message = template.format(**fault.get("ctx", {})) if template else fault["msg"].removeprefix("Value error, ")
        if where and where[0] == "outcome_config":
            lines.append(f"{CONFIG_NAME}: {'.'.join(where[1:]) or 'outcomes'}: {message}")
        else:
            lines.append(f"{where[0].upper()}: {message}" if where else message)
    return lines
