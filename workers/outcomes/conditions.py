"""
The conditions of an operator's rule, each a function of the rule's values and the call.

What is not known of a call meets no condition on it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from service.events import Result
from service.settings.business_hours import BusinessHours
from service.settings.conditions import ANSWERED_RESULTS, When
from service.settings.number_patterns import is_any_of
from workers.calls.fold import Call
from workers.outcomes.opening import is_open

Condition: TypeAlias = Callable[[When, Call], bool]
# These also need the tables of hours.
HOURS_CONDITIONS: Final = frozenset({"business_hours", "outside_business_hours"})


def comparison_key(name: str) -> str:
    """The form in which names are compared: case and extra spaces do not count."""
    return " ".join(name.split()).casefold()


def applies(when: When, call: Call, hours: BusinessHours | None) -> bool:
    """
    Whether all conditions of a rule hold.

    Of a call whose end never came they hold only if the rule is about such calls.
    """
    if call.result is Result.UNKNOWN_END and not when.is_for_unknown_end:
        return False
    names = when.model_fields_set
    if not all(CONDITIONS[name](when, call) for name in names - HOURS_CONDITIONS):
        return False
    return all(_hours_hold(when, call, hours))


def _hours_hold(when: When, call: Call, hours: BusinessHours | None) -> Iterator[bool]:
    """For each condition on business hours, whether it holds."""
    if when.business_hours is not None:
        yield _is_within(when.business_hours, call, hours) is (when.business_hours is not False)
    if when.outside_business_hours is not None:
        must_be_open = when.outside_business_hours is False
        yield _is_within(when.outside_business_hours, call, hours) is must_be_open


def _is_within(name: str | bool, call: Call, hours: BusinessHours | None) -> bool | None:
    """
    Whether a call started within the hours of a name, those without a name for True and False;
    None if its start is not known.
    """
    if call.started_at is None or hours is None:
        return None
    table_name = name if isinstance(name, str) else None
    return is_open(call.started_at, hours.table(table_name))


def _talk_s(call: Call) -> int | None:
    """How long both sides talked, in seconds; None of a call that was not answered."""
    if call.duration_s or call.result in ANSWERED_RESULTS:
        return call.duration_s
    return None


def _voicemail_s(call: Call) -> int | None:
    """How long the message is that was left for us, in seconds."""
    if call.voicemail is None:
        return None
    return call.voicemail.duration_s


def _is_result(when: When, call: Call) -> bool:
    return call.result in when.result


def _is_stalled(when: When, call: Call) -> bool:
    return (call.result is Result.UNKNOWN_END) is when.stalled


def _is_stage(when: When, call: Call) -> bool:
    return call.stage in when.stage


def _is_from(when: When, call: Call) -> bool:
    return is_any_of(call.from_number, when.from_number)


def _is_to(when: When, call: Call) -> bool:
    return is_any_of(call.to_number, when.to_number)


# What a word of a condition is compared with, by the condition's name.
WORDS: Final[Mapping[str, Callable[[Call], Iterable[str | None]]]] = {
    "source": lambda call: (call.source,),
    "direction": lambda call: (call.direction,),
    "answered_by": lambda call: (call.answered_by,),
    "disposition": lambda call: (call.disposition,),
    "tag": lambda call: call.tags,
    "agent": lambda call: (call.agent,),
    "rang_agent": lambda call: call.rang_agents,
    "queue": lambda call: (call.queue,),
    "team": lambda call: (call.team,),
    "hung_up_by": lambda call: (call.hung_up_by,),
}
# Seconds by the first word of the conditions on them, `..._at_least_s` and `..._below_s`.
SECONDS: Final[Mapping[str, Callable[[Call], int | None]]] = {
    "talk": _talk_s,
    "wait": lambda call: call.wait_s,
    "voicemail": _voicemail_s,
    "duration": _talk_s,
}
FLAGS: Final[Mapping[str, Callable[[Call], bool]]] = {
    "transferred": lambda call: call.is_transferred,
    "forwarded": lambda call: call.is_forwarded,
    "answered_elsewhere": lambda call: call.is_answered_elsewhere,
}


def _has_word(name: str) -> Condition:
    def holds(when: When, call: Call) -> bool:
        words = getattr(when, name)
        if isinstance(words, str):
            words = (words,)
        return _has_any(WORDS[name](call), words)

    return holds


def _is_at_least(name: str) -> Condition:
    def holds(when: When, call: Call) -> bool:
        seconds = SECONDS[name](call)
        limit: int = getattr(when, f"{name}_at_least_s")
        return seconds is not None and seconds >= limit

    return holds


def _is_below(name: str) -> Condition:
    def holds(when: When, call: Call) -> bool:
        seconds = SECONDS[name](call)
        limit: int = getattr(when, f"{name}_below_s")
        return seconds is not None and seconds < limit

    return holds


def _is_flag(name: str) -> Condition:
    def holds(_: When, call: Call) -> bool:
        return FLAGS[name](call)

    return holds


def _has_any(values: Iterable[str | None], names: Iterable[str]) -> bool:
    """Whether one of the values is one of the names, without case and extra spaces."""
    keys = {comparison_key(name) for name in names}
    return any(value is not None and comparison_key(value) in keys for value in values)


# By the name of the condition in the settings.
CONDITIONS: Final[Mapping[str, Condition]] = {
    "result": _is_result,
    "stalled": _is_stalled,
    "stage": _is_stage,
    "from_number": _is_from,
    "to_number": _is_to,
    **{name: _has_word(name) for name in WORDS},
    **{f"{name}_at_least_s": _is_at_least(name) for name in SECONDS},
    **{f"{name}_below_s": _is_below(name) for name in SECONDS},
    **{name: _is_flag(name) for name in FLAGS},
}
