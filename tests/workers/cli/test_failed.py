"""
failed: what was given up on, and its replay.
"""

import json

from tests.workers.cli.conftest import Run, Seed, ended


def _word(call: str) -> dict[str, str]:
    return ended(call, "teleported")


def test_failed_message_is_listed_shown_and_chosen_by_filters(run: Run, seed: Seed) -> None:
    """An unknown word is on the list, found by source, cause, call and age, and by nothing else."""
    seed(_word("CA1"))
    (entry,) = json.loads(run("failed", "list", "--json").stdout)
    assert ("message", "unsupported_event", "CA1") == (
        entry["kind"],
        entry["cause"],
        entry["source_call_id"],
    )
    for choice in (
        ("--source", "twilio"),
        ("--cause", "unsupported_event"),
        ("--call", "twilio:CA1"),
        ("--since", "1h"),
    ):
        assert 1 == len(json.loads(run("failed", "list", *choice, "--json").stdout))
    for choice in (
        ("--source", "standard"),
        ("--cause", "buildr_rejected"),
        ("--call", "CA2"),
        ("--until", "1h"),
    ):
        assert [] == json.loads(run("failed", "list", *choice, "--json").stdout)
    assert "teleported" in run("failed", "show", entry["entry_id"]).stdout
    assert "nothing failed" in run("failed", "show", "m404", code=1).stderr


def test_message_that_can_be_read_today_is_read_anew(run: Run, seed: Seed) -> None:
    """
    Replaying passes the dedupe: the raw message waits for a worker again and is off the list; a dry
    run changes nothing.
    """
    seed(ended("CA1", "ringing"), is_unreadable=True)
    assert (
        "not final: 1; no budget (dry run)" in run("failed", "replay", "mbad", "--dry-run").stdout
    )
    assert 1 == len(json.loads(run("failed", "list", "--json").stdout))
    assert "not final: 1; no budget\n" in run("failed", "replay", "mbad").stdout
    assert [] == json.loads(run("failed", "list", "--json").stdout)
    assert 1 == json.loads(run("status", "--json").stdout)["messages_not_read_yet"]


def test_replay_shows_each_verdict_and_what_it_costs(run: Run, seed: Seed) -> None:
    """
    Offline, a message of a call that would be written costs the worker's read and its
    write.
    """
    seed(ended("CA1"), query="buildr_call_id=110", is_unreadable=True)
    text = run("failed", "replay", "--all", "--dry-run", "--offline").stdout
    assert "none -> Busy" in text
    assert (
        "will write, unless hand-edited in Buildr: 1; about 1 min of budget (2 requests) (dry run)"
        in text
    )
    output = json.loads(run("failed", "replay", "--all", "--dry-run", "--offline", "--json").stdout)
    (verdict,) = output["verdicts"]
    assert ("mbad", "twilio:CA1", "110", None, "Busy", 2) == tuple(
        verdict[name]
        for name in ("id", "call", "buildr_call_id", "outcome_now", "outcome_then", "requests")
    )
    assert (True, 2, 0.03) == (output["is_dry_run"], output["requests"], output["minutes"])
    assert (
        "will write (forced): 1; about 1 min of budget (1 request)"
        in run("failed", "replay", "--all", "--force").stdout
    )
    assert [] == json.loads(run("failed", "list", "--json").stdout)


def test_replay_demands_a_choice(run: Run, seed: Seed) -> None:
    """Nothing chosen is wrong usage, not everything; --all has to be given, and alone."""
    seed(ended("CA1", "ringing"), is_unreadable=True)
    assert "--all" in run("failed", "replay", code=2).stderr
    run("failed", "replay", "--all", "--cause", "buildr_rejected", code=2)
    run("failed", "replay", "--cause", "buildr_rejected", code=1)
    assert "not final: 1" in run("failed", "replay", "--all").stdout


def test_cause_that_does_not_exist_is_wrong_usage(run: Run) -> None:
    """A cause is one of a list, so that a typing error is not taken for an empty list."""
    assert "malformed_payload" in run("failed", "list", "--cause", "malformed", code=2).stderr


def test_message_that_still_names_no_call_stays_failed(run: Run, seed: Seed) -> None:
    """A message that cannot be read today either stays on the list, and the exit code says so."""
    seed({"nonsense": "1"}, is_unreadable=True)
    seed(_word("CA1"))
    output = json.loads(run("failed", "replay", "--all", "--json", code=1).stdout)
    assert {"mbad": "no_call_id"} == {
        event["id"]: event["verdict"] for event in output["verdicts"] if event["call"] is None
    }
    assert {"no_call_id": 1, "unreadable": 1} == output["counts"]
    assert 2 == len(json.loads(run("failed", "list", "--json").stdout))


def test_buildr_that_is_away_ends_the_replay_in_one_line(run: Run, seed: Seed) -> None:
    """Where Buildr cannot be asked nothing is replayed, and the line names the way around."""
    seed(ended("CA1"), query="buildr_call_id=110", is_unreadable=True)
    away = {
        "BUILDR_API_URL": "http://127.0.0.1:9",
        "BUILDR_ACCESS_TOKEN": "x",
        "BUILDR_BUDGETS": "1000/1s",
    }
    result = run("failed", "replay", "--all", code=1, **away)
    assert "--offline" in result.stderr
    assert 1 == result.stderr.count("\n")
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
    assert "24h" in run("failed", "list", "--since", "last week", code=2).stderr
