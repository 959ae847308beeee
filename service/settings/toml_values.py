"""
What the tables of outcomes in `buildr-calls.toml` share: strict tables, and values of which one or
several may be written.
"""

import difflib
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from service.sources import SOURCES

# Those of `workers.calls.legs`. `ended`: all legs are over, and how the call went is not known.
STAGES: Final = ("unknown", "ringing", "in_progress", "ended")


class StrictTable(BaseModel):
    """A table of the file: a key that is not known is a fault, and nothing of it changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def as_tuple(value: object) -> object:
    """One text as a tuple of one; anything else as it is."""
    if isinstance(value, str):
        return (value,)
    return value


def did_you_mean(name: str, names: tuple[str, ...]) -> str:
    """`did you mean ...?` with the nearest of the names, or all of them where none is near."""
    near_names = difflib.get_close_matches(name.lower(), names, n=1)
    if near_names:
        return f"did you mean {near_names[0]}?"
    return f"there are: {', '.join(names)}"


def _check_source(slug: str) -> str:
    return _check_sources((slug,))[0]


def _check_stage(stage: str) -> str:
    return _check_stages((stage,))[0]


def _check_sources(slugs: tuple[str, ...]) -> tuple[str, ...]:
    return _checked(slugs, tuple(SOURCES), title="source")


def _check_stages(stages: tuple[str, ...]) -> tuple[str, ...]:
    return _checked(stages, STAGES, title="stage of a call")


def _checked(values: tuple[str, ...], names: tuple[str, ...], *, title: str) -> tuple[str, ...]:
    """The values in lower case. Raises ValueError for those that are none of the names."""
    plain = tuple(value.strip().lower() for value in values)
    unknown = [value for value in plain if value not in names]
    if unknown:
        faults = [f"no {title} is called {name!r}, {did_you_mean(name, names)}" for name in unknown]
        raise ValueError("; ".join(faults))
    return plain


Words = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
SourceSlug = Annotated[str, AfterValidator(_check_source)]
SourceSlugs = Annotated[Words, AfterValidator(_check_sources)]
StageName = Annotated[str, AfterValidator(_check_stage)]
StageNames = Annotated[Words, AfterValidator(_check_stages)]
