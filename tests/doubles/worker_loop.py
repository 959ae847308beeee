"""
A worker of one account in this process, without arq: it runs the job of each call that is due.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from service.clock import utc_now
from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.outcomes import StoredOutcomes
from workers.buildr import BuildrClient, ReadyToken
from workers.jobs.deliver import deliver
from workers.outcomes.decide import map_digest
from workers.process.assembly import build_worker
from workers.sandbox.records import OUTCOMES

WORKER_ID: Final = "w1"
POLL_S: Final = 0.01
# Calls that are run in one turn.
MOST: Final = 100


@asynccontextmanager
async def worker_loop(
    settings: Settings, *, token: str = "token-of-the-tests"
) -> AsyncIterator[None]:
    """Run a worker until the block ends; it knows the outcomes of the sandbox."""
    async with (
        open_store(settings, role="worker") as store,
        BuildrClient(settings, tokens=ReadyToken(token)) as client,
    ):
        await _beat(settings, store)
        names = tuple((name, outcome_id) for outcome_id, name in OUTCOMES.items())
        await store.outcomes.save(StoredOutcomes(names=names, read_at=utc_now()))
        task = asyncio.create_task(_work(settings, store, client))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _work(settings: Settings, store: Store, client: BuildrClient) -> None:
    runner = build_worker(settings, store, client, worker_id=WORKER_ID).runner
    while True:
        await _beat(settings, store)
        await store.permits.pump()
        now_ms = (await store.time()).timestamp() * 1000
        due = store.keys.named("due")
        for ref in await store.redis.zrangebyscore(due, "-inf", now_ms, start=0, num=MOST):
            name = ref.decode()
            await deliver({"runner": runner, "job_id": name}, settings.account, name)
            await store.schedule.rearm(name, worker_id=WORKER_ID)
        await asyncio.sleep(POLL_S)


async def _beat(settings: Settings, store: Store) -> None:
    await store.workers.beat(WORKER_ID, map_digest=map_digest(settings.outcome_config))
