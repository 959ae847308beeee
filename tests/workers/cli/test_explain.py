"""
explain, unmatched, stalled, status: what became of a call.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from service.clock import utc_now
from service.store import call_listing
from service.store.call_index import INDEXED
from service.store.calls import StoredCall
from service.store.delivery_record import DeliveryRecord
from tests.workers.cli.conftest import Run, Seed, ended
from workers.cli.explain_report import print_delivery
from workers.replay.explain import DeliveryExplanation

REQUEST = {
    "method": "POST",
    "path": "/webhooks/twilio",
    "query": {"buildr_call_id": "110"},
    "headers": {},
    "body_form": ended("CA1"),
    "other": "ignored",
}


def test_explain_reads_request_files_offline(run: Run, tmp_path: Path) -> None:
    """
    Events, the folded call, the rule and the PATCH come out of request files alone, without Redis
    or a signature.
    """
    (tmp_path / "buildr-calls.toml").write_text('[outcomes]\nbusy = "790"\n', encoding="utf-8")
    first = REQUEST | {"body_form": ended("CA1", "ringing") | {"SequenceNumber": "1"}}
    (tmp_path / "1.json").write_text(json.dumps(REQUEST), encoding="utf-8")
    (tmp_path / "2.json").write_text(json.dumps(first), encoding="utf-8")
    output = json.loads(
        run(
            "explain",
            "1.json",
            "2.json",
            "--source",
            "twilio",
            "--json",
            REDIS_URL="redis://127.0.0.1:1",
        ).stdout
    )
    assert 2 == len(output["events"])
    assert ("twilio", "CA1", "110", "busy", True, 0) == tuple(
        output["call"][name]
        for name in (
            "source",
            "source_call_id",
            "buildr_call_id",
            "result",
            "is_final",
            "duration_s",
        )
    )
    assert "outcomes.busy" == output["rule"]
    assert {"call": {"call_outcome_id": "790", "recorded_at": "2026-11-02T10:00:00Z"}} == output[
        "patch"
    ]


def test_explain_shows_the_operator_the_whole_number(run: Run, tmp_path: Path) -> None:
    """
    The text for people has the customer's number, which `--mask` hides, and names an outcome whose
    id is not known offline.
    """
    (tmp_path / "1.json").write_text(json.dumps(REQUEST), encoding="utf-8")
    text = run("explain", "1.json", "--source", "twilio").stdout
    assert "busy" in text
    assert "<id of Busy>" in text
    assert "5005550001" in text
    assert "5005550001" not in run("explain", "1.json", "--source", "twilio", "--mask").stdout


def test_explain_says_what_is_wrong_with_a_file(run: Run, tmp_path: Path) -> None:
    """A file that is no request, or is not there, is one clear line and exit code 1."""
    (tmp_path / "1.json").write_text("[]", encoding="utf-8")
    for name in ("1.json", "missing.json"):
        result = run("explain", name, "--source", "twilio", code=1)
        assert name in result.stderr
        assert 1 == result.stderr.count("\n")


def test_explain_leaves_out_what_the_worker_would(run: Run, tmp_path: Path) -> None:
    """
    A request that is known and not wanted is named and left out, and the others are explained.
    """
    unwanted = REQUEST | {
        "body_form": {"CallSid": "CA1", "RecordingSid": "RE1", "RecordingStatus": "in-progress"}
    }
    (tmp_path / "1.json").write_text(json.dumps(REQUEST), encoding="utf-8")
    (tmp_path / "2.json").write_text(json.dumps(unwanted), encoding="utf-8")
    result = run("explain", "1.json", "2.json", "--source", "twilio", "--json")
    assert 1 == len(json.loads(result.stdout)["events"])
    assert "2.json" in result.stderr


def test_explain_wants_one_call_for_its_files(run: Run, tmp_path: Path) -> None:
    """Requests of different calls are not folded into one."""
    for name in ("CA1", "CA2"):
        (tmp_path / f"{name}.json").write_text(
            json.dumps(REQUEST | {"body_form": ended(name)}), encoding="utf-8"
        )
    assert (
        "different calls"
        in run("explain", "CA1.json", "CA2.json", "--source", "twilio", code=1).stderr
    )


def test_explain_prints_the_whole_call(run: Run, seed: Seed) -> None:
    """
    Online the output holds the call's state and every step, found by the source's id alone.
    """
    seed(ended("CA1"), query="")
    output = json.loads(run("explain", "CA1", "--json").stdout)
    assert ("twilio:CA1", "busy", "unmatched") == (
        output["ref"],
        output["call"]["result"],
        output["delivery"]["state"],
    )
    assert ["received", "result", "unmatched"] == [
        step["what"] for step in output["delivery"]["history"]
    ]
    assert "links set" in run("explain", "twilio:CA1").stdout


def test_explain_says_how_often_it_was_tried(capsys: pytest.CaptureFixture[str]) -> None:
    """By the same word as the list of what has failed: the first attempt is no retry."""
    delivery = DeliveryExplanation(
        stored=StoredCall(
            version=1, record=DeliveryRecord(ref="twilio:CA1", attempts=1), events={}
        ),
        pending_messages=(),
        link=None,
        failed=None,
        failed_messages=(),
    )
    print_delivery(delivery, utc_now())
    assert "attempts     1\n" in capsys.readouterr().out


def test_explain_of_an_unknown_call_says_where_to_look(run: Run) -> None:
    """A call that nothing is known of is exit code 1 and advice."""
    assert "message.rejected" in run("explain", "CA404", code=1).stderr


def test_explain_asks_which_call_is_meant(run: Run, seed: Seed) -> None:
    """Half an id that fits several calls lists them."""
    seed(ended("CA11"))
    seed(ended("CA12"))
    stderr = run("explain", "CA1", code=1).stderr
    assert "twilio:CA11" in stderr
    assert "twilio:CA12" in stderr


def test_explain_says_when_it_has_not_compared_all_calls(
    run: Run, seed: Seed, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id may be that of an older call, if only its middle was given."""
    seed(ended("CA11"))
    with Redis.from_url(redis_url) as redis:
        redis.set("bc:default:calls_indexed", INDEXED)
    assert "from the middle" not in run("explain", "CA404", code=1).stderr
    monkeypatch.setattr(call_listing, "MOST_COMPARED", 0)
    for command in (("explain", "CA404"), ("replay", "CA404", "--dry-run", "--offline")):
        assert "give the beginning or the end" in run(*command, code=1).stderr
    # Without the index, all of them are compared.
    with Redis.from_url(redis_url) as redis:
        redis.delete("bc:default:calls_indexed")
    assert "from the middle" not in run("explain", "CA404", code=1).stderr


def test_unmatched_lists_calls_that_wait_for_a_link(run: Run, seed: Seed) -> None:
    """A call without a Buildr id is listed with its result."""
    seed(ended("CA1"))
    (entry,) = json.loads(run("unmatched", "list", "--json").stdout)
    assert ("twilio:CA1", "busy") == (entry["call"], entry["result"])
    assert "twilio:CA1" in run("unmatched", "list").stdout


def test_empty_lists_are_sentences(run: Run) -> None:
    """An empty list is one line of words."""
    for command in (
        ("unmatched", "list"),
        ("stalled", "list"),
        ("failed", "list"),
        ("links", "list"),
    ):
        assert run(*command).stdout.endswith(".\n")


def test_status_counts(run: Run, seed: Seed) -> None:
    """Status tells what is unmatched, what waits and what is used."""
    seed(ended("CA1"))
    facts = json.loads(run("status", "--json").stdout)
    assert (1, 0, 0) == (facts["unmatched"], facts["failed"], facts["messages_not_read_yet"])
    assert {"final": {"calls": 0, "oldest_age_s": None}} == {"final": facts["lanes"]["final"]}
    assert re.search(r"requests in 10 s +0 of 10", run("status").stdout)


def test_run_does_not_wait_for_a_redis_that_is_not_there(run: Run) -> None:
    """A REDIS_URL that nobody serves is one clear line at once, before anything is started."""
    assert "REDIS_URL" in run("run", "--no-demo", code=1, REDIS_URL="redis://127.0.0.1:1/0").stderr


def test_commands_say_when_redis_is_away(run: Run) -> None:
    """Without Redis a command is one line that says what to do, and no traceback."""
    result = run("status", code=1, REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert "REDIS_URL" in result.stderr
    assert "hunter2" not in result.output
    assert 1 == result.stderr.count("\n")


def _seed_damaged(seed: Seed, redis: Redis, *, is_another_type: bool) -> None:
    """Two calls with the same number, of which CA1 cannot be read."""
    for call in ("CA1", "CA2"):
        seed(ended(call))
    if is_another_type:
        redis.set("bc:default:call:twilio:CA1", "damaged")
    else:
        redis.hset("bc:default:call:twilio:CA1", "rec", "damaged")


@pytest.mark.parametrize("is_another_type", [True, False])
def test_a_damaged_call_is_named_beside_the_others(
    run: Run, seed: Seed, redis_url: str, is_another_type: bool
) -> None:
    """One line says what becomes of it; another call with the number is explained all the same."""
    with Redis.from_url(redis_url) as redis:
        _seed_damaged(seed, redis, is_another_type=is_another_type)
    line = (
        "what is stored of twilio:CA1 cannot be read. Have it set aside with its messages, and "
        "made again from them: buildr-calls replay twilio:CA1, and then "
        "buildr-calls failed replay twilio:CA1\n"
    )
    assert run("explain", "twilio:CA1", code=1).stderr.endswith(line)
    assert "twilio:CA2" in run("explain", "+15005550001").stdout


@pytest.mark.parametrize("is_another_type", [True, False])
def test_a_damaged_call_is_set_aside_and_made_again(
    run: Run, seed: Seed, run_job: Callable[[str], None], redis_url: str, is_another_type: bool
) -> None:
    """By the two commands that `explain` names; the calls beside it are replayed."""
    with Redis.from_url(redis_url) as redis:
        _seed_damaged(seed, redis, is_another_type=is_another_type)
        assert "twilio:CA2" in run("replay", "--since", "1d", "--dry-run").stdout
        result = run("replay", "twilio:CA1", "--dry-run", "--json", code=1)
        assert "left out: what is stored of twilio:CA1 cannot be read" in result.stderr
        assert [] == json.loads(result.stdout)["verdicts"]
        assert redis.zscore("bc:default:due", "twilio:CA1") is None
        result = run("replay", "twilio:CA1", "twilio:CA2", code=1)
        assert "twilio:CA2" in result.stdout
        assert redis.zscore("bc:default:due", "twilio:CA1") is not None
    run_job("twilio:CA1")
    (entry,) = json.loads(run("failed", "list", "--json").stdout)
    assert ("twilio:CA1", "damaged_record") == (entry["entry_id"], entry["cause"])
