"""
Alerts by Slack and e-mail, for those without Prometheus: the table `[alerts]`.
"""

import re
from email.utils import parseaddr
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from service.settings.parts import SettingsPart
from service.settings.toml_values import did_you_mean
from service.settings.types import Words
from service.sources.common.setting_checks import is_loopback

# In the order of the docs. `workers.alerts.conditions` says what each of them means.
ALERT_KINDS: Final = (
    "no_worker",
    "no_receiver",
    "redis_trouble",
    "messages_unread",
    "delivery_late",
    "buildr_away",
    "spool_waiting",
    "spool_set_aside",
    "failed",
    "source_silent",
    "signatures_refused",
    "subscription_broken",
    "unknown_values",
    "outcome_shifted",
)
TABLE: Final = "alerts"
PREFIX: Final = f"{TABLE}_"
SMTP_SCHEMES: Final = ("smtp", "smtps")
ADDRESS: Final = re.compile(r"[^@\s\"<>]+@[^@\s\"<>]+", re.ASCII)


def alert_settings(table: dict[str, object], faults: list[str], *, where: str) -> dict[str, object]:
    """
    A table of the file with what lies in `[alerts]` as settings of its own: `slack_url` in there is
    `alerts_slack_url`.
    """
    nested = table.get(TABLE, {})
    if not isinstance(nested, dict):
        faults.append(f"{where}: {TABLE} must be a table, like [{TABLE}]")
        nested = {}
    plain = {key: value for key, value in table.items() if key != TABLE}
    return {**plain, **{f"{PREFIX}{key}": value for key, value in nested.items()}}


def _split_url(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        # Raises ValueError for what is no port.
        _ = parts.port
    except ValueError:
        raise ValueError("is no URL") from None
    if not parts.hostname:
        raise ValueError("must name a host")
    return parts


def _check_webhook(value: SecretStr) -> SecretStr:
    parts = _split_url(value.get_secret_value())
    is_local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not is_local:
        raise ValueError("must start with https://")
    return value


def _check_smtp(value: SecretStr) -> SecretStr:
    parts = _split_url(value.get_secret_value())
    if parts.scheme not in SMTP_SCHEMES:
        raise ValueError("must be like smtp://user:password@host:587 or smtps://host")
    if (parts.username is None) != (parts.password is None):
        raise ValueError("needs both user and password, or neither; write @ in a user as %40")
    return value


def _check_addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        _check_address(value)
    return values


def _check_address(value: str) -> str:
    # As it goes into a header: with a line break it would be another one.
    if parseaddr(value)[1] != value or ADDRESS.fullmatch(value) is None:
        raise ValueError(f"{value!r} is no address like ops@example.com")
    return value


def _check_kinds(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value not in ALERT_KINDS:
            raise ValueError(f"no alert is called {value!r}, {did_you_mean(value, ALERT_KINDS)}")
    return values


class AlertSettings(SettingsPart):
    """Where alerts go, and when; they are for all accounts of an installation."""

    alerts_slack_url: Annotated[SecretStr, AfterValidator(_check_webhook)] | None = Field(
        None,
        description=(
            "Incoming webhook of Slack, or of what takes the same (Mattermost, Rocket.Chat, Google "
            "Chat, Discord with /slack at the end), to which alerts are sent."
        ),
    )
    alerts_email_to: Annotated[Words, AfterValidator(_check_addresses)] = Field(
        (), description="Addresses to which alerts are sent by e-mail; needs ALERTS_SMTP_URL."
    )
    alerts_email_from: Annotated[str, AfterValidator(_check_address)] | None = Field(
        None, description="The sender of these e-mails. Not set: the first of ALERTS_EMAIL_TO."
    )
    alerts_smtp_url: Annotated[SecretStr, AfterValidator(_check_smtp)] | None = Field(
        None,
        description=(
            "The mail server, like smtp://user:password@host:587 (STARTTLS) or "
            "smtps://user:password@host:465; without TLS only on this machine."
        ),
    )
    alerts_off: Annotated[Words, AfterValidator(_check_kinds)] = Field(
        (), description="Kinds of alerts that are not sent, like `outcome_shifted`."
    )
    alerts_reminder_h: float = Field(
        24,
        ge=0,
        le=8760,
        description="Hours after which an alert that is still open is sent once more; 0: never.",
    )
    alerts_queue_age_s: float = Field(
        900,
        ge=60,
        description=(
            "Seconds that a message may wait for a worker, or a final call for Buildr, before "
            "there is an alert."
        ),
    )
    alerts_refused_in_a_row: int = Field(
        5,
        ge=1,
        description=(
            "Requests of a source that fail their signature, with none between them that passes, "
            "before there is an alert."
        ),
    )

    @property
    def has_alerts(self) -> bool:
        """Whether alerts go anywhere."""
        return self.alerts_slack_url is not None or bool(self.alerts_email_to)
