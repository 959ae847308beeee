"""
The conditions of an operator's rule, each a function of the rule's values and the call.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from service.settings.outcomes import BusinessHours, When
from workers.calls.fold import Call


def comparison_key(name: str) -> str:
    """The form in which names are compared: case and extra spaces do not count."""
    return " ".join(name.split()).casefold()


def applies(when: When, call: Call, hours: BusinessHours | None) -> bool:
    """Whether all conditions of a rule hold."""
    conditions = when.model_fields_set
    if "business_hours" in conditions and _is_open(call.started_at, hours) != when.business_hours:
        return False
    return all(CONDITIONS[name](when, call) for name in conditions - {"business_hours"})


def _is_result(when: When, call: Call) -> bool:
    return call.result in when.result


def _is_source(when: When, call: Call) -> bool:
    return _has_any((call.source,), when.source)


def _is_direction(when: When, call: Call) -> bool:
    return call.direction is when.direction


def _is_answered_by(when: When, call: Call) -> bool:
    return call.answered_by is when.answered_by


def _is_at_least(when: When, call: Call) -> bool:
    return call.duration_s is not None and call.duration_s >= (when.duration_at_least_s or 0)


def _is_below(when: When, call: Call) -> bool:
    return call.duration_s is not None and call.duration_s < (when.duration_below_s or 0)


def _is_disposition(when: When, call: Call) -> bool:
    return _has_any((call.disposition,), when.disposition)


def _is_tagged(when: When, call: Call) -> bool:
    return _has_any(call.tags, when.tag)


def _is_agent(when: When, call: Call) -> bool:
    return _has_any((call.agent,), when.agent)


Condition: TypeAlias = Callable[[When, Call], bool]
# By the name of the condition in the settings. `business_hours` also needs the hours themselves.
CONDITIONS: Final[Mapping[str, Condition]] = {
    "result": _is_result,
    "source": _is_source,
    "direction": _is_direction,
    "answered_by": _is_answered_by,
    "duration_at_least_s": _is_at_least,
    "duration_below_s": _is_below,
    "disposition": _is_disposition,
    "tag": _is_tagged,
    "agent": _is_agent,
}


def _has_any(values: Iterable[str | None], names: Iterable[str]) -> bool:
    """Whether one of the values is one of the names, without case and extra spaces."""
    keys = {comparison_key(name) for name in names}
    return any(value is not None and comparison_key(value) in keys for value in values)


def _is_open(started_at: datetime | None, hours: BusinessHours | None) -> bool | None:
    """
    Whether a call started within the opening hours; None if its start is not known.

    The moment of closing is outside.
    """
    if started_at is None or hours is None:
        return None
    try:
        local = started_at.astimezone(ZoneInfo(hours.timezone))
    except OverflowError:  # a time zone's offset leads out of the years that Python can express
        return None
    span = hours.span(local.weekday())
    if span is None:
        return False
    opens_at, closes_at = span
    return opens_at <= local.time() < closes_at
