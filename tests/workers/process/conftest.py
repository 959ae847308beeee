"""
What tests of the process of a worker share.
"""

from collections.abc import AsyncIterator, Callable

import pytest

from service.settings import Settings
from service.store.connection import Store, open_store


@pytest.fixture
async def worker_store(
    redis_url: str, make_settings: Callable[..., Settings]
) -> AsyncIterator[Store]:
    """A worker's store over an empty Redis."""
    async with open_store(make_settings(REDIS_URL=redis_url), role="worker") as opened:
        yield opened
