"""
expect and expected: calls that are announced by their numbers.
"""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from redis import Redis

from tests.workers.cli.conftest import Run, Seed, ended

NUMBER = "+1 500 555 0001"


def test_expected_call_is_registered_listed_and_removed(run: Run) -> None:
    """An expected call lives from expect to rm; the table masks numbers, JSON has them in full."""
    assert (
        "registered: Buildr call 110 is expected from"
        in run("expect", "110", "--number", NUMBER, "--agent", "ana").stdout
    )
    assert (
        "replaced"
        in run(
            "expect",
            "110",
            "--number",
            NUMBER,
            "--number",
            "(500) 555-0002 x12",
            "--direction",
            "outbound",
        ).stdout
    )
    (entry,) = json.loads(run("expected", "list", "--json").stdout)
    assert (["+15005550001", "+15005550002;ext=12"], None, "outbound") == (
        entry["numbers"],
        entry["agent"],
        entry["direction"],
    )
    table = run("expected", "list").stdout
    assert "+1••••••••01" in table
    assert "5550001" not in table
    run("expected", "rm", "110")
    assert "is not expected" in run("expected", "rm", "110", code=1).stderr
    assert "No call is expected." in run("expected", "list").stdout


def test_window_and_ids_are_options(run: Run) -> None:
    """What is stated is kept, and printed as JSON if that is asked for."""
    soon = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    there = soon.astimezone(timezone(timedelta(hours=-5)))
    arguments = (
        "--from",
        there.isoformat(),
        "--company-id",
        "1",
        "--contact-id",
        "2",
        "--project-id",
        "3",
        "--json",
    )
    shown = json.loads(
        run("expect", "110", "--number", NUMBER, *arguments, EXPECTED_CALL_H="2").stdout
    )
    assert (soon.isoformat(), (soon + timedelta(hours=2)).isoformat()) == (
        shown["not_before"],
        shown["not_after"],
    )
    assert ("1", "2", "3", True, 0) == tuple(
        shown[name] for name in ("company_id", "contact_id", "project_id", "is_new", "woken")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("110",), "--number"),
        (("abc", "--number", NUMBER), "no id of Buildr's"),
        (("0110", "--number", NUMBER), "begins with a zero"),
        (("110", "--number", "5550001"), "is no telephone number"),
        (("110", "--number", NUMBER, "--from", "today"), "is no moment"),
        (("110", "--number", NUMBER, "--from", "2026-11-02T10:00"), "has no offset"),
        (("110", *(["--number", NUMBER] * 21)), "at most 20"),
    ],
)
def test_wrong_usage_is_reported(run: Run, arguments: tuple[str, ...], message: str) -> None:
    """What cannot be is wrong usage, and registers nothing."""
    assert message in run("expect", *arguments, code=2).stderr
    assert [] == json.loads(run("expected", "list", "--json").stdout)


def test_window_that_cannot_be_is_one_line(run: Run) -> None:
    """A wrong window says which option to change."""
    stderr = run("expect", "110", "--number", NUMBER, "--until", "2020-01-01T00:00Z", code=1).stderr
    assert "--until" in stderr
    assert 1 == stderr.count("\n")


def test_explain_tells_what_is_expected(run: Run, seed: Seed) -> None:
    """
    A call without an id of Buildr's shows which expected call it is, and why the others are not it.
    """
    arguments = ("--from", "2026-11-02T09:00Z", "--until", "2026-11-02T11:00Z")
    seed(ended("CA1"))
    run("expect", "110", "--number", NUMBER, *arguments, KEEP_LINKS_D="36500")
    run(
        "expect",
        "111",
        "--number",
        NUMBER,
        "--direction",
        "inbound",
        *arguments,
        KEEP_LINKS_D="36500",
    )
    result = json.loads(run("explain", "twilio:CA1", "--json").stdout)["match"]
    assert ("110", "expected") == (result["buildr_call_id"], result["how"])
    assert [
        {"buildr_call_id": "111", "why": "is expected inbound, and this call is outbound"}
    ] == result["considered"]


def test_what_is_damaged_is_named_and_left_out(run: Run, redis_url: str) -> None:
    """In lists of links and of expected calls, each with the command that mends it."""
    for call in ("CA1", "CA2"):
        run("links", "set", "twilio", call, "110")
    for buildr_call_id in ("110", "111"):
        run("expect", buildr_call_id, "--number", NUMBER)
    with Redis.from_url(redis_url) as redis:
        redis.set("bc:default:link:twilio:CA1", b'{"buildr_call_id":"\xff"}')
        redis.hset("bc:default:expected:110", "body", "damaged")
    links = run("links", "list", "--json")
    assert ["CA2"] == [link["source_call_id"] for link in json.loads(links.stdout)]
    assert "the link of twilio:CA1 cannot be read; set it again: buildr-calls" in links.stderr
    expected = run("expected", "list", "--json")
    assert ["111"] == [call["buildr_call_id"] for call in json.loads(expected.stdout)]
    assert "cannot be read; remove it: buildr-calls expected rm 110\n" in expected.stderr
    link = run("links", "get", "twilio", "CA1", code=1)
    assert "the link of twilio:CA1 cannot be read; set it again: buildr-calls" in link.stderr
