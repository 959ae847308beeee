"""
A Redis that can lose what it has confirmed: what keeps a receiver from starting, and what is logged
once it runs.
"""

from collections.abc import Callable

import pytest
from redis import Redis
from structlog.testing import capture_logs
from structlog.typing import EventDict

from service.errors import SettingsError
from service.receiver.durability import DurabilityWatch, check_durability
from service.settings import Installation, Settings
from service.store.connection import open_store
from tests.doubles.redis import RedisServer
from tests.doubles.waiting import until

MakeSettings = Callable[..., Settings]


def configure(server: RedisServer, name: str, value: str) -> None:
    """Set one setting of a running server."""
    with Redis(unix_socket_path=str(server.socket)) as client:
        client.config_set(name, value)


def test_an_unfit_redis_keeps_a_receiver_from_starting(
    own_redis: RedisServer, make_installation: Callable[..., Installation]
) -> None:
    """
    One that evicts always does, one that may lose a second only where durability is required, of
    any account; one that is away does not.
    """
    strict = make_installation(REDIS_URL=own_redis.url, REDIS_DURABILITY="require")
    lenient = make_installation(REDIS_URL=own_redis.url, REDIS_DURABILITY="off")
    other = lenient.default.model_copy(update={"account": "acme", "is_default": False})
    check_durability(strict.accounts)
    configure(own_redis, "appendfsync", "everysec")
    check_durability([*lenient.accounts, other])
    with pytest.raises(SettingsError, match="REDIS_URL: Redis has appendfsync everysec"):
        check_durability(strict.accounts)
    configure(own_redis, "maxmemory-policy", "allkeys-lru")
    with pytest.raises(SettingsError, match="account acme: redis_url: Redis has maxmemory-policy"):
        check_durability([other])
    own_redis.kill()
    check_durability(strict.accounts)


@pytest.mark.anyio
async def test_a_redis_that_comes_back_is_checked(
    own_redis: RedisServer, make_settings: MakeSettings
) -> None:
    """What is wrong with it is logged once, and again only when it is something else."""
    own_redis.kill()
    settings = make_settings(REDIS_URL=own_redis.url, REDIS_DURABILITY="warn")
    lines: list[EventDict]

    async def has_lines(count: int) -> bool:
        return len(lines) == count

    async with open_store(settings, role="receiver") as store:
        with capture_logs() as lines:
            async with DurabilityWatch([store], every_s=0.01, retry_s=0.01):
                own_redis.start(appendfsync="everysec")
                await until(lambda: has_lines(1), goal="the first fault")
                configure(own_redis, "appendonly", "no")
                await until(lambda: has_lines(2), goal="the second fault")
                await store.pool.slaveof("127.0.0.1", 1)
                await until(lambda: has_lines(3), goal="the role")
    assert ["warning", "error", "warning"] == [line["log_level"] for line in lines]
    assert {"service.redis_not_durable"} == {line["event"] for line in lines}
    assert "Redis is a read-only replica" == lines[2]["reason"]
