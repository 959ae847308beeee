"""
Alive, and ready.
"""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from starlette.applications import Starlette

from service.receiver import health
from service.settings import Settings
from service.store.connection import open_store
from tests.doubles.redis import RedisServer


@pytest.fixture
async def client(
    own_redis: RedisServer, make_settings: Callable[..., Settings]
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the two endpoints, over a Redis that may be killed."""
    async with open_store(make_settings(REDIS_URL=own_redis.url), role="receiver") as store:
        transport = httpx.ASGITransport(
            Starlette(routes=health.routes(health.Readiness(stores=[store])))
        )
        async with httpx.AsyncClient(
            transport=transport, base_url="http://inner.example.test"
        ) as client:
            yield client


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_alive_whatever_redis_does(
    client: httpx.AsyncClient, own_redis: RedisServer, method: str
) -> None:
    """A receiver without Redis is alive: starting it again would not help."""
    own_redis.kill()
    response = await client.request(method, "/healthz")
    assert (200, "no-store") == (response.status_code, response.headers["cache-control"])
    assert method == "HEAD" or {"status": "alive"} == response.json()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_ready_only_while_redis_answers(
    client: httpx.AsyncClient, own_redis: RedisServer, method: str
) -> None:
    """
    Without Redis no message could be accepted; with it back, the receiver is ready again by itself.
    """
    assert 200 == (await client.request(method, "/readyz")).status_code
    own_redis.kill()
    away = await client.request(method, "/readyz")
    assert (503, "no-store", "5") == (
        away.status_code,
        away.headers["cache-control"],
        away.headers["retry-after"],
    )
    assert "application/problem+json" == away.headers["content-type"]
    own_redis.start()
    assert 200 == (await client.request(method, "/readyz")).status_code


async def test_answer_holds_the_reason_and_not_the_address(
    client: httpx.AsyncClient, own_redis: RedisServer
) -> None:
    """A health check says what is missing, not where it is."""
    own_redis.kill()
    response = await client.get("/readyz")
    assert ("Not ready", "Redis does not answer") == (
        response.json()["title"],
        response.json()["detail"],
    )
    assert str(own_redis.socket) not in response.text
