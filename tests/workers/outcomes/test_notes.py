"""
The text for Buildr's notes, and that what operators wrote there stays.
"""

from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs

from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
    Result,
    Voicemail,
)
from service.settings.outcomes import Notes
from workers.calls.fold import Call, fold
from workers.outcomes.notes import merge_note, render_note

CALL = fold(
    [
        CallEvent(
            source="twilio",
            message_id="m1",
            source_call_id="CA1",
            leg_id="CA1",
            event_type=EventType.ENDED,
            occurred_at=datetime(2026, 11, 2, 10, 1, 5, tzinfo=UTC),
            direction=Direction.OUTBOUND,
            from_number="+15005550006",
            to_number="+15005550001",
            hangup_cause=HangupCause.COMPLETED,
            duration_s=65,
            answered_by=AnsweredBy.HUMAN,
            agent="ann",
            disposition="Won",
            tags=("a", "b"),
            note="Spoke to the decision maker",
            recording=Recording("RE1", "https://rec.example.test/1", 60),
            voicemail=Voicemail("https://rec.example.test/2", 5, "Call me"),
        )
    ]
)


# The same call with every other fact of a call.
DISTRIBUTED = replace(
    CALL,
    wait_s=20,
    rang_agents=("ben", "cem"),
    queue="Sales",
    team="East",
    is_transferred=True,
    hung_up_by=Party.CUSTOMER,
)


def rendered(template: str | None = None, call: Call = CALL) -> str:
    """The block for a call."""
    notes = Notes()
    if template is not None:
        notes = Notes(template=template)
    return render_note(call, call.result, notes, outcome_name="Connected")


def test_default_note() -> None:
    """The default block says how the call went, for how long, and where its recordings are."""
    assert rendered().split("\n") == [
        "connected (outbound), 1 min 5 s",
        "Recording: https://rec.example.test/1",
        "Voicemail: https://rec.example.test/2",
        "Spoke to the decision maker",
    ]


def test_default_note_of_a_call_that_was_passed_on() -> None:
    """It adds that an agent transferred the call; of other facts a template may write."""
    assert (
        "connected (outbound), 1 min 5 s, transferred" == rendered(call=DISTRIBUTED).split("\n")[0]
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("result", "connected"),
        ("outcome", "Connected"),
        ("direction", "outbound"),
        ("from_number", "+15005550006"),
        ("to_number", "+15005550001"),
        ("duration_s", "65"),
        ("wait_s", "20"),
        ("answered_by", "human"),
        ("started_at", "2026-11-02 10:00:00+00:00"),
        ("ended_at", "2026-11-02 10:01:05+00:00"),
        ("agent", "ann"),
        ("rang_agents|join('+')", "ben+cem"),
        ("queue", "Sales"),
        ("team", "East"),
        ("transferred", "True"),
        ("forwarded", "False"),
        ("answered_elsewhere", "False"),
        ("hung_up_by", "customer"),
        ("disposition", "Won"),
        ("tags|join('+')", "a+b"),
        ("note", "Spoke to the decision maker"),
        ("recording_url", "https://rec.example.test/1"),
        ("voicemail_url", "https://rec.example.test/2"),
        ("voicemail_transcript", "Call me"),
        ("source", "twilio"),
        ("source_call_id", "CA1"),
    ],
)
def test_template_variables(name: str, expected: str) -> None:
    """Every name that the docs promise holds its value, without HTML in it."""
    assert expected == rendered(f"{{{{ {name} }}}}", DISTRIBUTED)


def test_missing_values_write_nothing() -> None:
    """What is not known leaves no `None` behind."""
    bare = replace(CALL, agent=None, recording=None, voicemail=None, answered_by=None)
    assert (
        rendered(
            "[{{ agent }}{{ recording_url }}{{ voicemail_transcript }}"
            "{{ answered_by }}{{ nonsense }}]",
            bare,
        )
        == "[]"
    )


def test_block_has_no_loose_blanks() -> None:
    """Blank ends are cut, so that a block is found again however Buildr trims it."""
    assert rendered("\n\n{{ result }}  \r\nx\t\n\n") == "connected\nx"


@pytest.mark.parametrize(
    "template",
    [
        "{{ duration_s // 0 }}",
        "{{ agent + 1 }}",
        "{{ nonsense.at.all }}",
        "{{ ''.__class__.__mro__ }}{{ 1 // 0 }}",
    ],
)
def test_template_that_breaks_gives_way_to_the_default(template: str) -> None:
    """
    A template that fails on a call holds nothing up: the default block is written, and the log
    tells, without any of the data.
    """
    with capture_logs() as logs:
        assert rendered() == rendered(template)
    assert [("note.template_failed", "warning")] == [
        (line["event"], line["log_level"]) for line in logs
    ]
    assert {"event", "log_level", "reason"} == set(logs[0])


def test_template_cannot_reach_out() -> None:
    """The sandbox keeps a template away from Python's insides."""
    assert rendered() == rendered("{{ started_at.__class__.__mro__[1].__subclasses__() }}")


@pytest.mark.parametrize(
    ("existing", "previous", "expected"),
    [
        (None, None, "new"),
        ("", None, "new"),
        (" \n", None, "new"),
        ("By hand", None, "By hand\n\nnew"),
        ("By hand\n", None, "By hand\n\nnew"),
        ("By hand\n\n", None, "By hand\n\nnew"),
        ("By hand\r\n\r\n", None, "By hand\r\n\r\nnew"),
        ("By hand\n\nnew", None, None),
        ("By hand\n\nnew\n\nMore by hand", None, None),
        ("A brand new office", None, "A brand new office\n\nnew"),
        ("This is brand new", None, "This is brand new\n\nnew"),
        ("By hand\n\nold", "old", "By hand\n\nnew"),
        ("old\nMore by hand", "old", "new\nMore by hand"),
        ("An old\n\nold", "old", "An old\n\nnew"),
        ("By hand\n\nold, edited", "old", None),
        ("", "old", None),
        ("By hand", "old", None),
        ("By hand\n\nnew", "old", None),
        ("new", "new", None),
        ("gone", "new", None),
    ],
)
def test_append(existing: str | None, previous: str | None, expected: str | None) -> None:
    """
    The block is added once, replaces only our own untouched one, and never follows where an
    operator has edited.
    """
    assert expected == merge_note(existing, "new", previous, "append")


def test_block_that_grew_is_not_written_twice() -> None:
    """
    If the longer block is already there, because its write was never confirmed, nothing is
    added.
    """
    assert merge_note("P\n\nbusy\nRecording: x", "busy\nRecording: x", "busy", "append") is None


def test_block_that_shrank_is_replaced() -> None:
    """A new block that is a part of the old one takes its place."""
    assert (
        merge_note("P\n\nbusy\nRecording: x", "busy", "busy\nRecording: x", "append") == "P\n\nbusy"
    )


def test_line_ends_rewritten_by_buildr() -> None:
    """Our block of several lines is found again with other line ends and trailing blanks."""
    assert merge_note("P\r\n\r\na\r\nb \r\nQ", "c", "a\nb", "append") == "P\r\n\r\nc \r\nQ"


@pytest.mark.parametrize(
    ("existing", "previous", "expected"),
    [
        (None, None, "new"),
        (" \n ", None, "new"),
        ("By hand", None, None),
        ("old", "old", "new"),
        ("old\n", "old", "new\n"),
        ("By hand\n\nold", "old", None),
        ("old, edited", "old", None),
        ("new", None, None),
    ],
)
def test_if_empty(existing: str | None, previous: str | None, expected: str | None) -> None:
    """Only empty notes are written into, or ones that hold nothing but our own block."""
    assert expected == merge_note(existing, "new", previous, "if_empty")


@pytest.mark.parametrize("mode", ["never", "if_empty", "append"])
def test_empty_block_changes_nothing(mode: Literal["never", "if_empty", "append"]) -> None:
    """A template that renders to nothing writes nothing."""
    assert merge_note("By hand", " \n", "old", mode) is None
    assert merge_note(None, "", None, mode) is None


def test_never_never_writes() -> None:
    """The default mode leaves even empty notes alone."""
    assert merge_note(None, "new", None, "never") is None


MODES = st.sampled_from(["if_empty", "append"])
TEXT = st.text(alphabet="ab \n\r\t", max_size=20)
BLOCK = st.text(alphabet="ab\n", min_size=1, max_size=6).map(str.strip).filter(bool)
BY_HAND = st.text(alphabet="pq \n\r\t", max_size=20)


@st.composite
def notes_with_a_block(draw: st.DrawFn) -> tuple[str, str]:
    """
    Notes in which a block may stand as we left it, and the block; an operator may have written the
    very same words.
    """
    block = draw(BLOCK)
    before = draw(TEXT)
    after = draw(TEXT)
    return draw(
        st.sampled_from(
            [before + after, f"{before}\n\n{block}", f"{before}\n{block}\n{after}", block]
        )
    ), block


@given(notes_with_a_block(), BLOCK, MODES, st.booleans())
def test_nothing_that_an_operator_wrote_is_lost(
    notes: tuple[str, str], block: str, mode: Literal["if_empty", "append"], is_remembered: bool
) -> None:
    """
    Either the block is added at the end, or one place that held our earlier block, and nothing
    else, has become the new one.
    """
    existing, previous = notes
    remembered = previous if is_remembered else None
    merged = merge_note(existing, block, remembered, mode)
    if merged is None or not existing.strip():
        return
    if merged.startswith(existing) and block == merged[len(existing) :].strip():
        return
    assert is_remembered
    assert any(
        _lines(existing[start:end]) == _lines(previous)
        and merged == existing[:start] + block + existing[end:]
        for start in range(len(existing))
        for end in range(start + 1, len(existing) + 1)
    )


@given(TEXT, BLOCK, MODES)
def test_writing_twice_adds_once(
    existing: str, block: str, mode: Literal["if_empty", "append"]
) -> None:
    """What is there already is not written again, whether or not we remember that it was us."""
    merged = merge_note(existing, block, None, mode)
    now = existing
    if merged is not None:
        now = merged
    assert merge_note(now, block, None, mode) is None
    assert merge_note(now, block, block, mode) is None


@given(BY_HAND, BLOCK, BLOCK)
def test_later_block_takes_the_place_of_the_earlier_one(
    by_hand: str, first: str, second: str
) -> None:
    """After two writes the notes hold what was there and the second block alone."""
    existing = f"By hand{by_hand}"
    once = merge_note(existing, first, None, "append")
    assert once is not None
    assert once.startswith(existing)
    twice = merge_note(once, second, first, "append")
    if twice is None:
        twice = once
    assert once.removesuffix(first) + second == twice


def _lines(text: str) -> list[str]:
    return [
        line.rstrip(" \t") for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    ]


def test_results_are_plain_words() -> None:
    """A template compares results as plain text, and asks for a fact that may be missing."""
    assert rendered("{{ 'yes' if transferred else 'no' }}") == "no"
    assert rendered("{{ 'yes' if result == 'connected' else 'no' }}") == "yes"
    assert Result.CONNECTED is CALL.result
