"""
calls, refused list: calls found by what people know of them, and requests that were refused.
"""

import asyncio
import csv
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from service.settings import Settings
from service.store.connection import open_store
from service.store.listed_call import ListedCall
from service.store.refused import RefusedRequests
from tests.workers.cli.conftest import Run, Seed, ended
from workers.cli.call_table import print_calls
from workers.cli.output import print_table

CUSTOMER = "+15005550001"
COLUMNS = 80


class Terminal(io.StringIO):
    """A terminal of some columns."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_calls_are_found_by_a_number_in_any_form(run: Run, seed: Seed) -> None:
    """As JSON, as a table, as CSV; a number that is none is an error."""
    seed(ended("CA1"))
    for number in (CUSTOMER, "(500) 555-0001", "001 500 5550001"):
        (call,) = json.loads(run("calls", "--number", number, "--json").stdout)["calls"]
        assert ("twilio:CA1", CUSTOMER, "busy", "unmatched") == (
            call["call"],
            call["number"],
            call["result"],
            call["state"],
        )
    assert "twilio:CA1" in run("calls", "--since", "1h").stdout
    for text in ("(500) 555-0001", "CA1", "twilio:CA1"):
        assert "twilio:CA1" in run("calls", text).stdout
    for text in ("110", "Ana Lima", "+15005559999"):
        assert "No call fits.\n" == run("calls", text).stdout
    (row,) = csv.DictReader(io.StringIO(run("calls", "--csv").stdout))
    assert CUSTOMER == row["number"]
    assert "No call fits.\n" == run("calls", "--agent", "nobody").stdout
    assert "telephone number" in run("calls", "--number", "abc", code=2).stderr


def test_calls_name_their_next_page(run: Run, seed: Seed) -> None:
    """As a command that can be typed."""
    seed(ended("CA1"))
    seed(ended("CA2"))
    first = run("calls", "--source", "twilio", "--since", "1h", "--limit", "1")
    (line,) = [line for line in first.stderr.splitlines() if line.startswith("more: ")]
    words = line.removeprefix("more: buildr-calls ").split()
    assert {"--source", "--since", "--limit", "--after"} <= set(words)
    second = json.loads(run(*words, "--json").stdout)
    assert (["twilio:CA1"], None) == ([call["call"] for call in second["calls"]], second["after"])
    assert "still being indexed" in first.stderr
    assert "--after" in run("calls", "--after", "x", code=2).stderr


def test_words_that_are_not_known_are_answered_with_the_nearest(run: Run) -> None:
    """In every filter, and placeholders of examples are refused."""
    for arguments, expected in (
        (("calls", "--state", "unmatchd"), "Did you mean unmatched?"),
        (("calls", "--result", "No-Answer!"), "Did you mean no_answer?"),
        (("calls", "--source", "qqq"), "All: aircall"),
        (("failed", "list", "--cause", "buildr_reject"), "Did you mean buildr_rejected?"),
        (("failed", "list", "--source", "twillio"), "Did you mean twilio?"),
        (("explain", "CA…"), "placeholder"),
        (("explain", "twilio:<id>"), "placeholder"),
        (("explain", " "), "empty"),
        (("calls", "--since", "yesterday 25:00"), "yesterday 14:00"),
    ):
        assert expected in run(*arguments, code=2).stderr
    assert "No call fits.\n" == run("calls", "--since", "yesterday 14:00", "--until", "0:00").stdout


def test_explain_begins_with_the_answer(run: Run, seed: Seed) -> None:
    """And the next command; a number with one call is enough, with several they are listed."""
    seed(ended("CA1"))
    first, second = run("explain", "(500) 555-0001").stdout.splitlines()[:2]
    assert "The call ended as busy, and no Buildr call is known for it." == first
    assert "next: buildr-calls links set twilio CA1 BUILDR_CALL_ID" == second
    output = json.loads(run("explain", "CA1", "--json").stdout)
    assert ("default", first) == (output["account"], output["summary"]["sentence"])
    seed(ended("CA2"), query="buildr_call_id=110")
    stderr = run("explain", CUSTOMER, code=1).stderr
    assert stderr.index("twilio:CA2") < stderr.index("twilio:CA1")
    assert "twilio:CA2" in run("explain", "110").stdout


def test_lists_say_when_there_is_more(run: Run, seed: Seed) -> None:
    """With the command that shows more; a filter that fits nothing is no empty list."""
    seed(ended("CA1"))
    seed(ended("CA2"))
    listed = run("unmatched", "list", "--limit", "1")
    assert "unmatched list --limit 10" in listed.stderr
    assert "links set SOURCE CALL_ID BUILDR_CALL_ID" in listed.stderr
    assert "Look its id up" not in listed.stdout
    (entry,) = json.loads(run("unmatched", "list", "--limit", "1", "--json").stdout)
    assert (CUSTOMER, "outbound") == (entry["number"], entry["direction"])


def test_refused_requests_are_listed_and_explained(
    run: Run, redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    """By `refused list`, and by `explain` of a call that is not known."""
    assert "Nothing was refused" in run("refused", "list").stdout
    at = datetime.now(UTC) - timedelta(minutes=5)
    entry = RefusedRequests(
        first_at=at,
        last_at=at,
        count=3,
        source="twilio",
        path="/webhooks/twilio",
        reason="the signature does not fit",
        status_code=401,
        network="203.0.113.0/24",
        hint="it was sent to old.example.test",
    )

    async def add() -> None:
        async with open_store(make_settings(REDIS_URL=redis_url), role="cli") as store:
            await store.refused.add([entry, entry])

    asyncio.run(add())
    (kind,) = json.loads(run("refused", "list", "--json").stdout)
    assert (6, "203.0.113.0/24") == (kind["count"], kind["network"])
    assert "203.0.113.0/24" in run("refused", "list").stdout
    assert [] == json.loads(run("refused", "list", "--source", "zoom", "--json").stdout)
    sources = json.loads(run("sources", "--on", "--json").stdout)
    assert {"twilio": 6, "standard": 0} == {
        facts["source"]: facts["refused_in_a_day"] for facts in sources
    }
    assert "refused list" in run("sources").stderr
    stderr = run("explain", "twilio:CA404", code=1).stderr
    assert "6 requests to /webhooks/twilio were refused since" in stderr
    assert "it was sent to old.example.test" in stderr


def test_tables_break_no_id_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table where all of it fits, else a card for each row."""
    terminal = _terminal(monkeypatch)
    columns = ("id", "detail")
    print_table(columns, [("CA1", "some words " * 20)], empty="")
    assert terminal.getvalue().startswith("id   detail")
    long_id = "CA" + "0" * 90
    print_table(columns, [(long_id, "x"), ("CA2", "")], empty="")
    assert f"id      {long_id}\ndetail  x\n\nid      CA2\n" in terminal.getvalue()


def test_calls_on_a_terminal_are_some_lines_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No id is broken, and the sentence is wrapped between words."""
    terminal = _terminal(monkeypatch)
    ref = f"twilio:CA{'0' * 90}"
    call = ListedCall(
        ref=ref, last_at=datetime(2026, 11, 2, tzinfo=UTC), state="open", reason="why it is so " * 9
    )
    print_calls([call], empty="")
    lines = terminal.getvalue().splitlines()
    assert f"    {ref}" in lines
    assert all(len(line) <= COLUMNS for line in lines if ref not in line)


def _terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Stdout as a terminal of 80 columns without colours."""
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    # Without colours and weights.
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    return out


def test_a_link_can_replace_what_the_messages_name(run: Run, seed: Seed) -> None:
    """The call is run again, and the reply names what was written before and what comes next."""
    seed(ended("CA1"), query="buildr_call_id=110")
    assert "with --replace" in run("links", "set", "twilio", "CA1", "111").stderr
    result = run("links", "set", "twilio", "CA1", "111", "--replace")
    assert "Buildr call 110: what was written there stays" in result.stderr
    assert "buildr-calls explain twilio:CA1" in result.stdout
    assert "111" in json.loads(run("explain", "CA1", "--json").stdout)["match"]["reason"]
    run("links", "set", "twilio", "CA2", "112")
    assert "links list --limit 10" in run("links", "list", "--limit", "1").stderr


def test_check_finds_that_no_worker_runs(run: Run, redis_url: str) -> None:
    """A warning, and a fault once messages wait; and a secret in quotes."""
    findings = _check(run, TWILIO_AUTH_TOKEN='"0123456789abcdef0123456789abcdef"')
    assert "none is alive" in findings["workers"]
    assert "TWILIO_AUTH_TOKEN is in quotes" in findings["secret values"]
    assert "no request within a day" == findings["refused"]
    with Redis.from_url(redis_url) as client:
        client.zadd("bc:default:inbox", {"m1": 1})
    assert "and 1 message waits" in _check(run)["workers"]
    with Redis.from_url(redis_url) as client:
        client.hset("bc:default:maps", "w1", "1:digest")
        client.set("bc:default:worker:w1", "1")
    assert "1 alive" == _check(run)["workers"]


def _check(run: Run, **more: str) -> dict[str, str]:
    printed = json.loads(run("check", "--json", code=1, **more).stdout)
    return {finding["what"]: finding["detail"] for finding in printed}
