"""
Alive, and ready.
"""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace
from starlette.applications import Starlette

from service.receiver import health
from service.receiver.app import create_app
from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import Installation, Settings
from service.spool.files import MEGABYTE, SpoolLimits
from service.spool.spool import Spool
from service.store.connection import open_store
from service.store.identity import INSTANCE
from tests.doubles.messages import spooled
from tests.doubles.redis import RedisServer

INBOX_LIMITS = InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=5, accept_timeout_s=3)


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


async def test_public_health_names_the_records(
    client: httpx.AsyncClient, own_redis: RedisServer
) -> None:
    """The same id each time, also while Redis is away: `check` compares it with its own."""
    first = await client.get("/webhooks/healthz")
    own_redis.kill()
    again = await client.get("/webhooks/healthz")
    assert (200, {"status": "alive"}) == (first.status_code, first.json())
    assert first.headers[INSTANCE] == again.headers[INSTANCE]
    assert 16 == len(first.headers[INSTANCE])


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


async def test_degraded_while_only_the_spool_takes_messages(
    own_redis: RedisServer, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """
    An instance that spools takes messages: it stays in the load balancer and says what waits; with
    a full spool and no Redis it is not ready, and gives both reasons.
    """
    limits = SpoolLimits(MEGABYTE, least_free_bytes=0)
    async with (
        open_store(make_settings(REDIS_URL=own_redis.url), role="receiver") as store,
        open_store(make_settings(REDIS_URL="unix:///nowhere.sock"), role="receiver") as away,
    ):
        spool = Spool(tmp_path / "spool", limits)
        await spool.open()
        await spool.put(spooled("a"), is_last_chance=True)
        inbox = Inbox(store, INBOX_LIMITS, spool)
        readiness = health.Readiness(stores=[away], inboxes=[inbox], spool=spool)
        degraded = await readiness.response()
        content = json.loads(bytes(degraded.body))
        assert (200, "degraded") == (degraded.status_code, content["status"])
        assert ("Redis does not answer", 1) == (content["reason"], content["spool"]["messages"])
        # One of two Redis is enough to be worth a place in the load balancer.
        partly = await health.Readiness(stores=[store, away]).response()
        assert (200, "degraded") == (partly.status_code, json.loads(bytes(partly.body))["status"])
        ready = await replace(readiness, stores=[store]).response()
        assert "ready" == json.loads(bytes(ready.body))["status"]
        await inbox.close()
        await spool.close()
        closed = await readiness.response()
        assert (503, "Redis does not answer; the spool takes nothing: the service is stopping") == (
            closed.status_code,
            json.loads(bytes(closed.body))["detail"],
        )


async def test_not_ready_while_it_drains(
    redis_url: str, make_installation: Callable[..., Installation]
) -> None:
    """An instance that is about to stop sends load balancers elsewhere, and goes on living."""
    app = create_app(make_installation(REDIS_URL=redis_url))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://inner.example.test") as client,
    ):
        assert 200 == (await client.get("/readyz")).status_code
        app.state.begin_drain()
        away = await client.get("/readyz")
        assert (503, "this instance is about to stop") == (away.status_code, away.json()["detail"])
        assert 200 == (await client.get("/healthz")).status_code


async def test_public_health_is_of_the_first_of_several_accounts(
    redis_url: str, make_installation: Callable[..., Installation], tmp_path: Path
) -> None:
    """`check` compares it with the records of that one, whatever accounts share its Redis."""
    table = (
        '[accounts.acme]\nbuildr_access_token = "a"\ntwilio_auth_token = "fake-token-of-tests"\n'
    )
    (tmp_path / "buildr-calls.toml").write_text(table, encoding="utf-8")
    installation = make_installation(REDIS_URL=redis_url)
    app = create_app(installation)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://inner.example.test") as client,
        open_store(installation.accounts[0], role="cli") as store,
    ):
        named = await client.get("/webhooks/healthz")
        assert 2 == len(installation.accounts)
        assert await store.identity.read() == named.headers[INSTANCE]
