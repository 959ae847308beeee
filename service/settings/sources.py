"""
The settings that the sources declare: read from what is written down, each value checked by its own source.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import SecretStr

from service.secrets import SourceSetting, Use
from service.settings.values import NO_TEXT
from service.sources import SETTINGS, SOURCES

ADDRESS: Final = "needs URL_SECRET too, since {title} proves little and its address must be hard to guess: openssl rand -hex 32"


def read_sources(values: Mapping[str, object], faults: list[tuple[str, str]]) -> dict[str, tuple[SecretStr, ...]]:
    """The sources' settings among all values, by name; a fault is the name of a setting and what is wrong, never with its value."""
    found: dict[str, tuple[SecretStr, ...]] = {}
    for name, setting in SETTINGS.items():
        if name not in values:
            continue
        parts = _parts(setting, values[name])
        fault = "must be a text, or a list of texts" if parts is None else _fault(setting, parts)
        if fault is not None:
            faults.append((name, fault))
        elif parts and parts != (setting.default,):
            found[name] = tuple(map(SecretStr, parts))
    if not _split(values.get("url_secret")):
        faults.extend(
            (source.settings[0].name, ADDRESS.format(title=source.title))
            for source in SOURCES.values()
            if source.wants_path_token and any(setting.name in found for setting in source.settings if setting.use is not Use.API)
        )
    return found


def _parts(setting: SourceSetting, value: object) -> tuple[str, ...] | None:
    """The texts of a setting; a blank one counts as none, since anybody can sign with a secret that is empty."""
    return _blanks_out((value,)) if isinstance(value, str) and setting.use is Use.API else _split(value)


def _split(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return _blanks_out(value)
    return None


def _blanks_out(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts if text.strip())


def _fault(setting: SourceSetting, parts: tuple[str, ...]) -> str | None:
    if setting.use is Use.API and len(parts) > 1:
        return "must be one text"
    if any(not part.isprintable() for part in parts):
        return NO_TEXT
    return next((fault for fault in map(setting.check, parts) if fault is not None), None)
