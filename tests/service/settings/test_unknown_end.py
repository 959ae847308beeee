"""
`[[unknown_end]]`: after which time a call whose end never came gets a result.
"""

import pytest
from pydantic import ValidationError

from service.settings.outcomes import OutcomeConfig
from service.settings.toml_values import STAGES
from workers.calls.legs import Stage


def config(*entries: dict[str, object]) -> OutcomeConfig:
    """Settings with these entries."""
    return OutcomeConfig.model_validate({"unknown_end": entries})


def test_first_entry_that_fits_sets_the_time() -> None:
    """Entries are asked in order; a source or stage that an entry does not name fits any."""
    settings = config(
        {"source": ["Twilio", "plivo"], "stage": "in_progress", "after_minutes": 240},
        {"source": "twilio", "after_minutes": 0.5},
        {"stage": ["ringing", "unknown"], "after_minutes": 10},
    )
    assert [14_400, 14_400, 30, 600, 600, None] == [
        settings.unknown_end_after_s("twilio", Stage.IN_PROGRESS),
        settings.unknown_end_after_s("plivo", Stage.IN_PROGRESS),
        settings.unknown_end_after_s("twilio", Stage.RINGING),
        settings.unknown_end_after_s("plivo", Stage.RINGING),
        settings.unknown_end_after_s("zoom", Stage.UNKNOWN),
        settings.unknown_end_after_s("zoom", Stage.IN_PROGRESS),
    ]


def test_no_call_gets_it_by_default() -> None:
    """Without an entry a call stays stalled, whatever its source and stage."""
    assert config().unknown_end_after_s("twilio", Stage.IN_PROGRESS) is None


@pytest.mark.parametrize(
    ("tables", "after_s"),
    [
        ({"outcomes": {"unknown_end": "Connected"}}, 86_400),
        ({"outcomes": {"unknown_end": ""}}, None),
        ({"rules": [{"when": {"stalled": True}, "outcome": "Connected"}]}, 86_400),
        ({"rules": [{"when": {"result": "unknown_end"}, "outcome": "Connected"}]}, 86_400),
        ({"rules": [{"when": {"stalled": True}, "outcome": ""}]}, None),
        ({"rules": [{"when": {"source": "twilio"}, "outcome": "Connected"}]}, None),
        (
            {
                "outcomes": {"unknown_end": "Connected"},
                "unknown_end": [{"source": "plivo", "after_minutes": 1}],
            },
            None,
        ),
    ],
)
def test_mapped_without_a_time_it_is_after_a_day(
    tables: dict[str, object], after_s: float | None
) -> None:
    """Who maps the result and names no time gets it for calls that were silent for a day."""
    settings = OutcomeConfig.model_validate(tables)
    assert after_s == settings.unknown_end_after_s("twilio", Stage.IN_PROGRESS)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "after_minutes"),
        ({"after_minutes": 0}, "greater than 0"),
        ({"after_minutes": 10_081}, "10080"),
        ({"after_minutes": 5, "source": "twillio"}, "'twillio', did you mean twilio?"),
        ({"after_minutes": 5, "stage": "over"}, "'over', there are: unknown, ringing"),
        ({"after_minutes": 5, "after_hours": 1}, "after_hours"),
    ],
)
def test_wrong_entry_is_refused(entry: dict[str, object], message: str) -> None:
    """What cannot be read is refused with what is expected."""
    with pytest.raises(ValidationError) as caught:
        config(entry)
    assert message in str(caught.value)


def test_stages_are_those_of_the_fold() -> None:
    """Every stage of the fold can be named: all legs may be over, and the result not known."""
    assert list(STAGES) == list(Stage)
