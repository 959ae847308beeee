"""
Buildr's webhooks about contacts, over a real Redis.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from service.receiver.app import create_app
from service.settings import Installation, Settings
from service.store.connection import Store, open_store
from service.webhook_urls import path_token
from tests.doubles.redis import RedisServer

MakeSettings = Callable[..., Settings]
SECRET = "url-secret-of-the-tests-0123456789"
OLD_SECRET = "older-url-secret-of-the-tests-012345"
PATH = f"/webhooks/buildr/t/{path_token(SECRET, 'buildr')}"
# As published: https://buildr.dev/introduction/webhooks
MESSAGE = {"id": 2279, "url": "https://api.buildr.com/api/2023-01/contacts/2279"}


def _client(app: Starlette) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://inner.example.test")


@pytest.fixture
async def client(store: Store, make_settings: MakeSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a receiver with two URL secrets."""
    settings = make_settings(URL_SECRET=f"{SECRET},{OLD_SECRET}")
    async with _client(create_app(Installation(settings), store=store)) as client:
        yield client


async def queued(store: Store) -> set[str]:
    """The contacts that are to be read."""
    contacts = await store.contact_queue.due(datetime.now(UTC), limit=100)
    return {contact.contact_id for contact in contacts}


@pytest.mark.parametrize(
    ("message", "contact_id"),
    [
        (MESSAGE, "2279"),
        ({"id": "0418"}, "0418"),
        ({**MESSAGE, "type": "contact.update", "data": {}}, "2279"),
    ],
)
async def test_contact_is_queued(
    client: httpx.AsyncClient, store: Store, message: object, contact_id: str
) -> None:
    """A message with the right token is answered 204 once its contact is queued."""
    response = await client.post(PATH, json=message)
    assert (204, b"") == (response.status_code, response.content)
    assert {contact_id} == await queued(store)


async def test_older_secret_counts_while_rotating(client: httpx.AsyncClient, store: Store) -> None:
    """Addresses of both secrets work."""
    path = f"/webhooks/buildr/t/{path_token(OLD_SECRET, 'buildr')}/"
    assert 204 == (await client.post(path, json=MESSAGE)).status_code
    assert {"2279"} == await queued(store)


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/buildr",
        "/webhooks/buildr/t/",
        "/webhooks/buildr/t/0123456789abcdef0123456789abcdef",
        PATH[:-1],
        f"/webhooks/buildr/t/{path_token(SECRET, 'aircall')}",
    ],
)
async def test_nothing_without_the_token(
    client: httpx.AsyncClient, store: Store, path: str
) -> None:
    """Another address, and another source's token, are answered like what does not exist."""
    response = await client.post(path, json=MESSAGE, headers={"X-Buildr-Signature": "x"})
    assert (404, "application/problem+json") == (
        response.status_code,
        response.headers["content-type"],
    )
    assert set() == await queued(store)


async def test_without_url_secret_there_is_no_such_address(
    store: Store, make_settings: MakeSettings
) -> None:
    """Nothing proves a message then, so that none is believed."""
    async with _client(create_app(Installation(make_settings()), store=store)) as client:
        for path in (PATH, f"/webhooks/buildr/t/{path_token('', 'buildr')}"):
            assert 404 == (await client.post(path, json=MESSAGE)).status_code
    assert set() == await queued(store)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"id": None}, 422),
        ({"id": "abc"}, 422),
        ({"id": -1}, 422),
        ({"id": 1.5}, 422),
        ({"id": True}, 422),
        ({"id": 10**20}, 422),
        ([MESSAGE], 422),
    ],
)
async def test_message_without_an_id_is_refused(
    client: httpx.AsyncClient, store: Store, body: object, status: int
) -> None:
    """What names no contact queues none."""
    assert status == (await client.post(PATH, json=body)).status_code
    assert set() == await queued(store)


async def test_other_methods_and_types_are_refused(client: httpx.AsyncClient) -> None:
    """It is a POST of JSON within limits."""
    assert 404 == (await client.get(PATH)).status_code
    assert 415 == (await client.post(PATH, content=b"id=1")).status_code
    large = b" " * (17 * 1024)
    headers = {"content-type": "application/json"}
    assert 413 == (await client.post(PATH, content=large, headers=headers)).status_code


async def test_accounts_are_apart(
    redis_url: str, make_installation: Callable[..., Installation], tmp_path: Path
) -> None:
    """Each account has an address of its own, by its own secret."""
    (tmp_path / "buildr-calls.toml").write_text("[accounts.acme]\n", encoding="utf-8")
    installation = make_installation(
        REDIS_URL=redis_url,
        URL_SECRET=SECRET,
        ACCOUNT__ACME__URL_SECRET=OLD_SECRET,
        ACCOUNT__ACME__BUILDR_ACCESS_TOKEN="token",
    )
    acme = f"/webhooks/acme/buildr/t/{path_token(OLD_SECRET, 'buildr')}"
    app = create_app(installation)
    async with app.router.lifespan_context(app), _client(app) as client:
        assert 204 == (await client.post(acme, json=MESSAGE)).status_code
        wrong = acme.replace(path_token(OLD_SECRET, "buildr"), path_token(SECRET, "buildr"))
        assert 404 == (await client.post(wrong, json=MESSAGE)).status_code
    for settings in installation.accounts:
        async with open_store(settings, role="cli") as store:
            expected = {"2279"} if settings.account == "acme" else set()
            assert expected == await queued(store)


async def test_redis_away_is_answered_503(
    own_redis: RedisServer, make_settings: MakeSettings
) -> None:
    """Buildr may send it again; otherwise the next synchronisation reads the contact."""
    settings = make_settings(REDIS_URL=own_redis.url, ACCEPT_TIMEOUT_S="0.5", URL_SECRET=SECRET)
    own_redis.kill()
    app = create_app(Installation(settings))
    async with app.router.lifespan_context(app), _client(app) as client:
        assert 503 == (await client.post(PATH, json=MESSAGE)).status_code


async def test_log_holds_no_token(client: httpx.AsyncClient) -> None:
    """A refused message is logged with its reason, without its address."""
    with capture_logs() as lines:
        await client.post(PATH[:-1], json=MESSAGE)
        await client.post(PATH, json=MESSAGE)
    events = [(line["event"], line["log_level"]) for line in lines]
    assert [("message.rejected", "warning"), ("phonebook.contact_queued", "info")] == events
    assert path_token(SECRET, "buildr")[:-1] not in str(lines)
