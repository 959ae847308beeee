"""
The phone book over HTTP, over a real Redis.
"""

import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from structlog.testing import capture_logs

from service.receiver.app import create_app
from service.receiver.phone_book import MAX_BODY_BYTES, MAX_PEOPLE
from service.settings import Installation, Settings
from service.store.connection import Store
from service.store.phone_book import PhoneBookEntry
from tests.conftest import ADMIN_TOKEN
from tests.doubles.redis import RedisServer

MakeSettings = Callable[..., Settings]
PATH = "/phonebook"
NUMBER = "+15005550006"
ONE = f"{PATH}/%2B15005550006"
ANA = {"contact_id": "418", "company_id": "101", "numbers": ["(500) 555-0006 x12", NUMBER]}
BEN = {"contact_id": "419", "numbers": [NUMBER, "+44 20 7946 0018"]}


def _client(
    settings: Settings, store: Store, *, token: str | None = ADMIN_TOKEN
) -> httpx.AsyncClient:
    headers = {}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    transport = httpx.ASGITransport(create_app(Installation(settings), store=store))
    return httpx.AsyncClient(
        transport=transport, base_url="http://inner.example.test", headers=headers
    )


@pytest.fixture
async def client(store: Store, make_settings: MakeSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends the right token."""
    async with _client(make_settings(), store) as client:
        yield client


def _detail(response: httpx.Response, status: int) -> str:
    assert (status, "application/problem+json") == (
        response.status_code,
        response.headers["content-type"],
    )
    return str(response.json()["detail"])


async def test_people_are_added_read_and_removed(client: httpx.AsyncClient, store: Store) -> None:
    """Numbers of any form are found by their number, one entry for each person."""
    response = await client.put(PATH, json={"people": [ANA, BEN]})
    assert (200, {"people": 2, "numbers": 3, "new": 3}) == (response.status_code, response.json())
    people = [
        {"contact_id": "418", "company_id": "101", "project_id": None, "origin": "import"},
        {"contact_id": "419", "company_id": None, "project_id": None, "origin": "import"},
    ]
    response = await client.get(ONE)
    assert (200, {"number": NUMBER, "people": people}, "no-store") == (
        response.status_code,
        response.json(),
        response.headers["cache-control"],
    )
    assert 204 == (await client.delete(ONE, params={"contact_id": "418"})).status_code
    assert people[1:] == (await client.get(ONE)).json()["people"]
    assert 204 == (await client.delete(ONE)).status_code
    assert "does not have this number" in _detail(await client.get(ONE), 404)
    _detail(await client.delete(ONE), 404)
    assert 1 == len(await store.phone_book.find("+442079460018"))


async def test_same_request_again_changes_nothing(client: httpx.AsyncClient) -> None:
    """A sender that got no answer sends the whole again."""
    await client.put(PATH, json={"people": [ANA]})
    response = await client.put(PATH, json={"people": [ANA]})
    assert {"people": 1, "numbers": 1, "new": 0} == response.json()


async def test_nothing_without_the_token(store: Store, make_settings: MakeSettings) -> None:
    """Only who has the token learns or changes anything."""
    await store.phone_book.put([PhoneBookEntry(number=NUMBER, contact_id="1")])
    for token in (None, "another-token"):
        async with _client(make_settings(), store, token=token) as client:
            _detail(await client.put(PATH, json={"people": [ANA]}), 401)
            _detail(await client.get(ONE), 401)
            _detail(await client.delete(ONE), 401)
    assert 1 == len(await store.phone_book.find(NUMBER))


async def test_without_the_setting_there_is_no_endpoint(
    store: Store, make_settings: MakeSettings
) -> None:
    """`ADMIN_TOKEN` turns it on."""
    async with _client(make_settings(ADMIN_TOKEN=""), store) as client:
        _detail(await client.put(PATH, json={"people": [ANA]}), 404)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "people is missing; must be a list of 1 to 500 objects"),
        ({"people": []}, "people must be a list of 1 to 500 objects"),
        ({"people": [7]}, "people must be a list of 1 to 500 objects"),
        ({"people": [ANA], "name": "x"}, "name is not a field of a phone book"),
        ({"people": [{**ANA, "name": "x"}]}, "people 1: name is not a field of a phone book"),
        (
            {"people": [ANA, {**BEN, "contact_id": 419}]},
            'people 2: contact_id must be a string of 1 to 20 digits, like "110"',
        ),
        ({"people": [{"contact_id": "1"}]}, "people 1: numbers is missing; must be a list of 1"),
        ({"people": [{**ANA, "numbers": []}]}, "people 1: numbers must be a list of 1 to 10"),
        ({"people": [{**ANA, "numbers": [5]}]}, "people 1: numbers must be a list of 1 to 10"),
        ({"people": [ANA, {"numbers": [NUMBER]}]}, "people 2 has no contact_id, company_id or"),
        (
            {"people": [ANA, {**BEN, "numbers": [NUMBER, "call me"]}]},
            "people 2 has no telephone number at 2.",
        ),
    ],
)
async def test_wrong_body_changes_nothing(
    client: httpx.AsyncClient, store: Store, body: object, words: str
) -> None:
    """What is wrong is named by its place, its value is not repeated, and nothing is written."""
    detail = _detail(await client.put(PATH, json=body), 422)
    assert words in detail
    assert "call me" not in detail
    assert () == await store.phone_book.find(NUMBER)


@pytest.mark.parametrize("path", ["/phonebook/ana", "/phonebook/101", f"{ONE}?contact_id=x"])
async def test_wrong_address_is_refused(client: httpx.AsyncClient, path: str) -> None:
    """The number, and the id of a contact, have to be ones."""
    _detail(await client.delete(path), 422)


async def test_body_is_bounded(client: httpx.AsyncClient) -> None:
    """The largest number of people fits, and a larger body is refused before it is read."""
    people = [
        {"contact_id": str(10**19 + index), "numbers": [NUMBER]} for index in range(MAX_PEOPLE)
    ]
    assert 200 == (await client.put(PATH, json={"people": people})).status_code
    text = json.dumps({"people": [ANA]}) + " " * MAX_BODY_BYTES
    response = await client.put(PATH, content=text, headers={"content-type": "application/json"})
    assert f"at most {MAX_BODY_BYTES} bytes" in _detail(response, 413)


async def test_redis_away_is_answered_503(
    own_redis: RedisServer, make_settings: MakeSettings
) -> None:
    """The sender is asked to come back, and the log names no number."""
    settings = make_settings(REDIS_URL=own_redis.url, ACCEPT_TIMEOUT_S="0.5")
    app = create_app(Installation(settings))
    own_redis.kill()
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://inner.example.test",
            headers=headers,
        ) as client,
    ):
        with capture_logs() as lines:
            response = await client.put(PATH, json={"people": [ANA]})
    assert (503, True) == (response.status_code, "retry-after" in response.headers)
    assert ["phonebook.unavailable"] == [str(line["event"]) for line in lines]


async def test_log_names_nobody(client: httpx.AsyncClient) -> None:
    """Log lines count; they hold neither numbers nor ids."""
    with capture_logs() as lines:
        await client.put(PATH, json={"people": [ANA]})
        await client.delete(ONE)
    assert ["phonebook.changed", "phonebook.removed"] == [str(line["event"]) for line in lines]
    text = json.dumps(lines, default=str)
    assert not any(value in text for value in ("5550006", "418", "101"))
