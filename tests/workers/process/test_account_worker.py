"""
The part of a worker that is one account's: what it does beside its jobs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial

import pytest

from service.settings import Settings
from service.store.connection import Store
from tests.doubles.vendors import plivo, twilio
from workers.backfill.asking import EndAsker
from workers.buildr import BuildrClient, ReadyToken
from workers.maintenance.heartbeat import Heartbeat
from workers.maintenance.redis_watch import RedisWatch
from workers.process import account_worker
from workers.process.account_worker import background_tasks
from workers.process.assembly import build_worker

pytestmark = pytest.mark.anyio
Turn = Callable[[], Awaitable[None]]


async def test_each_source_with_a_call_log_has_a_turn(
    worker_store: Store, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own, in which it is asked for its calls without an end."""
    turns: list[Turn] = []
    asked: list[str] = []

    def note(_: float, turn: Turn, *, watch: RedisWatch) -> Coroutine[object, object, None]:
        del watch
        turns.append(turn)
        return asyncio.sleep(0)

    async def ask_due(_: EndAsker, slug: str) -> None:
        asked.append(slug)

    monkeypatch.setattr(account_worker, "run_every", note)
    monkeypatch.setattr(EndAsker, "ask_due", ask_due)
    settings = make_settings(
        TWILIO_AUTH_TOKEN="FAKE0000000000000000000000000000",
        TWILIO_ACCOUNT_SID=twilio.ACCOUNT,
        PLIVO_AUTH_TOKEN="FAKE0000000000000000000000000000",
        PLIVO_AUTH_ID=plivo.AUTH_ID,
    )
    watch = RedisWatch()
    async with BuildrClient(settings, tokens=ReadyToken("token-of-the-tests")) as client:
        components = build_worker(settings, worker_store, client, worker_id="w1", watch=watch)
        heartbeat = Heartbeat(worker_store, "w1", components.clock, "0", watch)
        for task in background_tasks(components, heartbeat, watch):
            task.close()
    for turn in turns:
        if isinstance(turn, partial):
            await turn()
    assert ["plivo", "twilio"] == sorted(asked)
