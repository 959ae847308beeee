"""
Conditions of rules, as they are written: what is refused at the start, and what to write instead.
"""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import SettingsError
from service.events import Result
from service.settings import load_installation
from service.settings.conditions import When
from service.settings.number_patterns import is_any_of
from service.settings.outcomes import OutcomeConfig

# A caller who waits 90 seconds is no hang-up within 5, though nobody talked with either.
HANG_UPS = """
[[rules]]
name = "hung up within 5 s"
when = { result = ["abandoned", "missed_inbound"], duration_below_s = 5 }
outcome = ""
"""
# A voicemail of 45 seconds is not empty, though nobody talked.
EMPTY_VOICEMAILS = """
[[rules]]
name = "empty voicemail"
when = { result = "voicemail_received", duration_below_s = 3 }
outcome = "Missed Call"
"""
SHORT_CALLS = """
[[rules]]
name = "short"
when = { result = "connected", duration_below_s = 10 }
outcome = "No Answer"
"""


def fault_of(folder: Path, text: str) -> str:
    """The one fault that the start reports of a file."""
    (folder / "buildr-calls.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_installation({}, cwd=folder)
    (fault,) = caught.value.faults
    return fault


@pytest.mark.parametrize(
    ("text", "cure", "other_cures"),
    [
        (HANG_UPS, "wait_below_s", ("talk_below_s", "voicemail_below_s")),
        (EMPTY_VOICEMAILS, "voicemail_below_s", ("talk_below_s", "wait_below_s")),
    ],
)
def test_duration_of_unanswered_calls_is_refused_with_the_cure(
    text: str, cure: str, other_cures: tuple[str, ...], tmp_path: Path
) -> None:
    """The fault names the rule, the condition, why it is refused, and the one to use."""
    fault = fault_of(tmp_path, text)
    assert fault.startswith(
        "buildr-calls.toml: rules.0.when: duration_below_s would also hold for every call that "
        f"nobody answered, since its talk time is 0: use {cure} for "
    )
    assert [False, False] == [other_cure in fault for other_cure in other_cures]


@pytest.mark.parametrize(
    "when",
    [
        {"duration_below_s": 20},
        {"duration_at_least_s": 0},
        {"duration_at_least_s": 0, "duration_below_s": 20},
        {"result": ["connected", "no_answer"], "duration_below_s": 20},
        {"result": ["voicemail_received", "abandoned"], "duration_below_s": 20},
        {"result": "unknown_end", "duration_below_s": 20},
        {"result": [], "duration_below_s": 20},
    ],
)
def test_duration_that_unanswered_calls_would_meet_is_refused(when: dict[str, object]) -> None:
    """Wherever a call that nobody answered would meet the condition, it is not clear."""
    with pytest.raises(ValidationError, match=r"use (talk|wait|voicemail)_"):
        When.model_validate(when)


@pytest.mark.parametrize(
    "when",
    [
        {"result": "connected", "duration_below_s": 10},
        {"result": ["connected", "left_voicemail"], "duration_below_s": 10},
        {"result": "left_voicemail", "duration_at_least_s": 0},
        {"duration_at_least_s": 1},
        {"duration_at_least_s": 20, "duration_below_s": 60},
        {"result": "no_answer", "duration_at_least_s": 20},
    ],
)
def test_duration_that_only_answered_calls_meet_is_as_before(when: dict[str, object]) -> None:
    """Where no unanswered call can meet it, the old condition stays."""
    assert set(when) == When.model_validate(when).model_fields_set


def test_short_calls_by_the_old_condition(tmp_path: Path) -> None:
    """The rule for short calls needs no change."""
    (tmp_path / "buildr-calls.toml").write_text(SHORT_CALLS, encoding="utf-8")
    (rule,) = load_installation({}, cwd=tmp_path).default.outcome_config.rules
    assert ("short", 10, (Result.CONNECTED,)) == (
        rule.name,
        rule.when.duration_below_s,
        rule.when.result,
    )


@pytest.mark.parametrize(
    "condition",
    [
        "transferred = true",
        "forwarded = true",
        "answered_elsewhere = true",
        'queue = "Sales"',
        'team = ["Sales", "Support"]',
        'to_number = "+15005550006"',
        'from_number = ["+15005550001", "+1500555*", "*0006", "+1*0006"]',
        "wait_at_least_s = 20",
        "wait_below_s = 5",
        "voicemail_below_s = 3",
        "voicemail_at_least_s = 3",
        "talk_below_s = 10",
        "talk_at_least_s = 10",
        'hung_up_by = "customer"',
        'rang_agent = "ana"',
        "stalled = true",
        'stalled = true, stage = "in_progress", source = "twilio"',
        'result = "unknown_end", stage = ["ringing", "unknown"]',
        "business_hours = true",
    ],
)
def test_conditions_that_can_be_written(condition: str) -> None:
    """Each is enough for a rule."""
    tables = tomllib.loads(
        f"[[rules]]\nwhen = {{ {condition} }}\noutcome = 'Connected'\n"
        "[business_hours]\nmon = '08:00-09:00'\n"
    )
    assert 1 == len(OutcomeConfig.model_validate(tables).rules)


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({}, "names no condition"),
        ({"transferred": False}, "put the rule for true first"),
        ({"forwarded": False}, "put the rule for true first"),
        ({"answered_elsewhere": False}, "put the rule for true first"),
        ({"stage": "ringing"}, "add stalled = true"),
        (
            {"stage": "over", "stalled": True},
            "no stage of a call is called 'over', there are: unknown",
        ),
        ({"stalled": True, "result": "connected"}, "has the result unknown_end, and no other"),
        ({"stalled": False, "result": "unknown_end"}, "is stalled"),
        ({"source": "twillio"}, "no source is called 'twillio', did you mean twilio?"),
        ({"hung_up_by": "caller"}, "customer"),
        ({"wait_below_s": -1}, "greater than or equal to 0"),
    ],
)
def test_condition_that_could_never_hold_is_refused(when: dict[str, object], message: str) -> None:
    """A mistake is reported at the start, and not found out by calls that come out wrong."""
    with pytest.raises(ValidationError, match=re.escape(message)):
        When.model_validate(when)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("5005550006", "write + and the country code before it, like +15005550006"),
        ("+1 (500) 555-0006", "write +15005550006"),
        ("client:ana", "write + and the country code"),
        ("", "write + and the country code"),
        ("+", "write + and the country code"),
        ("*", "is no pattern: write + and digits with *"),
        ("+*", "is no pattern"),
        ("1500*", "is no pattern"),
        ("+1500-*", "is no pattern"),
        ("sip:*", "is no pattern"),
    ],
)
def test_number_that_is_not_e164_is_refused_with_the_cure(number: str, message: str) -> None:
    """All wrong numbers of a list are reported, each with what to write."""
    with pytest.raises(ValidationError) as caught:
        When.model_validate({"from_number": ["+15005550001", number, "no number"]})
    assert message in str(caught.value)
    assert "'no number' is not E.164" in str(caught.value)


@pytest.mark.parametrize(
    ("number", "patterns", "fits"),
    [
        ("+15005550006", ("+15005550006",), True),
        ("+15005550006", ("+15005550001", "+15005550006"), True),
        ("+15005550006", ("+1500555000",), False),
        ("+15005550006", ("+1500*",), True),
        ("+15005550006", ("+15005550006*",), True),
        ("+15005550006", ("*0006",), True),
        ("+15005550006", ("*15005550006",), True),
        ("+15005550006", ("+1*0006",), True),
        ("+15005550006", ("+1*5*6",), True),
        ("+15005550006", ("+1**6",), True),
        ("+15005550006", ("+1501*",), False),
        ("+15005550006", ("*0007",), False),
        ("client:15005550006", ("*0006",), False),
        ("sip:+15005550006@pbx", ("+1500*", "*0006"), False),
        ("", ("*0",), False),
        (None, ("+1500*",), False),
        ("+15005550006", (), False),
    ],
)
def test_star_is_any_digits(number: str | None, patterns: tuple[str, ...], *, fits: bool) -> None:
    """A star may lie anywhere; only telephone numbers fit, and what is not known never does."""
    assert fits == is_any_of(number, patterns)


def test_misspelt_condition_is_reported_with_the_nearest(tmp_path: Path) -> None:
    """A condition that does not exist is a fault that names the one that is meant."""
    fault = fault_of(
        tmp_path, '[[rules]]\nwhen = { ring_at_least_s = 20 }\noutcome = "Missed Call"\n'
    )
    assert (
        "buildr-calls.toml: rules.0.when.ring_at_least_s: is not known here; did you mean "
        "wait_at_least_s?"
    ) == fault
