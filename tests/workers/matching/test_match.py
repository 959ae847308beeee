"""
Which Buildr call a telephone call is.
"""

from datetime import UTC, datetime

import pytest

from service.events import CallEvent, EventType
from service.store.expectations import ExpectedCall
from service.store.links import UNREADABLE_LINK, Link
from workers.calls.fold import Call, fold
from workers.matching.candidates import RejectedCandidate
from workers.matching.match import link_for_patch, match
from workers.matching.reasons import DAMAGED_LINK
from workers.matching.selection import ExpectedCallMatch

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
ENTRY = ExpectedCall(
    buildr_call_id="120",
    numbers=(),
    project_id="3",
    registered_at=NOW,
    opens_at=NOW,
    closes_at=NOW,
    revision=1,
)
LOSER = RejectedCandidate(buildr_call_id="121", why="is expected with another number")
CHOICE = ExpectedCallMatch(
    chosen=ENTRY, reason="Buildr call 120 was registered.", considered=(LOSER,)
)


def call(*ids: str | None, source_call_id: str = "CA1") -> Call:
    """A call whose messages name these Buildr calls."""
    return fold(
        CallEvent(
            source="twilio",
            message_id=f"m{number}",
            source_call_id=source_call_id,
            leg_id=source_call_id,
            event_type=EventType.RINGING,
            sequence=number,
            buildr_call_id=buildr_call_id,
        )
        for number, buildr_call_id in enumerate(ids)
    )


def test_message_beats_link() -> None:
    """The id in the message counts, whatever a link says."""
    matched = match(call("110", None, "110"), Link(buildr_call_id="999"))
    assert ("110", "message") == (matched.buildr_call_id, matched.how)
    assert "110" in matched.reason


def test_link_that_replaces_beats_the_message() -> None:
    """A wrong id in a signed address can be corrected."""
    matched = match(call("110", "111"), Link(buildr_call_id="999", replaces=True))
    assert ("999", "link") == (matched.buildr_call_id, matched.how)


def test_link_names_the_call() -> None:
    """Without an id in the messages the link counts."""
    matched = match(call(None), Link(buildr_call_id="110"))
    assert ("110", "link") == (matched.buildr_call_id, matched.how)


def test_no_link_says_what_to_do() -> None:
    """An unmatched call comes with the command that matches it."""
    matched = match(call(None), None)
    assert (None, "none") == (matched.buildr_call_id, matched.how)
    assert matched.reason.endswith("buildr-calls links set twilio CA1 ID")


@pytest.mark.parametrize("ids", [(None,), ("110",), ("110", "111")])
def test_a_link_that_cannot_be_read_matches_nothing(ids: tuple[str | None, ...]) -> None:
    """It may replace what the messages name; that a call is expected says less than a link."""
    matched = match(call(*ids), UNREADABLE_LINK, CHOICE)
    assert (None, "unreadable", ()) == (matched.buildr_call_id, matched.how, matched.considered)
    assert matched.reason.startswith(DAMAGED_LINK)
    assert matched.reason.endswith("buildr-calls links set twilio CA1 ID")
    assert link_for_patch(matched, UNREADABLE_LINK, CHOICE) is None


def test_command_can_be_pasted_whatever_the_id_holds() -> None:
    """An id with spaces or quotes is written so that a shell takes it as one word."""
    assert match(call(None, source_call_id="a b;c"), None).reason.endswith(
        "links set twilio 'a b;c' ID"
    )


@pytest.mark.parametrize("link", [None, Link(buildr_call_id="999")])
def test_contradicting_messages_match_nothing(link: Link | None) -> None:
    """Two ids in one call are never chosen between, and a link to a third one does not help."""
    matched = match(call("110", "111"), link)
    assert (None, "conflict") == (matched.buildr_call_id, matched.how)
    assert "110 and 111" in matched.reason
    assert matched.reason.endswith("buildr-calls links set twilio CA1 110")


def test_link_settles_a_contradiction() -> None:
    """An operator who follows the advice and links one of the two ids decides."""
    matched = match(call("110", "111"), Link(buildr_call_id="111"))
    assert ("111", "link") == (matched.buildr_call_id, matched.how)


def test_expected_call_counts_last() -> None:
    """
    An expected call is chosen where neither a message nor a link names one, with what it is filed
    under.
    """
    link = Link(buildr_call_id="110", project_id="9")
    assert "message" == match(call("109"), link, CHOICE).how
    assert "link" == match(call(None), link, CHOICE).how
    assert "conflict" == match(call("110", "111"), None, CHOICE).how
    matched = match(call(None), None, CHOICE)
    assert ("120", "expected", CHOICE.reason, (LOSER,)) == (
        matched.buildr_call_id,
        matched.how,
        matched.reason,
        matched.considered,
    )
    assert Link(buildr_call_id="120", project_id="3") == link_for_patch(matched, None, CHOICE)
    assert link == link_for_patch(match(call(None), link, CHOICE), link, CHOICE)
    assert link_for_patch(match(call(None), None), None) is None


def test_why_no_expected_call_was_chosen_is_reported() -> None:
    """An unmatched call says what stood against the expected ones, and what to do."""
    matched = match(
        call(None),
        None,
        ExpectedCallMatch(
            reason="2 expected calls fit equally well: Buildr calls 110 and 111.",
            considered=(LOSER,),
        ),
    )
    assert (None, "none", (LOSER,)) == (matched.buildr_call_id, matched.how, matched.considered)
    assert "Buildr calls 110 and 111." in matched.reason
    assert matched.reason.endswith("buildr-calls links set twilio CA1 ID")
