"""
Sources by slug, each imported when it is first asked for: a command reads the settings of the few
that are set up, and mostly nothing else of a source.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Final

from msgspec import Struct

from service.sources.base import Source
from service.sources.settings import SourceSetting


class SourceEntry(Struct, frozen=True):
    """The class of a source, and the names of its settings, in their order in the docs."""

    class_name: str
    settings: tuple[str, ...]


class LazySources(Mapping[str, Source]):
    """
    The sources of a table by their slugs.
    """

    def __init__(self, entries: Mapping[str, SourceEntry]) -> None:
        self._entries: Final = entries
        self._loaded: Final[dict[str, Source]] = {}

    def __getitem__(self, slug: str) -> Source:
        source = self._loaded.get(slug)
        if source is None:
            entry = self._entries[slug]
            module = import_module(f"service.sources.{slug}.source")
            source = getattr(module, entry.class_name)()
            self._loaded[slug] = source
        return source

    def load_all(self) -> None:
        """
        Load every source, for a process that stays: after an upgrade it would import a later
        version of what it has not loaded yet.
        """
        for slug in self:
            self[slug]

    def __contains__(self, slug: object) -> bool:
        return slug in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class LazySettings(Mapping[str, SourceSetting]):
    """Every setting of every source by name; one that is looked up loads its source."""

    def __init__(self, entries: Mapping[str, SourceEntry], sources: Mapping[str, Source]) -> None:
        self._sources: Final = sources
        self._slugs: Final = {
            name: slug for slug, entry in entries.items() for name in entry.settings
        }

    def __getitem__(self, name: str) -> SourceSetting:
        source = self._sources[self._slugs[name]]
        return next(setting for setting in source.settings if setting.name == name)

    def __contains__(self, name: object) -> bool:
        return name in self._slugs

    def __iter__(self) -> Iterator[str]:
        return iter(self._slugs)

    def __len__(self) -> int:
        return len(self._slugs)
