"""
The secrets of one source, as its module gets them, and the settings from which they come.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec
from msgspec import Struct


@dataclass(frozen=True, slots=True)
class Secrets:
    """
    The secrets of one source, newest first; `by_key_id` holds those of which the sender names one
    by its id.
    """

    values: tuple[str, ...] = field(default=(), repr=False)
    by_key_id: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.values or self.by_key_id)


class SettingKind(StrEnum):
    """
    What a source's setting is for.

    `proof` holds secrets, any of which proves a message; `pair` holds pairs like id:secret, of
    which the sender picks one. A source is on once it has either. `api` holds one value that the
    upkeep of subscriptions and a back-fill need.
    """

    SIGNING_SECRET = "proof"
    KEY_PAIR = "pair"
    API_CREDENTIAL = "api"


class ValueForm(Struct, frozen=True, kw_only=True):
    """
    What a vendor's values look like: `pattern` is a regular expression, empty where it is not
    known, `text` the same for people. `others` are values that are taken for it by mistake, by
    their patterns.
    """

    pattern: str = ""
    text: str = ""
    others: Mapping[str, str] = msgspec.field(default_factory=dict)

    def mistaken(self, value: str) -> str | None:
        """Which other value it surely is, or None."""
        names = (name for pattern, name in self.others.items() if re.fullmatch(pattern, value))
        return next(names, None)

    def is_like(self, value: str) -> bool:
        """Whether it looks like a value of the vendor; always where the form is not known."""
        return not self.pattern or re.fullmatch(self.pattern, value) is not None


class SourceSetting(Struct, frozen=True, kw_only=True):
    """
    One setting of a source; `name` is lower case and begins with the source's slug, `description`
    is its row in the docs.

    `check` says what is wrong with one value, without repeating it, or None. `generate` makes up a
    value for `buildr-calls run`. `default` is for `api` only. `is_issued`: the vendor makes it up,
    and an operator cannot have a longer one. `form` is what such a value looks like, for `check`:
    another one is no fault.
    """

    name: str
    description: str
    kind: SettingKind = SettingKind.SIGNING_SECRET
    check: Callable[[str], str | None] = lambda _: None
    generate: Callable[[], str] = lambda: secrets.token_hex(16)
    default: str | None = None
    is_issued: bool = False
    form: ValueForm | None = None


def how_to_enable() -> str:
    """What turns a source on, for a message: there are too many settings to name them all."""
    return (
        "the secret of your telephony system, like TWILIO_AUTH_TOKEN; "
        "docs/settings.md names them all"
    )
