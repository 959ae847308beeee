"""
A console over calls of every kind, and a browser without scripts that goes through it.
"""

from collections.abc import AsyncIterator, Callable

import pytest

from service.settings import Installation
from service.store.connection import Store
from tests.fundamentals.system import System, start_system
from tests.workers.console.harness import OPERATOR, READER, Browser, open_browser, seed


@pytest.fixture
def installation(redis_url: str, make_installation: Callable[..., Installation]) -> Installation:
    """An installation with a console."""
    return make_installation(REDIS_URL=redis_url, CONSOLE_TOKEN=OPERATOR, CONSOLE_READ_TOKEN=READER)


@pytest.fixture
async def system(store: Store, installation: Installation) -> AsyncIterator[System]:
    """Receiver, worker and Buildr, with calls of every kind in them."""
    async with start_system(store, installation) as started:
        await seed(started)
        yield started


@pytest.fixture
async def stranger(installation: Installation) -> AsyncIterator[Browser]:
    """A browser that is not logged in."""
    async with open_browser(installation) as browser:
        yield browser


@pytest.fixture
async def operator(stranger: Browser) -> Browser:
    """A browser of an operator."""
    await stranger.log_in(OPERATOR)
    return stranger


@pytest.fixture
async def reader(stranger: Browser) -> Browser:
    """A browser of somebody who may only look."""
    await stranger.log_in(READER)
    return stranger
