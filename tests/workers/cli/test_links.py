"""
links: which Buildr call a telephone call is.
"""

import json
from pathlib import Path

from redis import Redis

from tests.workers.cli.conftest import Run, Seed, ended
from workers.matching.reasons import DAMAGED_LINK


def test_link_is_set_shown_listed_and_removed(run: Run) -> None:
    """A link lives from set to rm, with what it files the call under."""
    assert (
        "no message of this call has come yet"
        in run("links", "set", "twilio", "CA1", "110", "--project-id", "372").stdout
    )
    link = json.loads(run("links", "get", "twilio", "CA1", "--json").stdout)
    assert ("110", "372", None) == (link["buildr_call_id"], link["project_id"], link["company_id"])
    assert 1 == len(json.loads(run("links", "list", "--source", "twilio", "--json").stdout))
    assert "replaced" in run("links", "set", "twilio", "CA1", "111").stdout
    run("links", "rm", "twilio", "CA1")
    assert "has no link" in run("links", "get", "twilio", "CA1", code=1).stderr
    assert "has no link" in run("links", "rm", "twilio", "CA1", code=1).stderr


def test_link_that_the_calls_own_message_contradicts_is_warned_about(run: Run, seed: Seed) -> None:
    """The id in a signed message counts before a link, and whoever sets another one hears of it."""
    seed(ended("CA1"), query="buildr_call_id=110")
    assert "110" in run("links", "set", "twilio", "CA1", "99").stderr


def test_a_call_whose_link_is_damaged_says_so(run: Run, seed: Seed, redis_url: str) -> None:
    """In each list and answer about it, with what to do; a new link is taken, and mends it."""
    command = "links set twilio CA1 BUILDR_CALL_ID"
    with Redis.from_url(redis_url) as redis:
        redis.set("bc:default:link:twilio:CA1", b"\xffdamaged")
    seed(ended("CA1"), query="buildr_call_id=110")
    (listed,) = json.loads(run("unmatched", "list", "--json").stdout)
    assert DAMAGED_LINK in listed["reason"]
    assert DAMAGED_LINK.split(",", 1)[0] in " ".join(run("unmatched", "list").stdout.split())
    explained = run("explain", "twilio:CA1").stdout
    assert DAMAGED_LINK in explained
    assert command in explained
    as_json = json.loads(run("explain", "twilio:CA1", "--json").stdout)
    assert ("unreadable", None) == (as_json["match"]["how"], as_json["delivery"]["link"])
    replay = json.loads(run("replay", "twilio:CA1", "--dry-run", "--json").stdout)
    assert "unmatched" in str(replay)
    assert command in run("links", "get", "twilio", "CA1", code=1).stderr
    assert "the call goes on now" in run("links", "set", "twilio", "CA1", "111").stdout


def test_ids_are_checked(run: Run) -> None:
    """An id that is not digits, or a source that does not exist, is wrong usage."""
    run("links", "set", "twilio", "CA1", "abc", code=2)
    run("links", "set", "nowhere", "CA1", "110", code=2)


def test_csv_sets_many(run: Run, tmp_path: Path) -> None:
    """Every line of a right file becomes a link; a dry run sets none."""
    text = (
        "source,source_call_id,buildr_call_id,company_id\ntwilio,CA1,110,753\nstandard,pbx-1,111,\n"
    )
    (tmp_path / "links.csv").write_text("\ufeff" + text, encoding="utf-8")
    assert "would set: 2" in run("links", "import", "links.csv", "--dry-run").stdout
    assert [] == json.loads(run("links", "list", "--json").stdout)
    assert "set: 2" in run("links", "import", "links.csv").stdout
    assert {"110", "111"} == {
        link["buildr_call_id"] for link in json.loads(run("links", "list", "--json").stdout)
    }


def test_wrong_csv_sets_nothing_and_names_its_lines(run: Run, tmp_path: Path) -> None:
    """One wrong line keeps all of them out, and each wrong one is reported."""
    text = "source,source_call_id,buildr_call_id\ntwilio,CA1,110\nnowhere,CA2,x\ntwilio,,\n"
    (tmp_path / "links.csv").write_text(text, encoding="utf-8")
    stderr = run("links", "import", "links.csv", code=1).stderr
    assert "line 3" in stderr
    assert "line 4" in stderr
    assert [] == json.loads(run("links", "list", "--json").stdout)
    (tmp_path / "odd.csv").write_text("call,id\n", encoding="utf-8")
    assert "column source is missing" in run("links", "import", "odd.csv", code=1).stderr
