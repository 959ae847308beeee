"""
A map of outcomes as the tables of `buildr-calls.toml`, and back.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from pydantic import ValidationError

from service.errors import SettingsError
from service.events import Result
from service.settings import Settings
from service.settings.accounts import TABLE as ACCOUNTS
from service.settings.outcome_refs import OutcomeRef
from service.settings.outcomes import DEFAULT_OUTCOMES, OutcomeConfig, Rule
from service.settings.reading import OUTCOMES

# Choices of the form that are no names of outcomes; Buildr's names hold no line feed.
DEFAULT: Final = "\ndefault"
LEFT_ALONE: Final = "\nleft alone"
MAX_FAULTS: Final = 10
RULES: Final = "rules"
MAP_TABLES: Final = (OUTCOMES, RULES)


def choice_of(config: OutcomeConfig, result: Result) -> str:
    """What the form has for a result: a name, an id, or one of the two other choices."""
    if result not in config.outcomes:
        return DEFAULT
    return _text_of(config.outcomes[result]) or LEFT_ALONE


def default_of(result: Result) -> str:
    """The outcome that a result has by default, in words."""
    ref = DEFAULT_OUTCOMES[result]
    if ref is None:
        return "left alone"
    return str(ref)


def map_text(config: OutcomeConfig, place: Sequence[str] = ()) -> str:
    """
    `[outcomes]` and `[[rules]]` as they are written in the file; `place` is where an account has
    them.
    """
    texts = (_outcomes_text(config, place), rules_text(config.rules, place))
    return "\n\n".join(text for text in texts if text)


def place_of(settings: Settings) -> tuple[str, ...]:
    """Where an account's tables are: at the top of the file, or below `accounts` and its name."""
    if settings.is_default:
        return ()
    return (ACCOUNTS, settings.account)


def rules_text(rules: Iterable[Rule], place: Sequence[str] = ()) -> str:
    """Rules as they are written in the file."""
    return "\n\n".join("\n".join(_rule_lines(rule, place)) for rule in rules)


def _outcomes_text(config: OutcomeConfig, place: Sequence[str]) -> str:
    lines = [f"[{'.'.join((*place, OUTCOMES))}]"]
    for result, ref in config.outcomes.items():
        lines.append(f"{result.value} = {_value(_ref_value(ref))}")
    return "\n".join(lines)


def conditions_text(rule: Rule) -> str:
    """The conditions of a rule in one line."""
    conditions = rule.when.model_dump(mode="json", exclude_unset=True)
    return ", ".join(f"{name} = {_value(value)}" for name, value in conditions.items())


def read_map(present: OutcomeConfig, choices: Mapping[Result, str], rules: str) -> OutcomeConfig:
    """
    The map of a form; hours and all else are those of the present one. Raises `SettingsError`.
    """
    try:
        table = tomllib.loads(rules)
    except (tomllib.TOMLDecodeError, RecursionError) as err:
        raise SettingsError((f"The rules are not TOML: {err}",)) from err
    others = sorted(set(table) - {RULES})
    if others:
        raise SettingsError((f"{', '.join(others)}: only [[rules]] can be tried here",))
    written = {**choices}
    for result, choice in choices.items():
        if choice == DEFAULT:
            del written[result]
        elif choice == LEFT_ALONE:
            written[result] = ""
    tables = {
        **{name: getattr(present, name) for name in OutcomeConfig.model_fields},
        "outcomes": {result.value: choice for result, choice in written.items()},
        RULES: table.get(RULES, []),
    }
    try:
        return OutcomeConfig.model_validate(tables)
    except ValidationError as err:
        raise SettingsError(tuple(_fault_lines(err))) from err


def _fault_lines(err: ValidationError) -> Iterator[str]:
    for fault in err.errors(include_url=False, include_input=False)[:MAX_FAULTS]:
        place = ".".join(str(part) for part in fault["loc"])
        yield f"{place}: {fault['msg'].removeprefix('Value error, ')}"


def _rule_lines(rule: Rule, place: Sequence[str]) -> Iterator[str]:
    yield f"[[{'.'.join((*place, RULES))}]]"
    if rule.name is not None:
        yield f"name = {_value(rule.name)}"
    yield f"when = {{ {conditions_text(rule)} }}"
    yield f"outcome = {_value(_ref_value(rule.outcome))}"


def _text_of(ref: OutcomeRef | None) -> str:
    if ref is None:
        return ""
    return ref.name or ref.id or ""


def _ref_value(ref: OutcomeRef | None) -> object:
    return _text_of(ref) or False


def _value(value: object) -> str:
    """A value of TOML: JSON writes texts, numbers, truth and lists alike."""
    return json.dumps(value, ensure_ascii=False)
