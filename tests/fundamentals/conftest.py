"""The fixtures of the fundamentals: the system, in one process."""

from collections.abc import AsyncIterator, Callable

import pytest

from service.settings import Installation
from service.store.connection import Store
from tests.fundamentals.system import System, start_system


@pytest.fixture
async def system(
    store: Store, redis_url: str, make_installation: Callable[..., Installation]
) -> AsyncIterator[System]:
    """Receiver, worker and a Buildr over an empty Redis."""
    installation = make_installation(
        REDIS_URL=redis_url, BUILDR_ACCESS_TOKEN="sandbox-token", BUILDR_BUDGETS="1000/1s"
    )
    async with start_system(store, installation) as started:
        yield started
