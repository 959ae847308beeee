"""
A Redis that can lose what it has confirmed: what keeps a receiver from starting, and what is logged
once it runs.
"""

from collections.abc import Callable
from unittest.mock import AsyncMock

import pytest
from redis import Redis
from structlog.testing import capture_logs
from structlog.typing import EventDict

from service.errors import SettingsError
from service.receiver.durability import DurabilityWatch, check_durability
from service.settings import Installation, Settings
from service.store.confirmation import Confirmation
from service.store.connection import open_store
from service.store.durability import NO_WAITAOF, SAFE_CONFIG, read_durability
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


def test_a_confirmation_that_redis_cannot_give_keeps_a_receiver_from_starting(
    own_redis: RedisServer, make_installation: Callable[..., Installation]
) -> None:
    """
    With `REDIS_WAIT=aof` every message would be refused by a Redis that writes no append-only file,
    or is too old to know WAITAOF, whatever `REDIS_DURABILITY` asks for.
    """
    lenient = make_installation(
        REDIS_URL=own_redis.url, REDIS_DURABILITY="off", REDIS_WAIT="aof"
    ).accounts
    check_durability(lenient)
    configure(own_redis, "appendonly", "no")
    with pytest.raises(SettingsError, match="REDIS_WAIT=aof waits for an append-only file"):
        check_durability(lenient)


@pytest.mark.anyio
async def test_a_redis_without_waitaof_cannot_confirm() -> None:
    """An old Redis describes a command that it does not know as nothing."""
    redis = AsyncMock()
    redis.info.return_value = {"role": "master"}
    redis.config_get.return_value = dict(SAFE_CONFIG)
    redis.execute_command.return_value = [None]
    report = await read_durability(redis, Confirmation.of("aof"))
    assert (NO_WAITAOF,) == report.fatal("off")
    assert () == (await read_durability(redis, Confirmation.of("replicas:1"))).fatal("off")


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
                await until(lambda: has_lines(1), goal="that it is away")
                own_redis.start(appendfsync="everysec")
                await until(lambda: has_lines(2), goal="the first fault")
                configure(own_redis, "appendonly", "no")
                await until(lambda: has_lines(3), goal="the second fault")
                await store.pool.slaveof("127.0.0.1", 1)
                await until(lambda: has_lines(4), goal="the role")
    assert ["warning", "warning", "error", "warning"] == [line["log_level"] for line in lines]
    assert ("service.redis_trouble", "away") == (lines[0]["event"], lines[0]["reason"])
    assert {"service.redis_not_durable"} == {line["event"] for line in lines[1:]}
    assert "Redis is a read-only replica" == lines[3]["reason"]


@pytest.mark.anyio
async def test_a_database_that_is_not_there_is_named(
    own_redis: RedisServer, make_settings: MakeSettings
) -> None:
    """Not as a server that hides its configuration: nothing of it can be asked."""
    settings = make_settings(REDIS_URL=f"{own_redis.url}?db=99", REDIS_DURABILITY="warn")
    lines: list[EventDict]

    async def has_line() -> bool:
        return len(lines) > 0

    async with open_store(settings, role="receiver") as store:
        with capture_logs() as lines:
            async with DurabilityWatch([store], every_s=0.01, retry_s=0.01):
                await until(has_line, goal="what is wrong")
    assert [("service.redis_trouble", "database", "error")] == [
        (line["event"], line["reason"], line["log_level"]) for line in lines
    ]
