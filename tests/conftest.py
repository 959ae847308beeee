"""
What all tests share: a real Redis server of their own, settings, a store, and waiting without
sleeping.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from service.settings import Installation, Settings, load_installation
from service.store.connection import Store, open_store
from tests.doubles.clock import Skew
from tests.doubles.redis import RedisServer

STANDARD_SECRET = "whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw=="
TWILIO_TOKEN = "FAKE0000000000000000000000000000"
ADMIN_TOKEN = "admin-token-of-the-tests"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take long, so that none of them is left over for the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests run on asyncio, as the service does."""
    return "asyncio"


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server for one test alone, to be killed, stopped or filled."""
    folder = Path(tempfile.mkdtemp(prefix="bc-redis-"))
    server = RedisServer(folder)
    server.start(appendfsync="always")
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The server that all tests of a process share."""
    folder = Path(tempfile.mkdtemp(prefix="bc-redis-"))
    server = RedisServer(folder)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    with Redis(unix_socket_path=str(redis_server.socket)) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def make_installation(tmp_path: Path) -> Callable[..., Installation]:
    """
    Make an installation from keywords named like environment variables; nothing of the machine's
    own environment is read.
    """

    def make(**values: str) -> Installation:
        defaults = {
            "PUBLIC_URL": "https://hooks.example.test",
            "TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
            "STANDARD_SECRET": STANDARD_SECRET,
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "BUILDR_ACCESS_TOKEN": "token-of-the-tests",
            "SETTLE_S": "0",
            "DATA_DIR": str(tmp_path),
        }
        return load_installation(defaults | values, cwd=tmp_path)

    return make


@pytest.fixture
def make_settings(make_installation: Callable[..., Installation]) -> Callable[..., Settings]:
    """Make the settings of the default account, in the same way."""

    def make(**values: str) -> Settings:
        return make_installation(**values).default

    return make


@pytest.fixture
def skew() -> Skew:
    """By how much the clock of the store is ahead."""
    return Skew()


@pytest.fixture
async def store(
    redis_url: str, make_settings: Callable[..., Settings], skew: Skew
) -> AsyncIterator[Store]:
    """A store over an empty Redis."""
    async with open_store(make_settings(REDIS_URL=redis_url), role="cli", skew_ms=skew) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees a setting that the machine happens to have."""
    for name in (*(field.upper() for field in Settings.model_fields), "CONFIG"):
        monkeypatch.delenv(name, raising=False)
    os.environ.pop("FORCE_COLOR", None)
