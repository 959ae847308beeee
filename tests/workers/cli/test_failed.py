"""
failed: what was given up on, and putting it through again.
"""

import json

from tests.workers.cli.conftest import Run, Seed, ended


def _word(call: str) -> dict[str, str]:
    return ended(call, "teleported")


def test_failed_message_is_listed_shown_and_chosen_by_filters(run: Run, seed: Seed) -> None:
    """An unknown word is on the list, found by source, cause, call and age, and by nothing else."""
    seed(_word("CA1"))
    (entry,) = json.loads(run("failed", "list", "--json").stdout)
    assert ("message", "unsupported_event", "CA1") == (entry["kind"], entry["cause"], entry["source_call_id"])
    for choice in (("--source", "twilio"), ("--cause", "unsupported_event"), ("--call", "twilio:CA1"), ("--since", "1h")):
        assert 1 == len(json.loads(run("failed", "list", *choice, "--json").stdout))
    for choice in (("--source", "standard"), ("--cause", "x"), ("--call", "CA2"), ("--until", "1h")):
        assert [] == json.loads(run("failed", "list", *choice, "--json").stdout)
    assert "teleported" in run("failed", "show", entry["entry_id"]).stdout
    assert "nothing failed" in run("failed", "show", "m404", code=1).stderr


def test_replay_reads_the_raw_message_again_each_time(run: Run, seed: Seed) -> None:
    """Replaying passes the dedupe, and does so the second time as well."""
    for _ in range(2):
        seed(_word("CA1"))
        (entry,) = json.loads(run("failed", "list", "--json").stdout)
        assert "would be replayed" in run("failed", "replay", entry["entry_id"], "--dry-run").stdout
        assert "replayed: 1" in run("failed", "replay", entry["entry_id"]).stdout
        assert [] == json.loads(run("failed", "list", "--json").stdout)
        assert 1 == json.loads(run("status", "--json").stdout)["messages_not_read_yet"]


def test_replay_demands_a_choice(run: Run, seed: Seed) -> None:
    """Nothing chosen is wrong usage, not everything; --all has to be said, and alone."""
    seed(_word("CA1"))
    assert "--all" in run("failed", "replay", code=2).stderr
    run("failed", "replay", "--all", "--cause", "x", code=2)
    run("failed", "replay", "--cause", "x", code=1)
    assert "replayed: 1" in run("failed", "replay", "--all").stdout


def test_message_that_still_names_no_call_stays_failed(run: Run, seed: Seed) -> None:
    """A message that cannot be read today either stays on the list, and the exit code says so."""
    seed({"nonsense": "1"}, is_unreadable=True)
    result = json.loads(run("failed", "replay", "--all", "--json", code=1).stdout)
    assert [{"id": "mbad", "verdict": "still names no call", "call": None}] == result
    assert 1 == len(json.loads(run("failed", "list", "--json").stdout))


def test_discard_takes_entries_off_the_list(run: Run, seed: Seed) -> None:
    """Discarding removes what was chosen, and a dry run does not."""
    seed(_word("CA1"))
    run("failed", "discard", code=2)
    assert "would discard: 1" in run("failed", "discard", "--all", "--dry-run").stdout
    assert "discarded: 1" in run("failed", "discard", "--cause", "unsupported_event").stdout
    assert [] == json.loads(run("failed", "list", "--json").stdout)


def test_odd_times_are_wrong_usage(run: Run) -> None:
    """A time that cannot be read says how times are written."""
    assert "24h" in run("failed", "list", "--since", "yesterday", code=2).stderr
