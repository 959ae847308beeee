"""
`buildr-calls alerts`: what is open, and whether messages arrive.
"""

import asyncio
import json
from datetime import timedelta

from service.clock import utc_now
from service.store.connection import Store
from tests.doubles.hooks import hook_server
from tests.workers.alerts.facts import condition
from tests.workers.cli.conftest import Run
from workers.alerts.book import advance, book_text


def test_nothing_is_wrong(run: Run) -> None:
    """It also says that alerts go nowhere."""
    result = run("alerts", "list")
    assert "Nothing is wrong" in result.output
    assert "alerts go nowhere" in result.output
    assert "alerts go nowhere" in run("alerts", "test", code=1).output


async def test_what_is_open(run: Run, store: Store) -> None:
    """Each alert with its state and the command that shows more."""
    book = advance({}, [condition()], now=utc_now() - timedelta(minutes=5))
    book = advance(book, [condition(), condition(kind="failed", subject="x")], now=utc_now())
    await store.alerts.save(book_text(book))
    output = (await asyncio.to_thread(run, "alerts", "list")).output
    assert "nobody yet" in output
    assert "buildr-calls check" in output
    listed = json.loads((await asyncio.to_thread(run, "alerts", "list", "--json")).output)
    assert [("no_worker", "open"), ("failed:x", "begins")] == [
        (alert["alert"], alert["state"]) for alert in listed
    ]
    assert "docs/alerts.md#failed" == listed[1]["runbook"]


def test_a_message_arrives(run: Run) -> None:
    """Or the reason is printed, and nothing of the address."""
    with hook_server() as hook:
        assert "slack: sent" in run("alerts", "test", ALERTS_SLACK_URL=hook.url).output
        hook.status = 403
        result = run("alerts", "test", code=1, ALERTS_SLACK_URL=hook.url)
    assert "slack: answered 403" in result.output
    assert "fake-secret" not in result.output
    assert "This is a test" in hook.bodies[0].decode()
