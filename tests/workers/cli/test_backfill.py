"""
The commands `backfill` and `reconcile`, against a stand-in of Twilio.
"""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis.asyncio

from tests.doubles.vendors.serving import Fault, listening
from tests.doubles.vendors.twilio import ACCOUNT, Twilio
from tests.workers.cli.conftest import Run, Seed, ended
from workers.backfill import rights

NOW = datetime.now(UTC).replace(microsecond=0)
BEGAN = NOW - timedelta(hours=3)


@pytest.fixture
def twilio() -> Iterator[tuple[Twilio, dict[str, str]]]:
    """A stand-in with two calls, and the settings that lead to it."""
    standin = Twilio()
    for number, status in ((1, "busy"), (2, "busy")):
        standin.add(
            f"CA{number:032x}", status, began_at=BEGAN, ended_at=BEGAN + timedelta(minutes=1)
        )
    with listening(standin) as url:
        yield standin, {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_API_URL": url}


def test_backfill_and_reconcile(
    run: Run, seed: Seed, twilio: tuple[Twilio, dict[str, str]]
) -> None:
    """What is missing is shown, with the cure, then fed in, then there is nothing to do."""
    standin, values = twilio
    seed(ended(f"CA{1:032x}", "no-answer"))
    day = f"{BEGAN:%Y-%m-%d}"
    shown = run("reconcile", "twilio", "--day", day, code=1, **values).output
    assert "missing here" in shown
    assert "other result" in shown
    assert f"buildr-calls backfill twilio --since {day}T00:00Z" in shown
    dry = run("backfill", "twilio", "--since", "24h", "--dry-run", **values).output
    assert "1 would be fed in (dry run)" in dry
    fed = json.loads(run("backfill", "twilio", "--since", "24h", "--json", **values).output)
    assert (1, {"known": 1, "missing": 1}, None) == (fed["fed"], fed["counts"], fed["fault"])
    again = run("backfill", "twilio", "--since", "24h", **values).output
    assert "0 fed in" in again
    differences = json.loads(
        run("reconcile", "twilio", "--day", day, "--json", code=1, **values).output
    )["differences"]
    assert ["other result"] == [item["difference"] for item in differences]
    standin.calls.clear()
    assert "Nothing differs." in run("reconcile", "twilio", "--day", day, **values).output


def test_faults_are_one_line(run: Run, twilio: tuple[Twilio, dict[str, str]]) -> None:
    """Exit code 1, with the settings that are missing, or what the vendor refused."""
    standin, values = twilio
    missing = run("backfill", "twilio", "--since", "1h", code=1).output
    assert "twilio: set TWILIO_ACCOUNT_SID" in missing
    standin.faults.append(Fault(status=403, times=9))
    refused = run("backfill", "twilio", "--since", "1h", code=1, **values).output
    assert "give the API key the right to read calls and recordings" in refused
    assert (
        "no run was ended before its time"
        in run("backfill", "twilio", "--resume", code=1, **values).output
    )
    run("backfill", "twilio", code=2)
    run("backfill", "twilio", "--since", "1h", "--until", "2h", code=2)


def test_a_second_run_ends_at_once(
    run: Run, redis_url: str, twilio: tuple[Twilio, dict[str, str]]
) -> None:
    """With one line that names the first one, and an exit code of its own."""
    _, values = twilio
    first = {"host": "web1", "process": 812, "began_at": "2026-11-27T18:00:00Z", "owner": "f" * 16}

    async def begin() -> None:
        client = redis.asyncio.Redis.from_url(redis_url)
        await client.set("bc:default:backfill_run:twilio", json.dumps(first))
        await client.aclose()

    asyncio.run(begin())
    for command in (("backfill", "twilio", "--since", "1h"), ("reconcile", "twilio")):
        shown = run(*command, code=3, **values).output
        assert "since 2026-11-27 18:00:00 UTC (process 812 on web1)" in shown


def test_check_names_what_credentials_may_not_do(
    run: Run, twilio: tuple[Twilio, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the cure in the same line; a log for which nothing is set has no line."""
    monkeypatch.setattr(rights, "TIMEOUT_S", 60.0)
    standin, values = twilio

    def log_findings(**more: str) -> list[tuple[bool, str]]:
        findings = json.loads(run("check", "--json", code=1, **values, **more).output)
        return [
            (item["is_fine"], item["detail"]) for item in findings if item["what"] == "call log"
        ]

    assert [(True, "twilio: may be read")] == log_findings()
    standin.faults.append(Fault(match="Recordings.json", status=403))
    half = (False, "zoom: set ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET: an app with ")
    (is_fine, detail), zoom = log_findings(ZOOM_ACCOUNT_ID="zoom-account")
    assert not is_fine
    assert "give the API key the right to read calls and recordings" in detail
    assert half == (zoom[0], zoom[1][: len(half[1])])
