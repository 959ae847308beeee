"""
What the errors of Redis mean: of a real server that is full, a replica, protected, hung or away.
"""

import os
import signal
import ssl

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from service.errors import QueueUnavailable
from service.store.redis_trouble import REDIS_ERRORS, RedisTrouble, classify_redis_error
from tests.doubles.redis import RedisServer


async def run(client: Redis, *command: str | int) -> None:
    """Run any command: redis-py has no types for the method that does so."""
    await client.execute_command(*command)  # type: ignore[no-untyped-call]


async def trouble_of(client: Redis, *command: str | int) -> RedisTrouble:
    """What a command that the server refuses meets."""
    with pytest.raises(REDIS_ERRORS) as raised:
        await run(client, *command)
    return classify_redis_error(raised.value)


@pytest.mark.slow
@pytest.mark.anyio
async def test_the_answers_of_a_server_are_recognised(own_redis: RedisServer) -> None:
    """A command and a script find the same trouble; each state ends with its cause."""
    set_key = ("SET", "key", "value")
    run_script = ("EVAL", "return redis.call('SET', 'key', 'value')", 0)
    async with Redis(unix_socket_path=str(own_redis.socket), socket_timeout=0.2) as client:
        await client.config_set("maxmemory", 1)
        assert await trouble_of(client, *set_key) is RedisTrouble.FULL
        assert await trouble_of(client, *run_script) is RedisTrouble.FULL
        await client.config_set("maxmemory", 0)

        await client.config_set("min-replicas-to-write", 1)
        assert await trouble_of(client, *set_key) is RedisTrouble.REPLICAS
        assert await trouble_of(client, *run_script) is RedisTrouble.REPLICAS
        await client.config_set("min-replicas-to-write", 0)

        await run(client, "REPLICAOF", "127.0.0.1", "1")
        assert await trouble_of(client, *set_key) is RedisTrouble.READ_ONLY
        assert await trouble_of(client, *run_script) is RedisTrouble.READ_ONLY
        await run(client, "REPLICAOF", "NO", "ONE")

        await run(client, "ACL", "SETUSER", "reader", "on", ">pw", "+get", "~*")
        async with Redis(
            unix_socket_path=str(own_redis.socket), username="reader", password="pw"
        ) as reader:
            assert await trouble_of(reader, *set_key) is RedisTrouble.PERMISSION
        async with Redis(unix_socket_path=str(own_redis.socket), password="wrong") as stranger:
            assert await trouble_of(stranger, *set_key) is RedisTrouble.CREDENTIALS
        async with Redis(unix_socket_path=str(own_redis.socket), db=99) as elsewhere:
            assert await trouble_of(elsewhere, *set_key) is RedisTrouble.DATABASE
        await run(client, "CONFIG", "SET", "requirepass", "secret")
        async with Redis(unix_socket_path=str(own_redis.socket)) as without_password:
            assert await trouble_of(without_password, *set_key) is RedisTrouble.CREDENTIALS
        assert await trouble_of(client, "LPUSH", "key") is RedisTrouble.REFUSED

        assert own_redis.process is not None
        os.kill(own_redis.process.pid, signal.SIGSTOP)
        assert await trouble_of(client, "GET", "key") is RedisTrouble.HUNG
        own_redis.kill()
        assert await trouble_of(client, "GET", "key") is RedisTrouble.AWAY


@pytest.mark.parametrize(
    ("err", "expected"),
    [
        (ResponseError("MISCONF Redis is configured to save RDB snapshots"), RedisTrouble.DISK),
        (ResponseError("BUSY Redis is busy running a script"), RedisTrouble.BUSY),
        (ResponseError("SELECT is not allowed in cluster mode"), RedisTrouble.DATABASE),
        (ResponseError("MASTERDOWN Link with MASTER is down"), RedisTrouble.READ_ONLY),
        (
            ResponseError(
                "Error running script (call to f_0a): @user_script:3: "
                "-OOM command not allowed when used memory > 'maxmemory'."
            ),
            RedisTrouble.FULL,
        ),
        (RedisConnectionError("max number of clients reached"), RedisTrouble.CONNECTIONS),
        (RedisConnectionError("No connection available."), RedisTrouble.AWAY),
        (TimeoutError(), RedisTrouble.HUNG),
        (ConnectionRefusedError(), RedisTrouble.AWAY),
        (QueueUnavailable("Redis does not answer"), RedisTrouble.AWAY),
    ],
)
def test_other_errors_are_recognised(err: Exception, expected: RedisTrouble) -> None:
    """Answers that a test cannot cause, of Redis before 7 too; and errors of connections."""
    assert classify_redis_error(err) is expected


def test_an_error_counts_by_what_it_was_raised_from() -> None:
    """redis-py and `Store.ping` raise errors of their own from the one that says why."""
    err = RedisConnectionError("Error 1 connecting to redis:6379")
    err.__cause__ = ssl.SSLCertVerificationError("certificate verify failed")
    assert classify_redis_error(err) is RedisTrouble.CERTIFICATE


@pytest.mark.parametrize("trouble", RedisTrouble)
def test_each_has_a_text(trouble: RedisTrouble) -> None:
    """The text names Redis, so that it can be a whole log line."""
    assert "Redis" in trouble.text
