"""
The values of settings that are more than a text or a number, read as people write them.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from service.phone_numbers import LEAST_DIGITS
from service.sources import SOURCES
from service.sources.common.setting_checks import check_api_url, check_url

# Sent over the network for comparison: guessing it is limited by the requests that it takes.
ADMIN_TOKEN_LENGTH: Final = 16
# Longer than that of a token: whoever sees one address can try secrets offline, as many as a
# machine can compute.
URL_SECRET_LENGTH: Final = 32
# What redis-py reads. A plain host name would only be refused by it at the first connection.
REDIS_SCHEMES: Final = frozenset({"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"})
# Options of the URL that name files. One that is not there would look like a Redis that is away.
REDIS_FILES: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
# Hosts of Sentinels, the name of the service, and the number of the database.
SENTINEL_URL: Final = r"rediss?\+sentinel://([^/@]*@)?[^/@,]+(,[^/@,]+)*/[^/?]+(/\d*)?(\?.*)?"
# Of one call: one that reads it, one that writes it.
REQUESTS_PER_CALL: Final = 2
# Such as a byte that is no UTF-8, or an invisible character that was copied along.
NO_TEXT: Final = "holds characters that cannot be printed; write it again, in UTF-8"


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
        """
        Seconds for a source: as set for it, else those of all sources, or its own if it needs
        longer.
        """
        if source in self.by_source:
            return self.by_source[source]
        if source not in SOURCES:
            return self.default_s
        # A source that needs longer keeps it unless an operator names the source: a shorter time
        # could write a call twice.
        return max(self.default_s, SOURCES[source].settle_s)


def _read_settle(value: object) -> object:
    """Read `2, twilio=0, standard=5`; a number alone is for all sources."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"default_s": value}
    if not isinstance(value, str):
        return value
    by_source: dict[str, object] = {}
    fields: dict[str, object] = {"by_source": by_source}
    for part in value.replace(",", " ").split():
        name, equals, seconds = part.rpartition("=")
        if equals:
            by_source[name] = seconds
        elif "default_s" in fields:
            raise ValueError(
                f"{value!r} names two times for all sources; write one, then source=seconds, like "
                "2, twilio=0"
            )
        else:
            fields["default_s"] = seconds
    return fields


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    return value


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
        is_number = not number or number.replace(".", "", 1).isdigit()
        is_span = bool(span) and unit in units and is_number
        # isdigit() alone would let digits of other scripts pass, which int() then reads.
        if not (slash and part.isascii() and count.isdigit() and is_span):
            raise ValueError(f"{part!r} is no budget; write requests/window, like 10/10s or 2000/h")
        budgets.append({"requests": int(count), "window_s": float(number or 1) * units[unit]})
    return tuple(budgets)


def _check_url(value: str) -> str:
    if fault := check_url(value):
        raise ValueError(fault)
    # Paths are appended with a slash of their own.
    return value.rstrip("/")


def _check_credentials_url(value: str) -> str:
    if fault := check_api_url(value):
        raise ValueError(fault)
    return _check_url(value)


def _check_region(value: str) -> str:
    # Loaded for a country that is set, as in `service.phone_numbers`.
    from phonenumbers import SUPPORTED_REGIONS

    if value not in SUPPORTED_REGIONS:
        raise ValueError("must be a country of two letters, like US or GB")
    return value


def _check_own(value: tuple[str, ...]) -> tuple[str, ...]:
    for part in value:
        if (
            part.startswith("+")
            and not part.endswith("*")
            and sum(char.isdigit() for char in part) < LEAST_DIGITS
        ):
            raise ValueError(
                f"{part} is no whole number; write numbers without blanks, like +15005550006, or a "
                "beginning with a star"
            )
    return value


def _check_network(value: tuple[str, ...]) -> tuple[str, ...]:
    for part in value:
        # Only checked: a wrong network would otherwise be found when the receiver starts, without
        # the name of its setting.
        ipaddress.ip_network(part, strict=False)
    return value


def _check_secrets(value: tuple[SecretStr, ...], min_length: int) -> tuple[SecretStr, ...]:
    texts = [secret.get_secret_value() for secret in value]
    if any(len(text) < min_length for text in texts):
        raise ValueError(
            f"must be at least {min_length} characters; make one with: openssl rand -hex 32"
        )
    if not all(text.isprintable() for text in texts):
        raise ValueError(NO_TEXT)
    return value


def _check_admin_tokens(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    return _check_secrets(value, ADMIN_TOKEN_LENGTH)


def _check_url_secrets(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    return _check_secrets(value, URL_SECRET_LENGTH)


def _check_redis_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if urlsplit(url).scheme not in REDIS_SCHEMES:
        raise ValueError("must start with redis://, rediss://, unix:// or redis+sentinel://")
    if urlsplit(url).scheme.endswith("+sentinel") and not re.fullmatch(SENTINEL_URL, url):
        raise ValueError(
            "must be like redis+sentinel://host1:26379,host2:26379/mymaster/0, with the name of "
            "the service after the hosts"
        )
    for name, path in parse_qsl(urlsplit(url).query):
        if name.removeprefix("sentinel_") in REDIS_FILES and not Path(path).is_file():
            raise ValueError(f"{name} names no file: {path}")
    return value


def _check_budgets(value: tuple[Budget, ...]) -> tuple[Budget, ...]:
    if any(budget.requests < REQUESTS_PER_CALL for budget in value):
        raise ValueError(
            "every budget must allow at least 2 requests, since a call may be read before it is "
            "written; like 2/2s in place of 1/s"
        )
    return value


Url = Annotated[str, AfterValidator(_check_url)]
# Where credentials are sent to.
CredentialsUrl = Annotated[str, AfterValidator(_check_credentials_url)]
AdminTokens = Annotated[
    tuple[SecretStr, ...], BeforeValidator(_split), AfterValidator(_check_admin_tokens)
]
UrlSecrets = Annotated[
    tuple[SecretStr, ...], BeforeValidator(_split), AfterValidator(_check_url_secrets)
]
RedisUrl = Annotated[SecretStr, AfterValidator(_check_redis_url)]
Budgets = Annotated[
    tuple[Budget, ...],
    BeforeValidator(_read_budgets),
    Field(min_length=1),
    AfterValidator(_check_budgets),
]
Settle = Annotated[SettleTimes, BeforeValidator(_read_settle)]
Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Region = Annotated[str, AfterValidator(_check_region)]
OwnNumberList = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_check_own)]
Networks = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_check_network)]
