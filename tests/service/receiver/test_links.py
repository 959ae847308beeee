"""
Links over HTTP, over a real Redis.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from service.receiver.app import create_app
from service.settings import Installation, Settings
from service.store.connection import Store
from service.store.links import Link
from tests.conftest import ADMIN_TOKEN
from tests.doubles.redis import RedisServer

OTHER_TOKEN = "another-token-of-the-tests"
AUTHORIZED = {"authorization": f"Bearer {ADMIN_TOKEN}"}
PATH = "/links/twilio/CA1"
FULL: dict[str, Any] = {
    "buildr_call_id": "110",
    "company_id": "1",
    "contact_id": "2",
    "project_id": "3",
}
MakeSettings = Callable[..., Settings]


def _client(
    settings: Settings, store: Store | None = None, headers: dict[str, str] | None = None
) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(Installation(settings), store=store))
    return httpx.AsyncClient(
        transport=transport, base_url="http://inner.example.test", headers=headers
    )


@pytest.fixture
async def client(store: Store, make_settings: MakeSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends the right token."""
    async with _client(
        make_settings(ADMIN_TOKEN=f"{OTHER_TOKEN},{ADMIN_TOKEN}"), store, AUTHORIZED
    ) as client:
        yield client


def _assert_problem(response: httpx.Response, status: int) -> str:
    assert (status, "application/problem+json") == (
        response.status_code,
        response.headers["content-type"],
    )
    return str(response.json()["detail"])


async def test_link_is_set_replaced_read_and_removed(
    client: httpx.AsyncClient, store: Store
) -> None:
    """A link lives as its four methods say, and what is answered is what is kept."""
    shown = {"source": "twilio", "source_call_id": "CA1"}
    _assert_problem(await client.get(PATH), 404)
    _assert_problem(await client.delete(PATH), 404)
    created = await client.put(PATH, json={"buildr_call_id": "109"})
    assert (201, shown | {"buildr_call_id": "109"}) == (created.status_code, created.json())
    replaced = await client.put(PATH, json=FULL)
    assert (200, shown | FULL) == (replaced.status_code, replaced.json())
    assert Link(**FULL) == await store.links.get("twilio", "CA1")
    response = await client.get(PATH)
    assert (200, shown | FULL, "no-store") == (
        response.status_code,
        response.json(),
        response.headers["cache-control"],
    )
    removed = await client.delete(PATH)
    assert (204, b"") == (removed.status_code, removed.content)
    assert await store.links.get("twilio", "CA1") is None


async def test_a_damaged_link_is_not_shown_and_can_be_set_again(
    client: httpx.AsyncClient, store: Store
) -> None:
    """It is not the same as none: its call waits for it."""
    await client.put(PATH, json=FULL)
    await store.redis.set(store.keys.link("twilio:CA1"), b"\xffdamaged")
    response = await client.get(PATH)
    _assert_problem(response, 404)
    assert "The link of this call is damaged. Set it again with PUT." in response.text
    assert 200 == (await client.put(PATH, json=FULL)).status_code
    assert 200 == (await client.get(PATH)).status_code


@pytest.mark.parametrize(
    ("path", "source_call_id"),
    [
        ("/links/standard/%2B15005550006", "+15005550006"),
        ("/links/standard/a%2Fb", "a/b"),
        ("/links/standard/a/b", "a/b"),
        ("/links/standard/caf%C3%A9%20%25", "café %"),
        ("/links/standard/a%3Fb%23c", "a?b#c"),
    ],
)
async def test_ids_are_percent_decoded(
    client: httpx.AsyncClient, store: Store, path: str, source_call_id: str
) -> None:
    """The id of a call may hold any printable character."""
    assert 201 == (await client.put(path, json={"buildr_call_id": "110"})).status_code
    assert Link(buildr_call_id="110") == await store.links.get("standard", source_call_id)
    assert source_call_id == (await client.get(path)).json()["source_call_id"]


@pytest.mark.parametrize(
    "path", ["/links/twilio/", "/links/twilio/" + "x" * 201, "/links/twilio/a%00b"]
)
async def test_ids_that_no_call_has_are_refused(client: httpx.AsyncClient, path: str) -> None:
    """An id is a printable text of bounded length."""
    assert "200 characters" in _assert_problem(
        await client.put(path, json={"buildr_call_id": "110"}), 422
    )


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {ADMIN_TOKEN}",
        ADMIN_TOKEN,
        f"Bearer {ADMIN_TOKEN}x",
        f"Bearer {ADMIN_TOKEN[:-1]}",
        "Bearer é",
    ],
)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
async def test_nothing_without_the_token(
    store: Store, make_settings: MakeSettings, authorization: str | None, method: str
) -> None:
    """Only who has the token learns or changes anything."""
    await store.links.put("twilio", "CA1", Link(buildr_call_id="110"))
    headers = httpx.Headers(
        [] if authorization is None else [(b"authorization", authorization.encode())]
    )
    async with _client(make_settings(), store) as client:
        response = await client.request(
            method, PATH, json={"buildr_call_id": "666"}, headers=headers
        )
    _assert_problem(response, 401)
    assert "Bearer" == response.headers["www-authenticate"]
    assert ADMIN_TOKEN not in response.text
    assert Link(buildr_call_id="110") == await store.links.get("twilio", "CA1")


async def test_two_authorization_headers_are_refused(
    store: Store, make_settings: MakeSettings
) -> None:
    """It must be clear which token a request means."""
    headers = [
        ("authorization", f"Bearer {ADMIN_TOKEN}"),
        ("authorization", f"Bearer {ADMIN_TOKEN}"),
    ]
    async with _client(make_settings(), store) as client:
        _assert_problem(await client.get(PATH, headers=headers), 401)


@pytest.mark.parametrize("token", [ADMIN_TOKEN, OTHER_TOKEN])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_every_token_of_the_list_is_good(
    client: httpx.AsyncClient, token: str, scheme: str
) -> None:
    """While the token is rotated, the old one and the new one are both accepted."""
    response = await client.put(
        PATH, json={"buildr_call_id": "110"}, headers={"authorization": f"{scheme} {token}"}
    )
    assert 201 == response.status_code


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE", "POST"])
async def test_without_a_token_there_is_nothing_here(
    store: Store, make_settings: MakeSettings, method: str
) -> None:
    """Unless ADMIN_TOKEN is set, links over HTTP do not exist."""
    async with _client(
        make_settings(ADMIN_TOKEN=""), store, {"authorization": "Bearer "}
    ) as client:
        _assert_problem(await client.request(method, PATH), 404)


async def test_source_that_does_not_exist_is_named_wrong(client: httpx.AsyncClient) -> None:
    """A typo in the source's name would make a link that no call ever finds."""
    detail = _assert_problem(
        await client.put("/links/twillio/CA1", json={"buildr_call_id": "110"}), 404
    )
    assert "standard, telnyx, twilio" in detail


async def test_answer_to_a_wrong_method_holds_the_right_ones(client: httpx.AsyncClient) -> None:
    """Links are set with PUT."""
    response = await client.post(PATH, json={"buildr_call_id": "110"})
    _assert_problem(response, 405)
    assert {"GET", "HEAD", "PUT", "DELETE"} == set(response.headers["allow"].split(", "))


@pytest.mark.parametrize(
    ("content", "status", "detail"),
    [
        (
            b'{"buildr_call_id": 110}',
            422,
            'buildr_call_id must be a string of 1 to 20 digits, like "110".',
        ),
        (
            b'{"buildr_call_id": "11O"}',
            422,
            'buildr_call_id must be a string of 1 to 20 digits, like "110".',
        ),
        (b'{"buildr_call_id": ""}', 422, "must be a string"),
        (b'{"buildr_call_id": "110\\n"}', 422, "must be a string"),
        (b'{"buildr_call_id": "123456789012345678901"}', 422, "must be a string"),
        ('{"buildr_call_id": "\u0661\u0661\u0660"}'.encode(), 422, "must be a string"),
        (b'{"buildr_call_id": "110", "company_id": 7}', 422, "company_id must be a string"),
        (
            b'{"buildr_call_id": "110", "companyid": "7"}',
            422,
            "companyid is not a field of a link.",
        ),
        (b'{"company_id": "7"}', 422, "buildr_call_id is missing"),
        (b"[]", 422, "must be an object"),
        (b'"110"', 422, "must be an object"),
        (b"", 400, "not JSON"),
        (b'{"buildr_call_id": "110", "buildr_call_id": "111"}', 400, "a name twice"),
        (b'{"buildr_call_id": "0110"}', 422, "buildr_call_id must be"),
        (b'{"buildr_call_id": ', 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b'{"buildr_call_id": "110"}' + b" " * 17_000, 413, "16384 bytes"),
    ],
)
async def test_answer_to_a_wrong_body_holds_what_is_wrong(
    client: httpx.AsyncClient, store: Store, content: bytes, status: int, detail: str
) -> None:
    """A body that is no link changes nothing and says how to write one."""
    response = await client.put(PATH, content=content, headers={"content-type": "application/json"})
    assert detail in _assert_problem(response, status)
    assert await store.links.get("twilio", "CA1") is None


async def test_null_leaves_an_id_out(client: httpx.AsyncClient, store: Store) -> None:
    """An id that is null is one that is not given."""
    assert (
        201
        == (await client.put(PATH, json={"buildr_call_id": "110", "company_id": None})).status_code
    )
    assert Link(buildr_call_id="110") == await store.links.get("twilio", "CA1")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
async def test_wrong_content_type_is_refused(client: httpx.AsyncClient, content_type: str) -> None:
    """A link is JSON and says so."""
    response = await client.put(
        PATH, content=b'{"buildr_call_id": "110"}', headers={"content-type": content_type}
    )
    assert "application/json" in _assert_problem(response, 415)


async def test_redis_away_is_a_503(own_redis: RedisServer, make_settings: MakeSettings) -> None:
    """A link that is not kept is not confirmed."""
    own_redis.kill()
    async with _client(
        make_settings(REDIS_URL=own_redis.url, ACCEPT_TIMEOUT_S="1"), headers=AUTHORIZED
    ) as client:
        for method in ("PUT", "GET", "DELETE"):
            response = await client.request(method, PATH, json={"buildr_call_id": "110"})
            _assert_problem(response, 503)
            assert "5" == response.headers["retry-after"]


async def test_change_of_a_link_is_one_line(client: httpx.AsyncClient) -> None:
    """Who changes a link leaves a trace, without the token."""
    with capture_logs() as entries:
        await client.put(PATH, json={"buildr_call_id": "110"})
        await client.get(PATH)
        await client.delete(PATH)
    assert ["link.set", "link.removed"] == [entry["event"] for entry in entries]
    assert ADMIN_TOKEN not in str(entries)
