"""
Two accounts, each with a Redis of its own: where one is away, the other is not touched.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import STANDARD_SECRET, TWILIO_TOKEN
from tests.doubles.redis import RedisServer
from tests.e2e.harness import System, twilio_forms, wait_for

TOML = """
[accounts.acme]
redis_url = "{url}"
buildr_client_id = "sandbox-client"
buildr_client_secret = "sandbox-secret"
twilio_auth_token = "{token}"
"""


@pytest.fixture
def other_redis() -> Iterator[RedisServer]:
    """The Redis of the second account."""
    folder = Path(tempfile.mkdtemp(prefix="bc-redis-"))
    server = RedisServer(folder)
    server.start(appendfsync="always")
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def system(own_redis: RedisServer, other_redis: RedisServer, tmp_path: Path) -> Iterator[System]:
    """Receiver, worker and sandbox for both accounts."""
    config = tmp_path / "buildr-calls.toml"
    config.write_text(TOML.format(url=other_redis.url, token=TWILIO_TOKEN), encoding="utf-8")
    started = System(
        folder=tmp_path,
        redis_url=own_redis.url,
        twilio_token=TWILIO_TOKEN,
        standard_secret=STANDARD_SECRET,
        extra={"CONFIG": str(config), "BUILDR_BUDGETS": "1000/1s", "SETTLE_S": "0"},
        sandbox_args=("--auto-create", "--limit-mode", "off"),
    )
    started.start_all()
    yield started
    started.stop()


@pytest.mark.slow
def test_an_account_does_not_notice_that_the_others_redis_is_away(
    system: System, other_redis: RedisServer
) -> None:
    """
    One account's calls are delivered while the other's Redis is dead; that one's messages are
    taken too, and delivered once it is back. Nothing is started again.
    """
    other_redis.kill()
    for number in range(10):
        form = twilio_forms(number)[-1]
        assert system.twilio(form, query=f"buildr_call_id={500 + number}").is_success
        query = f"buildr_call_id={600 + number}"
        assert system.twilio(form, query=query, account="acme").is_success
    wait_for(lambda: 10 == len(_patched(system)), goal="the calls of the first account")
    assert all(path.startswith("5") for path in _patched(system))
    assert "degraded" == system.http.get(f"{system.url}/readyz").json()["status"]
    other_redis.start(appendfsync="always")
    wait_for(lambda: 20 == len(_patched(system)), goal="the calls of both accounts")
    for name in ("receiver", "worker0"):
        assert system.parts[name].poll() is None
        assert "Traceback" not in system.log(name)


def _patched(system: System) -> set[str]:
    """The ids of the calls that were written."""
    return {str(patch["path"]).rpartition("/")[2] for patch in system.patches()}
