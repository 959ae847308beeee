"""
The receiver put together, with its real sources.
"""

import gc
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator

from service.clock import utc_now
from service.collector import GC_THRESHOLDS
from service.receiver.app import create_app
from service.settings import Installation, Settings
from service.store.connection import Store
from tests.conftest import STANDARD_SECRET, TWILIO_TOKEN

MakeSettings = Callable[..., Settings]
BASE = "https://hooks.example.test"


@pytest.fixture(autouse=True)
def _own_gc() -> Iterator[None]:
    """Leave the collector as it was."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


async def test_start_names_the_sources_that_are_on_and_nothing_else(
    redis_url: str, make_settings: MakeSettings
) -> None:
    """The first line says what can come in; no secret is in it."""
    app = create_app(Installation(make_settings(REDIS_URL=redis_url, STANDARD_SECRET="")))
    with capture_logs() as entries:
        async with app.router.lifespan_context(app):
            assert GC_THRESHOLDS == gc.get_threshold()
    assert [
        {
            "event": "service.started",
            "log_level": "info",
            "sources": ["twilio"],
            "public_url": BASE,
            "host": "127.0.0.1",
            "port": 8000,
        },
        {"event": "service.stopped", "log_level": "info"},
    ] == entries


async def test_given_store_is_left_open(store: Store, make_settings: MakeSettings) -> None:
    """Whoever opened a store closes it."""
    app = create_app(Installation(make_settings()), store=store)
    async with app.router.lifespan_context(app):
        pass
    await store.ping()


@pytest.mark.parametrize(("spool_dir", "ready"), [("", 200), ("off", 503)])
async def test_receiver_starts_while_redis_is_away(
    make_settings: MakeSettings, spool_dir: str, ready: int
) -> None:
    """
    A receiver that is up spools, or asks its senders to retry; one that is down does neither.
    """
    app = create_app(
        Installation(make_settings(REDIS_URL="unix:///nowhere/redis.sock", SPOOL_DIR=spool_dir))
    )
    async with app.router.lifespan_context(app), _client(app) as client:
        assert [200, ready] == [
            (await client.get(path)).status_code for path in ("/healthz", "/readyz")
        ]


def _client(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://inner.example.test"
    )


async def test_call_signed_by_twilios_sdk_is_kept(
    store: Store, make_settings: MakeSettings
) -> None:
    """
    What Twilio's own library signs over the public URL is genuine, whatever host the proxy asked
    for.
    """
    form = {
        "CallSid": "CA00000000000000000000000000000001",
        "CallStatus": "ringing",
        "From": "+15005550006",
        "ToCity": "São Paulo",
    }
    path = "/webhooks/twilio?buildr_call_id=110"
    signature = RequestValidator(TWILIO_TOKEN).compute_signature(BASE + path, form)
    async with _client(create_app(Installation(make_settings()), store=store)) as client:
        good = await client.post(path, data=form, headers={"X-Twilio-Signature": signature})
        bad = await client.post(path + "1", data=form, headers={"X-Twilio-Signature": signature})
    assert (2, 401) == (good.status_code // 100, bad.status_code)
    pending = (await store.calls.load("twilio:CA00000000000000000000000000000001")).pending
    assert 1 == len(pending)
    stored = await store.messages.get(pending[0])
    assert stored is not None
    assert signature not in str(stored.request)


async def test_call_signed_by_the_standard_webhooks_library_is_kept(
    store: Store, make_settings: MakeSettings
) -> None:
    """What the specification's own library signs is genuine."""
    moment = utc_now()
    body = json.dumps({"call_id": "call-1", "type": "ringing"})
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(STANDARD_SECRET).sign("msg_1", moment, body),
        "content-type": "application/json",
    }
    async with _client(create_app(Installation(make_settings()), store=store)) as client:
        good = await client.post("/webhooks/standard", content=body, headers=headers)
        bad = await client.post("/webhooks/standard", content=body + " ", headers=headers)
    assert (2, 401) == (good.status_code // 100, bad.status_code)


@pytest.mark.parametrize("path", ["/", "/docs", "/webhooks", "/healthz/", "/favicon.ico"])
async def test_other_paths_are_a_problem(
    store: Store, make_settings: MakeSettings, path: str
) -> None:
    """A wrong address is answered in the form of every other error, never with a redirect."""
    async with _client(create_app(Installation(make_settings()), store=store)) as client:
        response = await client.get(path)
    assert (404, "application/problem+json") == (
        response.status_code,
        response.headers["content-type"],
    )


def test_clock_is_aware_utc() -> None:
    """Times are aware and in UTC."""
    assert UTC == utc_now().tzinfo
    assert isinstance(utc_now(), datetime)
