"""
`[[outcomes.tests]]`: sample calls that are run through the map of outcomes.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.events import Direction, Party, Result
from service.settings import Settings, load_installation
from service.settings.conditions import When
from service.settings.outcome_tests import SampleCall
from service.settings.outcomes import OutcomeConfig
from workers.calls.legs import Stage
from workers.outcomes.conditions import applies
from workers.outcomes.decide import unknown_names, unknown_names_of_tests
from workers.outcomes.sample_calls import build_call, run_tests

IDS = {"connected": "786", "no answer": "789"}
RULES = """
[outcomes]
busy = "789"

[[rules]]
name = "short"
when = { result = "connected", talk_below_s = 20 }
outcome = "No Answer"

[[rules]]
when = { from_number = "+1500555*" }
outcome = ""
"""


def load(folder: Path, text: str) -> Settings:
    """The settings of a file."""
    (folder / "buildr-calls.toml").write_text(text, encoding="utf-8")
    return load_installation({}, cwd=folder).default


def sample(call: str, outcome: str, name: str = "") -> str:
    """One sample call as it is written."""
    line = f'name = "{name}"\n' if name else ""
    return f"[[outcomes.tests]]\n{line}call = {{ {call} }}\noutcome = {outcome}\n"


@pytest.mark.parametrize(
    ("call", "outcome", "expected"),
    [
        ('result = "connected", talk_s = 12', '"No Answer"', True),
        ('result = "connected", talk_s = 12', '"no  answer"', True),
        ('result = "connected", talk_s = 20', '"No Answer"', False),
        ('result = "connected", talk_s = 20', '"Connected"', True),
        ('result = "connected"', '"Connected"', True),
        ('result = "connected", from_number = "+15005550001"', '""', True),
        ('result = "connected", from_number = "+15005550001"', '"Connected"', False),
        ('result = "busy"', '"789"', True),
        ('result = "busy"', '{ id = "789" }', True),
        ('result = "failed"', '""', True),
        ('result = "unknown_end"', '""', True),
        ('result = "connected"', '""', False),
    ],
)
@pytest.mark.parametrize("has_ids", [True, False])
def test_sample_gets_the_outcome_of_its_rule(
    call: str, outcome: str, *, expected: bool, has_ids: bool, tmp_path: Path
) -> None:
    """Rules, the table of outcomes and the defaults decide as about a call that took place."""
    config = load(tmp_path, RULES + sample(call, outcome)).outcome_config
    (result,) = run_tests(config, IDS if has_ids else None)
    assert expected == result.is_passed


def test_name_and_id_of_one_outcome_are_the_same_where_the_account_is_known(
    tmp_path: Path,
) -> None:
    """Without the account's outcomes nobody can say whose id it is."""
    config = load(tmp_path, RULES + sample('result = "busy"', '"No Answer"')).outcome_config
    assert [True, False] == [
        result.is_passed for ids in (IDS, None) for result in run_tests(config, ids)
    ]


def test_default_that_the_account_lacks_is_left_alone(tmp_path: Path) -> None:
    """As with real calls: a default counts only if the account has an outcome of this name."""
    config = load(tmp_path, sample('result = "no_answer"', '""')).outcome_config
    assert [True, False] == [
        result.is_passed for ids in ({}, IDS) for result in run_tests(config, ids)
    ]


def test_result_says_where_it_is_written_and_what_decided(tmp_path: Path) -> None:
    """Each result has the place in the file and the rule that decided."""
    text = RULES + sample('result = "connected", talk_s = 1', '"No Answer"', "short talk")
    config = load(tmp_path, text + sample('result = "busy"', '"Busy"')).outcome_config
    short, busy = run_tests(config)
    assert {
        "place": "outcomes.tests[0]",
        "name": "short talk",
        "call": {"result": "connected", "talk_s": 1},
        "expected": "No Answer",
        "outcome": "No Answer",
        "rule": 'rules[0] "short"',
        "is_passed": True,
    } == short.as_dict()
    assert ("outcomes.tests[1]", "id 789", "outcomes.busy", False) == (
        busy.place,
        str(busy.outcome),
        busy.rule,
        busy.is_passed,
    )


def test_names_that_the_account_lacks_are_those_of_tests_only(tmp_path: Path) -> None:
    """A wrong name in a test keeps no worker from starting, and is reported with its place."""
    text = RULES + sample('result = "busy"', '"No Anser"', "typo")
    config = load(tmp_path, text).outcome_config
    assert () == unknown_names(config, IDS)
    (line,) = unknown_names_of_tests(config, IDS, display_names=["Connected", "No Answer"])
    assert (
        'outcomes.tests[0] "typo": the account has no call outcome "No Anser"; did you mean '
        '"no answer"? It has: Connected, No Answer'
    ) == line


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (sample('result = "answered"', '""'), "call.result", "must be one of 'connected'"),
        (sample("talk_s = 1", '""'), "call.result", "is missing"),
        (sample('result = "busy", talk = 1', '""'), "call.talk", "did you mean talk_s?"),
        (sample('result = "busy", talk_s = -1', '""'), "call.talk_s", "must be at least 0"),
        (sample('result = "busy", source = "twillio"', '""'), "call.source", "mean twilio?"),
        (sample('result = "busy", stage = "ringing"', '""'), "call", "stage is only of a call"),
        (
            sample('result = "busy", from_number = "5005550001"', '""'),
            "call.from_number",
            "write + and the country code",
        ),
        (
            sample('result = "busy", started_at = 2026-11-02T10:00:00', '""'),
            "call.started_at",
            "needs its offset, like 2026-11-02T16:00:00Z",
        ),
        ('[[outcomes.tests]]\ncall = { result = "busy" }\n', "outcome", "is missing"),
        ('[[outcomes.tests]]\noutcome = "Busy"\n', "call", "is missing"),
    ],
)
def test_wrong_sample_is_reported_with_its_place(
    text: str, place: str, message: str, tmp_path: Path
) -> None:
    """A mistake in a sample is found at the start, like any other."""
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    (fault,) = caught.value.faults
    assert fault.startswith(f"buildr-calls.toml: outcomes.tests.0.{place}: ")
    assert message in fault


def test_samples_are_no_part_of_the_table_of_outcomes(tmp_path: Path) -> None:
    """`[outcomes]` maps results as before, with samples in it or without."""
    config = load(tmp_path, RULES + sample('result = "busy"', '"789"')).outcome_config
    assert ([Result.BUSY], 1) == (list(config.outcomes), len(config.tests))


def test_account_has_samples_of_its_own(tmp_path: Path) -> None:
    """
    The top's samples try the top's map. An account's own leave the table of outcomes that it has
    from the top.
    """
    text = (
        RULES
        + sample('result = "busy"', '"789"')
        + sample('result = "busy"', '"789"', "own").replace("[[", "[[accounts.acme.")
        + "[[accounts.other.rules]]\nwhen = { result = 'busy' }\noutcome = ''\n"
    )
    (tmp_path / "buildr-calls.toml").write_text(text, encoding="utf-8")
    acme, other = load_installation({}, cwd=tmp_path).others
    assert [["own"], []] == [
        [test.name for test in account.outcome_config.tests] for account in (acme, other)
    ]
    assert [[Result.BUSY], [Result.BUSY]] == [
        list(account.outcome_config.outcomes) for account in (acme, other)
    ]
    assert [True] == [result.is_passed for result in run_tests(acme.outcome_config)]


FULL = SampleCall.model_validate(
    {
        "result": "connected",
        "source": "zoom",
        "direction": "inbound",
        "answered_by": "human",
        "talk_s": 1,
        "wait_s": 2,
        "voicemail_s": 3,
        "disposition": "Won",
        "tag": "vip",
        "agent": "ana",
        "rang_agent": ["ben"],
        "queue": "Sales",
        "team": "East",
        "from_number": "+15005550001",
        "to_number": "+15005550006",
        "hung_up_by": "agent",
        "transferred": True,
        "forwarded": True,
        "answered_elsewhere": True,
        "started_at": datetime(2026, 11, 2, 16, tzinfo=UTC),
    }
)


@pytest.mark.parametrize(
    "when",
    [
        {"result": "connected"},
        {"source": "zoom"},
        {"direction": "inbound"},
        {"answered_by": "human"},
        {"talk_at_least_s": 1, "talk_below_s": 2},
        {"wait_at_least_s": 2, "wait_below_s": 3},
        {"voicemail_at_least_s": 3, "voicemail_below_s": 4},
        {"disposition": "won"},
        {"tag": "VIP"},
        {"agent": "Ana"},
        {"rang_agent": "Ben"},
        {"queue": "sales"},
        {"team": "east"},
        {"from_number": "*1"},
        {"to_number": "*6"},
        {"hung_up_by": "agent"},
        {"transferred": True},
        {"forwarded": True},
        {"answered_elsewhere": True},
        {"stalled": False},
    ],
    ids=str,
)
def test_sample_can_meet_every_condition(when: dict[str, object]) -> None:
    """Each condition has its key in a sample."""
    assert applies(When.model_validate(when), build_call(FULL), None)
    bare = build_call(SampleCall(result=Result.BUSY))
    assert applies(When.model_validate(when), bare, None) == (when == {"stalled": False})


def test_sample_call_is_as_the_fold_makes_one() -> None:
    """Nobody talked in a call that was not answered; the end of one may be unknown."""
    call = build_call(FULL)
    assert (True, Stage.ENDED, Direction.INBOUND, Party.AGENT) == (
        call.is_final,
        call.stage,
        call.direction,
        call.hung_up_by,
    )
    assert [0, None, None] == [
        build_call(SampleCall(result=result)).duration_s
        for result in (Result.MISSED_INBOUND, Result.CONNECTED, Result.UNKNOWN_END)
    ]
    stalled = SampleCall(result=Result.UNKNOWN_END, stage="ringing")
    assert Stage.RINGING is build_call(stalled).stage


def test_started_at_decides_about_business_hours(tmp_path: Path) -> None:
    """A sample with a start is within the hours or outside of them."""
    text = (
        '[[rules]]\nwhen = { business_hours = "sales" }\noutcome = "Connected"\n'
        '[business_hours.sales]\ntimezone = "America/Chicago"\nmon = "08:00-12:00"\n'
    )
    samples = [
        sample(f'result = "busy", started_at = {moment}', '"Connected"')
        for moment in ("2026-11-02T16:00:00Z", "2026-11-02T12:00:00-06:00")
    ]
    config: OutcomeConfig = load(tmp_path, text + "".join(samples)).outcome_config
    assert [True, False] == [result.is_passed for result in run_tests(config)]
