"""
The one endpoint of all sources, over a real Redis and a source that is as simple as a source can
be.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from structlog.testing import capture_logs
from structlog.typing import EventDict

from service.errors import (
    InvalidSignature,
)
from service.receiver.app import create_app
from service.settings import Installation, Settings
from service.sources import (
    Secrets,
    Source,
    WebhookRequest,
)
from service.store.connection import Store
from service.store.messages import message_id
from tests.conftest import STANDARD_SECRET
from tests.doubles.redis import RedisServer
from tests.service.receiver.fake_source import NOW, FakeSource

URL = "https://hooks.example.test/webhooks/standard"
SIGNED = {"x-fake-signature": STANDARD_SECRET, "content-type": "application/json"}
Send = Callable[..., Awaitable[httpx.Response]]
MakeSettings = Callable[..., Settings]


SOURCES: dict[str, Source] = {"standard": FakeSource(), "twilio": FakeSource()}


@pytest.fixture
def make_app(store: Store, redis_url: str, make_settings: MakeSettings) -> Callable[..., Starlette]:
    """Make a receiver with settings of one's own, over the store of the test."""

    def make(**values: str) -> Starlette:
        return create_app(
            Installation(make_settings(**{"REDIS_URL": redis_url} | values)),
            store=store,
            now=lambda: NOW,
            sources=SOURCES,
        )

    return make


def _client(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://inner.example.test"
    )


@pytest.fixture
def send(make_app: Callable[..., Starlette]) -> Send:
    """Send a request to the default receiver."""

    async def send(
        body: bytes = b"one",
        *,
        path: str = "/webhooks/standard",
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        async with _client(make_app()) as client:
            return await client.request(
                method, path, content=body, headers=SIGNED if headers is None else headers
            )

    return send


def _logs() -> AbstractContextManager[list[EventDict]]:
    return capture_logs(processors=[structlog.contextvars.merge_contextvars])


def _line(entries: list[EventDict]) -> dict[str, object]:
    (entry,) = entries
    assert isinstance(entry.pop("duration_ms"), float)
    return dict(entry)


def _assert_problem(response: httpx.Response, status: int) -> dict[str, object]:
    assert (status, "application/problem+json") == (
        response.status_code,
        response.headers["content-type"],
    )
    content: dict[str, object] = response.json()
    assert {"type", "title", "status", "detail"} == set(content)
    assert status == content["status"]
    return content


async def test_genuine_message_is_kept_then_answered_with_the_sources_reply(
    send: Send, store: Store
) -> None:
    """A genuine message is in Redis, byte for byte, when its sender hears 2xx."""
    response = await send(
        b"one",
        path="/webhooks/standard?a=%7e&b",
        headers=SIGNED | {"x-fake-id": "7", "authorization": "Basic x"},
    )
    assert (202, b"thanks", "text/plain; charset=utf-8") == (
        response.status_code,
        response.content,
        response.headers["content-type"],
    )
    stored = await store.messages.get(message_id("standard", "one"))
    assert stored is not None
    expected = WebhookRequest(
        method="POST",
        url=f"{URL}?a=%7e&b",
        headers={"content-type": ("application/json",), "x-fake-id": ("7",)},
        body=b"one",
    )
    assert (expected, "CA1", NOW) == (stored.request, stored.source_call_id, stored.received_at)


async def test_accepted_message_is_one_line(send: Send) -> None:
    """One message, one line, with everything that names it."""
    with _logs() as entries:
        await send(b"one")
    assert {
        "event": "message.accepted",
        "log_level": "info",
        "account": "default",
        "source": "standard",
        "message_id": message_id("standard", "one"),
        "source_call_id": "CA1",
        "status_code": 202,
        "body_bytes": 3,
        "reason": None,
    } == _line(entries)


async def test_duplicate_is_answered_alike_and_adds_no_job(send: Send, store: Store) -> None:
    """A repeated message gets the same answer, and its call one job."""
    first = await send(b"one")
    with _logs() as entries:
        second = await send(b"one")
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert "message.duplicate" == _line(entries)["event"]
    pending = (await store.calls.load("standard:CA1")).pending
    assert (message_id("standard", "one"),) == pending


async def test_wrong_signature_is_refused_and_leaves_nothing(send: Send, store: Store) -> None:
    """What is not proved genuine is not kept, and its sender does not learn why."""
    with _logs() as entries:
        response = await send(b"one", headers=SIGNED | {"x-fake-signature": "wrong"})
    content = _assert_problem(response, 401)
    assert "does not match" not in json.dumps(content)
    assert "www-authenticate" in response.headers
    line = _line(entries)
    assert ("message.rejected", "warning", "signature does not match") == (
        line["event"],
        line["log_level"],
        line["reason"],
    )
    assert await store.messages.get(message_id("standard", "one")) is None


async def test_message_that_cannot_be_read_before_proof_is_not_kept(
    send: Send, store: Store
) -> None:
    """
    A source's reading error while it checks a signature is a wrong signature, not a message to
    keep.
    """
    _assert_problem(await send(b"unreadable before proof"), 401)
    assert [] == [key async for key in store.redis.scan_iter(match="*message*", count=100)]


async def test_second_secret_is_good_as_well(make_app: Callable[..., Starlette]) -> None:
    """While a secret is rotated, the old one and the new one are both accepted."""
    app = make_app(STANDARD_SECRET=f"whsec_bmV3LXNlY3JldC1vZi10aGUtdGVzdHMtMDE=,{STANDARD_SECRET}")
    async with _client(app) as client:
        assert (
            202
            == (await client.post("/webhooks/standard", content=b"one", headers=SIGNED)).status_code
        )


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "HEAD"])
async def test_unknown_source_and_source_that_is_off_look_the_same(
    make_app: Callable[..., Starlette], method: str
) -> None:
    """Nobody can find out from outside which sources exist."""
    async with _client(make_app(TWILIO_AUTH_TOKEN="")) as client:
        unknown, off = [
            await client.request(method, f"/webhooks/{name}", headers=SIGNED)
            for name in ("nothing", "twilio")
        ]
    assert 404 == unknown.status_code == off.status_code
    assert unknown.content == off.content
    assert unknown.headers == off.headers


async def test_log_tells_a_source_that_is_off_from_one_that_is_not(
    make_app: Callable[..., Starlette],
) -> None:
    """The operator, unlike the sender, learns that a secret is missing."""
    async with _client(make_app(TWILIO_AUTH_TOKEN="")) as client:
        with _logs() as entries:
            await client.post("/webhooks/twilio")
            await client.post("/webhooks/" + "x" * 500)
    assert [("twilio", "the source has no secret and is off"), ("unknown", "no such source")] == [
        (entry["source"], entry["reason"]) for entry in entries
    ]


SECRET = "S3cr3t-t0ken-of-an-address"


@pytest.mark.parametrize(
    "path",
    [
        f"/webhooks/{SECRET}",
        f"/webhooks/twilio/{SECRET}",
        f"/webhooks/{SECRET}/twilio",
        f"/webhooks/twilio/t/{SECRET}",
        f"/webhooks/acme/twilio/t/{SECRET}",
        f"/webhooks/{SECRET}/twilio/t/{SECRET}",
        f"/webhooks/twilio/t/{SECRET}/",
        f"/webhooks/twilio?{SECRET}",
        f"/{SECRET}",
    ],
)
async def test_nothing_of_path_or_headers_reaches_the_log(
    make_app: Callable[..., Starlette], path: str
) -> None:
    """A token at a wrong place of an address, or in a header, is in no line."""
    async with _client(make_app(TWILIO_AUTH_TOKEN="token-of-twilio-0123456789abcdef")) as client:
        with _logs() as entries:
            for headers in ({}, {"content-type": SECRET}, {"x-twilio-signature": SECRET}):
                for method in ("POST", "GET", "PUT"):
                    await client.request(method, path, headers={"cookie": SECRET, **headers})
    assert SECRET not in str(entries)
    assert SECRET[:12] not in str(entries)


async def test_flood_of_refused_requests_is_few_lines_and_its_count(
    make_app: Callable[..., Starlette],
) -> None:
    """Five lines in full, one that counts the rest; a genuine message has its line all the same."""
    app = make_app()
    forged = SIGNED | {"x-fake-signature": "wrong"}
    async with _client(app) as client:
        with _logs() as entries:
            async with app.router.lifespan_context(app):
                for _ in range(300):
                    await client.post("/webhooks/standard", content=b"one", headers=forged)
                await client.post("/webhooks/standard", content=b"one", headers=SIGNED)
    events = [entry["event"] for entry in entries]
    assert 5 == events.count("message.rejected")
    assert 1 == events.count("message.accepted")
    (line,) = [entry for entry in entries if entry["event"] == "message.rejected_repeatedly"]
    assert (295, 401, "standard", "default") == (
        line["count"],
        line["status_code"],
        line["source"],
        line["account"],
    )


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_answer_to_a_wrong_method_holds_the_right_one(send: Send, method: str) -> None:
    """Webhooks come by POST."""
    response = await send(b"", method=method)
    _assert_problem(response, 405)
    assert "POST" == response.headers["allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/standard//",
        "/webhooks//standard",
        "/webhooks/standard/x",
        "/webhooks/",
        "/webhooks",
    ],
)
async def test_other_paths_are_not_redirected(send: Send, path: str) -> None:
    """A redirect would lose the body, so that a wrong path is a clear 404."""
    _assert_problem(await send(b"one", path=path), 404)


async def test_slash_at_the_end_is_the_same_address(send: Send) -> None:
    """Some forms for addresses add one; the message is taken all the same."""
    assert (await send(b"one", path="/webhooks/standard/")).is_success


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": ""},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "application/json", "content-encoding": "identity, br"},
    ],
)
async def test_wrong_content_type_or_encoding_is_refused(
    send: Send, headers: dict[str, str]
) -> None:
    """A body that the source never sends is not read."""
    _assert_problem(await send(b"one", headers=SIGNED | headers), 415)


@pytest.mark.parametrize(
    "headers",
    [{"content-type": "Application/JSON; charset=utf-8"}, {"content-encoding": "identity"}],
)
async def test_harmless_forms_of_content_type_are_accepted(
    send: Send, headers: dict[str, str]
) -> None:
    """Case, parameters and an encoding that changes nothing make no difference."""
    assert 202 == (await send(b"one", headers=SIGNED | headers)).status_code


async def test_announced_size_is_refused_first_of_all(make_app: Callable[..., Starlette]) -> None:
    """A body that announces itself too large is refused before anything is looked up."""
    async with _client(make_app(MAX_BODY_BYTES="1024")) as client:
        for source in ("standard", "nothing"):
            _assert_problem(
                await client.post(f"/webhooks/{source}", content=b"x" * 1025, headers=SIGNED), 413
            )
        assert (
            202
            == (
                await client.post("/webhooks/standard", content=b"x" * 1024, headers=SIGNED)
            ).status_code
        )


async def _talk(
    app: Starlette, *messages: MutableMapping[str, Any]
) -> tuple[list[MutableMapping[str, Any]], int]:
    """Speak ASGI to the receiver; returns its answer and how many messages it did not ask for."""
    waiting = list(messages)
    answer = list[MutableMapping[str, Any]]()

    async def receive() -> MutableMapping[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/webhooks/standard",
        "raw_path": b"/webhooks/standard",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in SIGNED.items()],
    }
    await app(scope, receive, send)
    return answer, len(waiting)


def _part(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_body_without_length_is_refused_while_it_is_read(
    make_app: Callable[..., Starlette],
) -> None:
    """A chunked body is left as soon as it is too large, and the connection with it."""
    parts = [_part(b"x" * 1000, more=True) for _ in range(5)]
    answer, unread = await _talk(make_app(MAX_BODY_BYTES="1024"), *parts)
    assert (413, 3) == (answer[0]["status"], unread)
    assert (b"connection", b"close") in answer[0]["headers"]


async def test_body_that_stops_coming_is_given_up(make_app: Callable[..., Starlette]) -> None:
    """A sender that is too slow is answered 408."""
    answer, _ = await _talk(make_app(BODY_TIMEOUT_S="0.02"), _part(b"on", more=True))
    assert 408 == answer[0]["status"]
    assert (b"connection", b"close") in answer[0]["headers"]


async def test_sender_that_leaves_gets_no_answer_and_leaves_one_line(
    make_app: Callable[..., Starlette],
) -> None:
    """A closed connection is no error of ours."""
    with _logs() as entries:
        answer, _ = await _talk(make_app(), _part(b"on", more=True), {"type": "http.disconnect"})
    assert [] == answer
    line = _line(entries)
    assert ("message.rejected", "info", None) == (
        line["event"],
        line["log_level"],
        line["status_code"],
    )


async def test_handshake_is_answered_and_not_kept(send: Send, store: Store) -> None:
    """A set-up challenge is no message."""
    with _logs() as entries:
        response = await send(b"handshake")
    assert (200, b"challenge") == (response.status_code, response.content)
    assert ("message.ignored", "handshake") == (entries[0]["event"], entries[0]["reason"])
    assert await store.messages.get(message_id("standard", "handshake")) is None


async def test_handshakes_are_noted_once_a_minute(
    make_app: Callable[..., Starlette], store: Store
) -> None:
    """Anybody may send a challenge that is not signed: most of them write nothing to Redis."""
    activity = f"{store.keys.prefix}heard"
    async with _client(make_app()) as client:
        await client.post("/webhooks/standard", content=b"handshake", headers=SIGNED)
        seen = await store.redis.hgetall(activity)
        assert [b"handshake:standard"] == list(seen)
        await store.redis.delete(activity)
        for _ in range(3):
            answer = await client.post("/webhooks/standard", content=b"handshake", headers=SIGNED)
            assert 200 == answer.status_code
    assert {} == await store.redis.hgetall(activity)


@pytest.mark.parametrize("source", ["standard", "twilio"])
async def test_headers_are_checked_before_the_body_is_read(
    make_app: Callable[..., Starlette], monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """A request whose headers alone show that it is not genuine costs no reading of a body."""

    def refuse(_: Source, request: WebhookRequest, secrets: Secrets) -> None:
        assert not request.body
        assert secrets.values
        raise InvalidSignature("no signature")

    monkeypatch.setattr(FakeSource, "check_headers", refuse)
    monkeypatch.setattr("service.receiver.webhooks.read_body", None)
    async with _client(make_app(TWILIO_AUTH_TOKEN="fake-auth-token-of-the-tests")) as client:
        answer = await client.post(f"/webhooks/{source}", content=b"one", headers=SIGNED)
    _assert_problem(answer, 401)


async def test_body_is_limited_for_each_source(
    make_app: Callable[..., Starlette], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smaller of the source's own limit and MAX_BODY_BYTES holds."""
    monkeypatch.setattr(FakeSource, "max_body_bytes", 2048)
    for most, size, status in ((4096, 2048, 202), (4096, 2049, 413), (1024, 1025, 413)):
        async with _client(make_app(MAX_BODY_BYTES=str(most))) as client:
            answer = await client.post("/webhooks/standard", content=b"x" * size, headers=SIGNED)
        assert status == answer.status_code


async def test_ignored_message_is_answered_and_counted(send: Send, store: Store) -> None:
    """A genuine message that is not wanted is counted and not kept."""
    with _logs() as entries:
        assert 202 == (await send(b"ignored")).status_code
    assert {"ignored:standard": 1} == await store.counters.all()
    assert ("message.ignored", "info", "not wanted") == (
        entries[0]["event"],
        entries[0]["log_level"],
        entries[0]["reason"],
    )


@pytest.mark.parametrize(
    ("body", "cause", "detail"),
    [
        (b"malformed", "malformed_payload", "no call"),
        (b"unproved", "internal_error", "InvalidSignature: this is a bug"),
        (b"bug", "internal_error", "ZeroDivisionError: this is a bug"),
    ],
)
async def test_genuine_message_that_cannot_be_read_is_kept_as_failed(
    send: Send, store: Store, body: bytes, cause: str, detail: str
) -> None:
    """
    What is genuine is never lost: it is kept raw, with its cause, and answered 2xx; sent again it
    is a duplicate.
    """
    with _logs() as entries:
        assert 202 == (await send(body)).status_code
        assert 202 == (await send(body)).status_code
    facts = [entry for entry in entries if entry["event"] != "message.unreadable"]
    assert ["message.kept", "message.duplicate"] == [entry["event"] for entry in facts]
    assert f"{cause}: {detail}" == facts[0]["reason"]
    failed = await store.failed.get(str(facts[0]["message_id"]))
    assert failed is not None
    assert (cause, detail, None) == (failed.cause, failed.detail, failed.source_call_id)
    stored = await store.messages.get(failed.entry_id)
    assert stored is not None
    assert body == stored.request.body


async def test_unreadable_messages_differ_by_body_and_url(send: Send) -> None:
    """Two unreadable messages are one only if they are the same."""
    with _logs() as entries:
        for path in ("/webhooks/standard", "/webhooks/standard?a=1", "/webhooks/standard"):
            await send(b"malformed", path=path)
    assert ["message.kept", "message.kept", "message.duplicate"] == [
        entry["event"] for entry in entries
    ]


async def test_bug_in_a_source_is_logged_with_its_traceback(send: Send) -> None:
    """An operator must learn of a bug, even though no message was lost by it."""
    with _logs() as entries:
        await send(b"bug")
    assert [("message.unreadable", "error"), ("message.kept", "warning")] == [
        (entry["event"], entry["log_level"]) for entry in entries
    ]
    assert entries[0]["exc_info"]


@pytest.mark.parametrize("body", [b"one", b"malformed", b"bug"])
async def test_redis_away_is_never_a_2xx(
    own_redis: RedisServer, make_settings: MakeSettings, body: bytes
) -> None:
    """
    Without a spool, a message that Redis has not confirmed is refused, with the time after which to
    send it again; afterwards it is new.
    """
    app = create_app(
        Installation(make_settings(REDIS_URL=own_redis.url, ACCEPT_TIMEOUT_S="1", SPOOL_DIR="off")),
        now=lambda: NOW,
        sources=SOURCES,
    )
    own_redis.kill()
    async with _client(app) as client, app.router.lifespan_context(app):
        with _logs() as entries:
            response = await client.post("/webhooks/standard", content=body, headers=SIGNED)
        _assert_problem(response, 503)
        assert int(response.headers["retry-after"]) > 0
        assert ("message.rejected", "error") == (entries[-1]["event"], entries[-1]["log_level"])
        own_redis.start()
        with _logs() as entries:
            assert (
                202
                == (
                    await client.post("/webhooks/standard", content=body, headers=SIGNED)
                ).status_code
            )
        assert entries[-1]["event"] in {"message.accepted", "message.kept"}


@pytest.mark.parametrize(
    ("body", "event"),
    [(b"one", "message.spooled"), (b"malformed", "message.kept"), (b"bug", "message.kept")],
)
async def test_redis_away_is_a_2xx_once_the_message_is_spooled(
    own_redis: RedisServer, make_settings: MakeSettings, body: bytes, event: str
) -> None:
    """A message that only the spool has is answered as any other, and known when sent again."""
    app = create_app(
        Installation(make_settings(REDIS_URL=own_redis.url)), now=lambda: NOW, sources=SOURCES
    )
    own_redis.kill()
    async with _client(app) as client, app.router.lifespan_context(app):
        for expected in (event, "message.duplicate"):
            with _logs() as entries:
                response = await client.post("/webhooks/standard", content=body, headers=SIGNED)
            assert 202 == response.status_code
            assert expected in {entry["event"] for entry in entries}


async def test_full_inbox_is_a_503(make_app: Callable[..., Starlette]) -> None:
    """With too many messages unread, senders are asked to wait longer."""
    async with _client(make_app(MAX_PENDING="1")) as client:
        answers = [
            await client.post("/webhooks/standard", content=body, headers=SIGNED)
            for body in (b"one", b"two", b"three")
        ]
    assert 503 == answers[-1].status_code
    assert "30" == answers[-1].headers["retry-after"]


async def test_url_is_rebuilt_where_no_public_url_is_set(
    make_app: Callable[..., Starlette], store: Store
) -> None:
    """Without PUBLIC_URL, the request's own scheme and host are what the sender signed."""
    async with _client(make_app(PUBLIC_URL="")) as client:
        await client.post("/webhooks/standard?x=%2F", content=b"one", headers=SIGNED)
    stored = await store.messages.get(message_id("standard", "one"))
    assert stored is not None
    assert "http://inner.example.test/webhooks/standard?x=%2F" == stored.request.url


async def test_requests_at_the_same_time_do_not_mix_their_ids(
    make_app: Callable[..., Starlette],
) -> None:
    """Each line names its own message, also while many are under way."""
    async with _client(make_app()) as client:
        with _logs() as entries:
            await asyncio.gather(
                *(
                    client.post("/webhooks/standard", content=str(n).encode(), headers=SIGNED)
                    for n in range(20)
                )
            )
    assert {message_id("standard", str(n)) for n in range(20)} == {
        entry["message_id"] for entry in entries
    }
