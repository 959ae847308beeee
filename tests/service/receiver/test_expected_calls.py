"""
Expected calls over HTTP, over a real Redis.
"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from service.receiver.admin_endpoint import AdminAccess
from service.receiver.expected_calls import ExpectedCallsEndpoint
from service.receiver.problems import handlers
from service.store.connection import Store
from service.store.expected_calls import ExpectedCalls
from tests.conftest import ADMIN_TOKEN
from tests.doubles.redis import RedisServer

AUTHORIZED = {"authorization": f"Bearer {ADMIN_TOKEN}"}
PATH = "/expected-calls"
LEAST = {"buildr_call_id": "110", "numbers": ["+15005550001"]}
DAY_MS = 86_400_000


def _expected(store: Store) -> ExpectedCalls:
    return ExpectedCalls(store.redis, store.keys, store.scripts, 90 * DAY_MS, DAY_MS // 6)


def _client(
    store: Store, *, tokens: tuple[str, ...] = (ADMIN_TOKEN,), prefix: str = ""
) -> httpx.AsyncClient:
    endpoint = ExpectedCallsEndpoint(
        access=AdminAccess(tokens=tokens, body_timeout_s=1, redis_timeout_s=1),
        expected=_expected(store),
        default_region="US",
    )
    app = Starlette(routes=endpoint.routes(prefix), exception_handlers=handlers())
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://inner.example.test", headers=AUTHORIZED
    )


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends the right token."""
    async with _client(store) as client:
        yield client


def _assert_problem(response: httpx.Response, status: int) -> str:
    assert (status, "application/problem+json") == (
        response.status_code,
        response.headers["content-type"],
    )
    return str(response.json()["detail"])


async def test_expected_call_is_registered_replaced_read_and_removed(
    client: httpx.AsyncClient,
) -> None:
    """An expected call lives as its methods say, and what is answered is what is kept."""
    _assert_problem(await client.get(f"{PATH}/110"), 404)
    _assert_problem(await client.delete(f"{PATH}/110"), 404)
    created = await client.post(PATH, json=LEAST)
    assert 201 == created.status_code
    assert (["+15005550001"], None, None) == tuple(
        created.json()[name] for name in ("numbers", "agent", "call")
    )
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    full = {
        "buildr_call_id": "110",
        "numbers": ["(500) 555-0002 x12", "+1 500 555 0003", "500 555 0003"],
        "agent": " ana@example.com ",
        "direction": "outbound",
        "not_before": soon.isoformat(),
        "not_after": (soon + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        "company_id": "1",
        "contact_id": "2",
        "project_id": "3",
    }
    replaced = await client.post(PATH, json=full)
    shown = replaced.json()
    assert 200 == replaced.status_code
    window = {"not_before": soon.isoformat(), "not_after": (soon + timedelta(hours=1)).isoformat()}
    stored = (
        full
        | window
        | {
            "numbers": ["+15005550002;ext=12", "+15005550003"],
            "agent": "ana@example.com",
            "call": None,
        }
    )
    assert stored == {name: value for name, value in shown.items() if name != "registered_at"}
    shown_again = await client.get(f"{PATH}/110")
    assert (200, shown, "no-store") == (
        shown_again.status_code,
        shown_again.json(),
        shown_again.headers["cache-control"],
    )
    assert {"expected_calls": [shown]} == (await client.get(PATH)).json()
    removed = await client.delete(f"{PATH}/110")
    assert (204, b"") == (removed.status_code, removed.content)
    assert {"expected_calls": []} == (await client.get(PATH)).json()


async def test_call_that_turned_out_to_be_it_is_shown(
    client: httpx.AsyncClient, store: Store
) -> None:
    """Who asks later learns which telephone call it was."""
    await client.post(PATH, json=LEAST)
    entry = await _expected(store).get("110")
    assert entry is not None
    assert await _expected(store).claim("twilio:CA1", entry, number="+15005550001")
    assert "twilio:CA1" == (await client.get(f"{PATH}/110")).json()["call"]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"buildr_call_id": 110}, "buildr_call_id must be a string of 1 to 20 digits"),
        ({"buildr_call_id": "11O"}, "buildr_call_id must be"),
        ({"numbers": []}, "numbers must be a list of 1 to 20"),
        ({"numbers": ["+15005550001"] * 21}, "numbers must be a list of 1 to 20"),
        ({"numbers": "+15005550001"}, "numbers must be a list"),
        ({"numbers": [15005550001]}, "numbers must be a list"),
        (
            {"numbers": ["+15005550001", "5550001", "ana"]},
            "at place 2, 3; write it with its country code",
        ),
        ({"numbers": ["1" * 61]}, "numbers must be a list"),
        ({"agent": ""}, "agent must be a text"),
        ({"agent": "  "}, "agent must be a text"),
        ({"agent": "a\nb"}, "agent must be a text"),
        ({"agent": "a" * 201}, "agent must be a text"),
        ({"direction": "sideways"}, 'direction must be "inbound" or "outbound"'),
        ({"not_before": "2026-11-02T10:00:00"}, "not_before must be a moment with its offset"),
        ({"not_before": 1793613600}, "not_before must be a moment with its offset"),
        ({"not_after": "tomorrow"}, "not_after must be a moment with its offset"),
        ({"not_after": "2020-01-01T00:00:00Z"}, "not_after must be later than not_before"),
        ({"not_after": "2999-01-01T00:00:00Z"}, "31 days"),
        ({"project_id": "x"}, "project_id must be a string"),
        ({"number": "+15005550001"}, "number is not a field of an expected call"),
    ],
)
async def test_answer_to_a_wrong_body_holds_what_is_wrong(
    client: httpx.AsyncClient, change: dict[str, object], detail: str
) -> None:
    """
    A body that is no expected call says how to write one, keeps nothing, and repeats no number.
    """
    response = await client.post(PATH, json=LEAST | change)
    assert detail in _assert_problem(response, 422)
    assert "5550001" not in response.json()["detail"].replace('["+15005550006"]', "")
    assert {"expected_calls": []} == (await client.get(PATH)).json()


@pytest.mark.parametrize(
    ("content", "status", "detail"),
    [
        (
            b"{}",
            422,
            (
                'buildr_call_id is missing; must be a string of 1 to 20 digits, like "110"; '
                "numbers is missing"
            ),
        ),
        (b"[]", 422, "must be an object like"),
        (b'{"buildr_call_id": ', 400, "not JSON"),
        (
            json.dumps(LEAST).encode() + b" " * 17_000,
            413,
            "An expected call has at most 16384 bytes",
        ),
    ],
)
async def test_body_that_is_none_is_refused(
    client: httpx.AsyncClient, content: bytes, status: int, detail: str
) -> None:
    """What is no JSON object of bounded size is refused before anything is done."""
    response = await client.post(
        PATH, content=content, headers={"content-type": "application/json"}
    )
    assert detail in _assert_problem(response, status)


async def test_wrong_content_type_is_refused(client: httpx.AsyncClient) -> None:
    """An expected call is JSON and says so."""
    _assert_problem(
        await client.post(PATH, content=json.dumps(LEAST), headers={"content-type": "text/plain"}),
        415,
    )


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("headers", [{}, {"authorization": f"Bearer {ADMIN_TOKEN}x"}])
async def test_nothing_without_the_token(
    store: Store, method: str, headers: dict[str, str]
) -> None:
    """Only who has the token learns or changes anything."""
    async with _client(store) as client:
        client.headers = httpx.Headers(headers)
        _assert_problem(await client.request(method, PATH, json=LEAST), 401)
        for one in ("GET", "DELETE"):
            _assert_problem(await client.request(one, f"{PATH}/110"), 401)
    assert [] == await _expected(store).newest()


async def test_without_a_token_there_is_nothing_here(store: Store) -> None:
    """Unless ADMIN_TOKEN is set, expected calls over HTTP do not exist."""
    async with _client(store, tokens=()) as client:
        _assert_problem(await client.post(PATH, json=LEAST), 404)


async def test_routes_may_lie_below_a_prefix(store: Store) -> None:
    """An account of its own has a path of its own."""
    async with _client(store, prefix="/accounts/acme") as client:
        assert 201 == (await client.post(f"/accounts/acme{PATH}", json=LEAST)).status_code
        assert 200 == (await client.get(f"/accounts/acme{PATH}/110")).status_code
        _assert_problem(await client.post(PATH, json=LEAST), 404)


@pytest.mark.parametrize("name", ["x", "1" * 21, "%D9%A1"])
async def test_ids_that_buildr_does_not_have_are_refused(
    client: httpx.AsyncClient, name: str
) -> None:
    """An id of Buildr's is digits."""
    assert "digits" in _assert_problem(await client.get(f"{PATH}/{name}"), 422)


async def test_answer_to_a_wrong_method_holds_the_right_ones(client: httpx.AsyncClient) -> None:
    """Expected calls are registered with POST."""
    response = await client.put(PATH, json=LEAST)
    _assert_problem(response, 405)
    assert {"GET", "HEAD", "POST"} == set(response.headers["allow"].split(", "))


async def test_redis_away_is_a_503(own_redis: RedisServer, store: Store) -> None:
    """An expected call that is not kept is not confirmed."""
    await store.close()
    async with _client(store) as client:
        store.pool.connection_pool.connection_kwargs["path"] = "/nowhere"
        with capture_logs() as entries:
            _assert_problem(await client.post(PATH, json=LEAST), 503)
    assert ["expected.unavailable"] == [entry["event"] for entry in entries]


async def test_change_is_one_line_without_numbers(client: httpx.AsyncClient) -> None:
    """Who changes an expected call leaves a trace, without token, numbers and names."""
    with capture_logs() as entries:
        await client.post(PATH, json=LEAST | {"agent": "ana"})
        await client.get(PATH)
        await client.delete(f"{PATH}/110")
    assert ["expected.registered", "expected.removed"] == [entry["event"] for entry in entries]
    assert {"buildr_call_id", "is_new", "woken", "event", "log_level"} == set(entries[0])
