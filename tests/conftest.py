"""
What all tests share: a real Redis server of their own, settings, a store, and waiting without
sleeping.
"""

import gc
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import settings as hypothesis_settings
from redis import Redis

from service.settings import Installation, Settings, load_installation
from service.store.connection import Store, open_store
from tests.doubles.clock import Skew
from tests.doubles.redis import RedisServer
from tests.measuring import MeasuredTests

STANDARD_SECRET = "whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw=="
TWILIO_TOKEN = "FAKE0000000000000000000000000000"
ADMIN_TOKEN = "admin-token-of-the-tests"
FAST_VARIANTS = 5
OF_THE_MACHINE = frozenset({*map(str.upper, Settings.model_fields), "CONFIG", "FORCE_COLOR"})

# A busy machine, or one that measures coverage, is slow now and then; that is no fault of the code.
hypothesis_settings.register_profile("no-deadline", deadline=None)
hypothesis_settings.load_profile("no-deadline")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--fast`, which `make test-fast` uses."""
    parser.addoption(
        "--fast",
        action="store_true",
        help=(
            f"leave out slow tests, and of a test with more than {FAST_VARIANTS} variants run that "
            "many, chosen by the seed"
        ),
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """
    Half the time of collecting 20,000 tests would go into looking for garbage among them. They stay
    to the end, so that it is not looked for there later either.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Begin with the slow tests, so that none of them is left for the end; with `--fast` keep a sample
    of the others.

    pytest-xdist gives each of its processes a block of tests at the start: each block gets its
    share of the slow ones. The others stay beside those of their module, so that one process alone
    imports what the module needs, and makes what its tests share.
    """
    if config.getoption("--fast"):
        sample = _fast_sample(items)
        config.hook.pytest_deselected(items=list(set(items).difference(sample)))
        items[:] = sample
    blocks = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = [item for item in items if not _is_not_slow(item)]
    others = list(filter(_is_not_slow, items))
    items[:] = [
        item
        for block in range(blocks)
        for item in (*slow[block::blocks], *_share(others, block, blocks))
    ]


def _share(items: list[pytest.Item], block: int, blocks: int) -> list[pytest.Item]:
    return items[len(items) * block // blocks : len(items) * (block + 1) // blocks]


def _is_not_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is None


def _fast_sample(items: list[pytest.Item]) -> list[pytest.Item]:
    # pytest-randomly has shuffled the items by the seed, so the first variants of a test are a
    # random choice.
    variants: Counter[str] = Counter()
    sample: list[pytest.Item] = []
    for item in filter(_is_not_slow, items):
        function = item.nodeid.partition("[")[0]
        variants[function] += 1
        if variants[function] <= FAST_VARIANTS:
            sample.append(item)
    return sample


def pytest_configure(config: pytest.Config) -> None:
    """Where coverage is measured, leave out what repeats itself."""
    coverage = Coverage.current()
    if coverage is not None:
        config.pluginmanager.register(MeasuredTests(coverage))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """
    No test sees a setting that the machine happens to have.

    A fixture that does so costs each test a tenth of its time, and most tests take none.
    """
    for name in OF_THE_MACHINE.intersection(os.environ):
        del os.environ[name]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """
    Print the seed of the random order; pytest-randomly does so at the start, which `--quiet` hides.
    """
    seed = config.getoption("randomly_seed", None)
    if seed is not None:
        terminalreporter.write_line(f"The same order again: --randomly-seed={seed}")


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
            # The Redis of the tests writes once a second, and no test is about that line.
            "REDIS_DURABILITY": "off",
            # The times of many calls in tests are fixed, and must never be too old.
            "KEEP_CALLS_D": "36500",
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
