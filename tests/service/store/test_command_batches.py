"""
Commands that go to Redis together, against a real server.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from redis import Redis
from redis.asyncio import UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.store import command_batches
from service.store.command_batches import CommandBatches
from tests.doubles.redis import RedisServer


class Connections:
    """Makes connections to a server, and counts what they send."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.options: dict[str, str] = {}
        self.sent: list[bytes] = []
        self.made = 0

    def __call__(self) -> UnixDomainSocketConnection:
        """One more connection."""
        self.made += 1
        sent = self.sent

        class Counted(UnixDomainSocketConnection):
            async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
                # redis-py's own are lists.
                if isinstance(command, bytes):
                    sent.append(command)
                await super().send_packed_command(command, check_health)

        return Counted(path=str(self.server.socket), retry=Retry(NoBackoff(), 0), **self.options)


@pytest.fixture
def connections(redis_server: RedisServer, redis_url: str) -> Connections:
    """To an empty server."""
    assert redis_url == redis_server.url
    return Connections(redis_server)


@pytest.fixture
async def batches(connections: Connections) -> AsyncIterator[CommandBatches]:
    """What sends commands to it."""
    batches = CommandBatches(connections)
    yield batches
    await batches.close()


async def answers_of(batches: CommandBatches, *commands: tuple[str, ...]) -> list[object]:
    """The answers, or errors, to commands that are asked at the same moment."""
    asked = (batches.ask(*command) for command in commands)
    return list(await asyncio.gather(*asked, return_exceptions=True))


@pytest.mark.anyio
async def test_what_is_asked_at_once_goes_together(
    batches: CommandBatches, connections: Connections
) -> None:
    """Commands of one moment are one batch, in their order; an error is that of its command."""
    answers = await answers_of(
        batches, ("SET", "a", "1"), ("LPUSH", "a", "2"), ("INCR", "a"), ("CONFIG GET", "port")
    )
    assert [answers[0], *answers[2:]] == [b"OK", 2, [b"port", b"0"]]
    assert isinstance(answers[1], ResponseError)
    assert len(connections.sent) == 1
    assert connections.made == 1


class _Held:
    """A connection whose answers come when the test says so."""

    def __init__(self, released: asyncio.Event) -> None:
        self.released = released

    async def send_packed_command(self, command: object) -> None:
        """Take it."""

    async def read_response(self) -> bytes:
        """The answer, once it is released."""
        await self.released.wait()
        return b"OK"

    async def disconnect(self, nowait: bool = False) -> None:
        """There is nothing to end."""


class _Uncancellable(_Held):
    """One that goes on when it is cancelled, as redis-py does while it handles a lost one."""

    def __init__(self, released: asyncio.Event) -> None:
        super().__init__(released)
        self.is_asked = asyncio.Event()
        self.is_cancelled = asyncio.Event()
        self.is_closed = asyncio.Event()

    async def read_response(self) -> bytes:
        """The answer, once it is released."""
        self.is_asked.set()
        try:
            return await super().read_response()
        except asyncio.CancelledError:
            self.is_cancelled.set()
            return await super().read_response()

    async def disconnect(self, nowait: bool = False) -> None:
        """Note that it is closed."""
        self.is_closed.set()


@pytest.mark.anyio
async def test_a_connection_that_outlives_a_cancelled_end_is_closed() -> None:
    """By the sender that uses it: nobody takes it from there any more. An idle one at once."""
    idle = _Uncancellable(asyncio.Event())
    used = _Uncancellable(asyncio.Event())
    unused = iter((idle, used))
    batches = CommandBatches(lambda: cast("UnixDomainSocketConnection", next(unused)))
    answered = asyncio.create_task(batches.ask("PING"))
    await idle.is_asked.wait()
    asked = asyncio.create_task(batches.ask("PING"))
    await used.is_asked.wait()
    idle.released.set()
    assert b"OK" == await answered
    closing = asyncio.create_task(batches.close())
    await used.is_cancelled.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert idle.is_closed.is_set()
    used.released.set()
    async with asyncio.timeout(30):
        assert b"OK" == await asked
        await used.is_closed.wait()


@pytest.mark.anyio
async def test_who_asks_again_as_both_connections_end_is_answered() -> None:
    """Both have just found nothing to send: the next command starts another sender."""
    released = asyncio.Event()
    batches = CommandBatches(lambda: cast("UnixDomainSocketConnection", _Held(released)))

    async def ask_twice() -> list[object]:
        return [await batches.ask("PING"), await batches.ask("PING")]

    first = asyncio.create_task(ask_twice())
    # A turn for the command, and one for its sender: the second one goes over another connection.
    for _ in range(3):
        await asyncio.sleep(0)
    second = asyncio.create_task(batches.ask("PING"))
    for _ in range(3):
        await asyncio.sleep(0)
    released.set()
    async with asyncio.timeout(30):
        assert [b"OK", b"OK"] == await first
        assert b"OK" == await second
    await batches.close()


@pytest.mark.anyio
async def test_a_batch_is_not_larger_than_it_may_be(
    batches: CommandBatches, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit goes with the next batch."""
    monkeypatch.setattr(command_batches, "MOST_AT_ONCE", 2)
    commands = [("INCR", "a")] * 5
    assert await answers_of(batches, *commands) == [1, 2, 3, 4, 5]
    assert len(connections.sent) == 3


@pytest.mark.anyio
async def test_a_lost_connection_is_made_again(
    batches: CommandBatches, connections: Connections
) -> None:
    """Commands whose connection was cut are sent over a new one."""
    assert await batches.ask("INCR", "a") == 1
    with Redis(unix_socket_path=str(connections.server.socket)) as other:
        other.client_kill_filter(_type="normal", skipme=True)
    assert await answers_of(batches, ("INCR", "a"), ("INCR", "a")) == [2, 3]
    assert connections.made == 1


@pytest.mark.anyio
async def test_a_server_that_stays_away_is_an_error(
    batches: CommandBatches,
    connections: Connections,
    own_redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Commands are repeated so often, and then are errors; the next ones are tried all the same."""
    monkeypatch.setattr(command_batches, "MOST_REPEATS", 2)
    monkeypatch.setattr(command_batches, "LONGEST_PAUSE_S", 0.0)
    connections.server = own_redis
    own_redis.kill()
    answers = await answers_of(batches, ("INCR", "a"), ("INCR", "a"))
    assert [type(answer) for answer in answers] == [RedisConnectionError] * 2
    own_redis.start(appendfsync="always")
    assert await batches.ask("INCR", "a") == 1


@pytest.mark.anyio
async def test_a_server_that_hangs_is_an_error(
    batches: CommandBatches, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch without an answer ends, and its connection with it."""
    monkeypatch.setattr(command_batches, "MOST_REPEATS", 0)
    monkeypatch.setattr(command_batches, "ANSWER_TIMEOUT_S", 0.05)
    with pytest.raises(RedisTimeoutError):
        await batches.ask("BLPOP", "nothing", "0")
    monkeypatch.setattr(command_batches, "ANSWER_TIMEOUT_S", 10.0)
    assert await batches.ask("INCR", "a") == 1


@pytest.mark.anyio
async def test_credentials_that_are_refused_are_not_tried_again(
    batches: CommandBatches, connections: Connections
) -> None:
    """What only an operator can mend is an error at once."""
    connections.options = {"username": "nobody", "password": "fake"}
    with pytest.raises(RedisConnectionError):
        await batches.ask("INCR", "a")
    assert len(connections.sent) == 1


@pytest.mark.anyio
async def test_nobody_waits_for_a_task_that_was_cancelled(
    batches: CommandBatches, connections: Connections
) -> None:
    """A command that was not sent yet when its task was cancelled is not sent."""
    first = asyncio.create_task(batches.ask("SET", "a", "1"))
    second = asyncio.create_task(batches.ask("SET", "b", "1"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"OK"
    assert await batches.ask("EXISTS", "a", "b") == 1


@pytest.mark.anyio
async def test_the_end_leaves_nobody_waiting(batches: CommandBatches) -> None:
    """What has no answer when the connections are closed gets an error."""
    tasks = [asyncio.create_task(batches.ask("BLPOP", "nothing", "0")) for _ in range(2)]
    assert await batches.ask("INCR", "a") == 1
    tasks.append(asyncio.create_task(batches.ask("BLPOP", "nothing", "0")))
    await asyncio.sleep(0)
    await batches.close()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [RedisConnectionError] * 3
    with pytest.raises(RedisConnectionError):
        await batches.ask("INCR", "a")
