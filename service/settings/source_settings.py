"""
The settings that the sources declare: read from what is written down, each value checked by its own
source.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from pydantic import SecretStr

from service.settings.installation import Installation
from service.settings.model import Settings
from service.settings.types import NO_TEXT
from service.sources import SETTING_NAMES, SETTINGS, SOURCES
from service.sources.common.setting_checks import check_issued_length, check_length
from service.sources.settings import SettingKind, SourceSetting

QUOTES: Final = ("'", '"')
ADDRESS: Final = (
    "needs URL_SECRET too, since {title} proves little and its address must be hard to guess: "
    "openssl rand -hex 32"
)


def read_sources(
    values: Mapping[str, object], faults: list[tuple[str, str]]
) -> dict[str, tuple[SecretStr, ...]]:
    """
    The sources' settings among all values, by name; a fault is the name of a setting and what is
    wrong, never with its value.
    """
    source_values: dict[str, tuple[SecretStr, ...]] = {}
    for name in SETTINGS:
        if name not in values:
            continue
        setting = SETTINGS[name]
        parts = _parts(setting, values[name])
        fault = _fault(setting, parts)
        if fault is not None:
            faults.append((name, fault))
        # A default that is written out counts as not set: a source is on by what an operator has
        # chosen.
        elif parts and parts != (setting.default,):
            source_values[name] = tuple(map(SecretStr, parts))
    if not _split(values.get("url_secret")):
        faults.extend(_missing_url_secret(source_values))
    return source_values


def _missing_url_secret(source_values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """A fault for each source that is on and whose path token could not be made."""
    for slug, names in SETTING_NAMES.items():
        # First, so that a source is loaded only where it is set up.
        if source_values.keys().isdisjoint(names) or not SOURCES[slug].requires_path_token:
            continue
        source = SOURCES[slug]
        secrets = [
            setting.name
            for setting in source.settings
            if setting.kind is not SettingKind.API_CREDENTIAL
        ]
        # Only of a source that is on: the others have no address.
        if any(name in source_values for name in secrets):
            yield source.settings[0].name, ADDRESS.format(title=source.title)


def _parts(setting: SourceSetting, value: object) -> tuple[str, ...] | None:
    """
    The texts of a setting; a blank one counts as none, since anybody can sign with a secret that is
    empty.
    """
    if isinstance(value, str) and setting.kind is SettingKind.API_CREDENTIAL:
        # One text: a credential may hold commas and blanks.
        return _blanks_out((value,))
    return _split(value)


def _split(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return _blanks_out(value)
    return None


def _blanks_out(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts if text.strip())


def _fault(setting: SourceSetting, parts: tuple[str, ...] | None) -> str | None:
    if parts is None:
        return "must be a text, or a list of texts"
    if setting.kind is SettingKind.API_CREDENTIAL and len(parts) > 1:
        return "must be one text"
    # Found here by name. Later it would only be a signature that never fits.
    if any(not part.isprintable() for part in parts):
        return NO_TEXT
    checks = [setting.check]
    if setting.kind is SettingKind.SIGNING_SECRET and setting.is_issued:
        checks.append(check_issued_length)
    elif setting.kind is SettingKind.SIGNING_SECRET:
        checks.append(check_length)
    faults = (_part_fault(check, part) for check in checks for part in parts)
    return next((fault for fault in faults if fault is not None), None)


def _part_fault(check: Callable[[str], str | None], part: str) -> str | None:
    fault = check(part)
    if fault is not None and part[:1] in QUOTES:
        return f"{fault}; it is in quotes, which count: write it without them"
    return fault


def start_faults(installation: Installation) -> tuple[str, ...]:
    """
    What must be corrected before a process may start, one line each; empty if all is well.

    An installation of one account may receive before it has credentials: its worker reports that by
    itself, and what came in waits for it.
    """
    faults = list(source_faults(installation))
    # With one account alone the worker reports it. With several, the webhooks of this one would
    # pile up unnoticed beside those that are delivered.
    if installation.others:
        for account in installation.accounts:
            missing = _missing_credentials(account)
            if missing is not None:
                faults.append(f"account {account.account}: {missing}")
    return tuple(faults)


def source_faults(installation: Installation) -> tuple[str, ...]:
    """The sources that the settings name and that do not exist, one line each."""
    faults = _unknown_sources(installation.default)
    for account in installation.others:
        # An account inherits the setting, and with it a fault that is reported already.
        if account.settle_s != installation.default.settle_s:
            faults += [f"account {account.account}: {line}" for line in _unknown_sources(account)]
    return tuple(faults)


def _unknown_sources(settings: Settings) -> list[str]:
    faults = []
    for name in settings.settle_s.by_source:
        if name not in SOURCES:
            advice = f"the sources are {', '.join(sorted(SOURCES))}"
            similar = difflib.get_close_matches(name, SOURCES, n=1)
            if similar:
                advice = f"did you mean {similar[0]}?"
            faults.append(f"SETTLE_S: there is no source {name}; {advice}")
    return faults


def _missing_credentials(account: Settings) -> str | None:
    """What an account lacks to deliver what it receives, or None."""
    if account.has_buildr_credentials:
        return None
    place = f"in [accounts.{account.account}]"
    if account.is_default:
        place = "at the top of the file"
    cure = f"set buildr_client_id and buildr_client_secret, or buildr_access_token, {place}"
    if account.has_sources:
        return (
            "it has source secrets but no Buildr credentials, so that webhooks would be taken that "
            f"nobody can deliver; {cure}"
        )
    return f"it has neither source secrets nor Buildr credentials; {cure}, or take the table away"
