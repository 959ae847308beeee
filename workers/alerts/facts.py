"""
Reads what the alerts of an account are decided by.
"""

from datetime import timedelta
from typing import Final

from service.settings import Settings
from service.store.connection import Store
from service.store.refused import MOST
from workers.alerts.condition import AlertFacts
from workers.delivery.intake_status import count_causes, read_sources
from workers.delivery.status import read_account_status

MAX_FAILED: Final = 1000
REFUSED_FOR: Final = timedelta(hours=1)


async def read_facts(settings: Settings, store: Store) -> AlertFacts:
    """The facts of the account that `store` is of. Raises redis-py's errors."""
    now = await store.time()
    return AlertFacts(
        at=now,
        status=await read_account_status(settings, store),
        sources=await read_sources(settings, store),
        causes=await count_causes(store, most=MAX_FAILED),
        refused=await store.refused.recent(since=now - REFUSED_FOR, limit=MOST),
        unknown_values=await store.figures.unknown_values(),
        outcome_days=await store.figures.outcome_days(),
        receiver_at=await store.alerts.receiver_at(),
        spools=await store.alerts.spools(now),
    )
