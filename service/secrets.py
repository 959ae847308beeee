"""
The secrets of one source, as its module gets them, and the settings that hold them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of one source, newest first; `named` holds those that the sender picks by an id of its own."""

    values: tuple[str, ...] = field(default=(), repr=False)
    named: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.values or self.named)


@dataclass(frozen=True, slots=True)
class SecretSettings:
    """Which settings hold a source's secrets: `values` names a list of them, `named` one of pairs like id:secret."""

    values: str
    named: str | None = None


# Source -> the settings of its secrets. A source that is not here has none and is off.
SECRET_SETTINGS: Final[Mapping[str, SecretSettings]] = {
    "twilio": SecretSettings("twilio_auth_token", "twilio_shared_keys"),
    "standard": SecretSettings("standard_secret"),
    "callrail": SecretSettings("callrail_signing_key"),
    "plivo": SecretSettings("plivo_auth_token"),
}
# All of them: what no account may have from another.
SECRET_NAMES: Final = frozenset(name for each in SECRET_SETTINGS.values() for name in (each.values, each.named) if name is not None)


def advice() -> str:
    """What turns a source on, for a message: there are too many settings to name them all."""
    return "the secret of your telephony system, like TWILIO_AUTH_TOKEN; docs/settings.md names them all"
