"""
`check --live`: a test call goes the whole way, reaches no call in Buildr, and leaves nothing.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

import httpx
import pytest
import uvicorn
from redis import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.receiver.app import create_app
from service.settings import Installation, Settings
from service.sources import SOURCES
from service.store.connection import open_store
from tests.doubles.vendors.serving import listening
from tests.doubles.worker_loop import worker_loop
from tests.workers.cli.conftest import Run
from workers.cli.checks import live
from workers.cli.checks.finding import Finding
from workers.cli.checks.live_messages import Answer, make_call, send

MakeSettings = Callable[..., Settings]


@pytest.fixture
async def settings(
    redis_url: str, make_installation: Callable[..., Installation]
) -> AsyncIterator[Settings]:
    """The settings of a receiver that runs, with its address as PUBLIC_URL."""
    values = {"REDIS_URL": redis_url, "BUILDR_API_URL": "http://127.0.0.1:9"}
    # The address is part of the signature, and is known once the receiver listens.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        values["PUBLIC_URL"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = create_app(make_installation(SPOOL_DIR="off", **values))
        config = uvicorn.Config(app, log_config=None, access_log=False)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        yield make_installation(**values).default
        server.should_exit = True
        await task


async def run_live(settings: Settings, source: str = "twilio") -> dict[str, Finding]:
    """The steps of a test call, by their titles."""
    call = make_call(source, settings)
    async with open_store(settings, role="cli") as store:
        check = live.LiveCheck(settings, store, store, call)
        return {finding.name: finding async for finding in check.steps()}


def leftovers(redis_url: str) -> dict[str, object]:
    """What shows that a source has sent, or that a call was there."""
    with Redis.from_url(redis_url) as client:
        names = {key.decode().removeprefix("bc:default:") for key in client.scan_iter("bc:*")}
        return {
            "last": client.hgetall("bc:default:heard"),
            "keys": {name for name in names if not name.startswith(("seen:", "worker:"))},
        }


async def test_test_call_goes_the_whole_way(settings: Settings, redis_url: str) -> None:
    """It is signed, stored, read, decided, not sent, and deleted; the source seems silent still."""
    with Redis.from_url(redis_url) as client:
        client.hset("bc:default:heard", "message:twilio", "1793613600000")
    async with worker_loop(settings):
        before = leftovers(redis_url)
        steps = await run_live(settings)
    assert all(finding.is_fine for finding in steps.values()), steps
    assert "no_answer" == steps["result"].detail
    assert 'would send PATCH {"call": {"call_outcome_id": "789"' in steps["dry PATCH"].detail
    assert "nothing of the call is left" == steps["clean-up"].detail
    after = leftovers(redis_url)
    assert before["last"] == after["last"]
    new_keys = after["keys"] - before["keys"]  # type: ignore[operator]
    # The clock, the digest of the map, the hours of the source (its count is 0 again), arq's own.
    assert {"clock", "maps", "hours:twilio", "identity"} >= new_keys


async def test_it_says_where_it_ended(
    settings: Settings, make_installation: Callable[..., Installation], redis_url: str
) -> None:
    """Without a worker nothing is sent; with another secret the message is refused."""
    steps = await run_live(settings)
    assert ["public url", "workers"] == list(steps)
    assert "start buildr-calls work" in steps["workers"].detail
    other = make_installation(
        REDIS_URL=redis_url,
        PUBLIC_URL=str(settings.public_url),
        TWILIO_AUTH_TOKEN="another-token-of-the-tests",
    ).default
    async with worker_loop(settings):
        refused = await run_live(other)
        assert "refused with 401" in refused["message"].detail
        assert "has another secret or another PUBLIC_URL" in refused["message"].detail
        elsewhere = replace_account(make_installation, settings, redis_url)
        assert "another installation" in (await run_live(elsewhere))["public url"].detail


async def test_a_message_without_an_answer_may_still_come(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link stays, so that it is a test call then too."""

    async def no_answer(*_: object) -> AsyncIterator[Answer]:
        yield Answer(fault="no answer (ReadTimeout)", may_come_later=True)

    monkeypatch.setattr(live, "send", no_answer)
    async with worker_loop(settings):
        steps = await run_live(settings)
    assert "no answer (ReadTimeout)" == steps["message"].detail
    assert "stays for a day" in steps["clean-up"].detail


@pytest.mark.parametrize("body", ["[]", "{", '{"detail": 7}'])
async def test_an_answer_that_is_no_receivers_is_read(
    make_settings: MakeSettings, body: str
) -> None:
    """A proxy answers in its own way, and whatever type it claims to be."""

    async def refuse(_: Request) -> Response:
        return Response(body, HTTPStatus.BAD_GATEWAY, media_type="application/json")

    routes = [Route("/{path:path}", refuse, methods=["POST"])]
    with listening(Starlette(routes=routes)) as url:
        settings = make_settings(PUBLIC_URL=url)
        (answer,) = [item async for item in send(make_call("twilio", settings), settings)]
    assert (answer.fault or "").startswith("refused with 502")
    assert "the proxy finds no receiver" in (answer.fault or "")
    (away,) = [item async for item in send(make_call("twilio", settings), settings)]
    assert ("no answer (ConnectError)", False) == (away.fault, away.may_come_later)


@pytest.mark.parametrize(
    ("error", "may_come_later"), [(httpx.ConnectTimeout, False), (httpx.ReadTimeout, True)]
)
async def test_what_has_not_left_does_not_come_later(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    error: type[httpx.TimeoutException],
    may_come_later: bool,
) -> None:
    """A message is under way once there is a connection."""

    async def time_out(*_: object, **__: object) -> None:
        raise error("")

    monkeypatch.setattr(httpx.AsyncClient, "request", time_out)
    (answer,) = [item async for item in send(make_call("twilio", settings), settings)]
    assert answer.may_come_later is may_come_later


def replace_account(
    make_installation: Callable[..., Installation], settings: Settings, redis_url: str
) -> Settings:
    """The same settings under another name in Redis."""
    return make_installation(
        REDIS_URL=redis_url, PUBLIC_URL=str(settings.public_url), ACCOUNT="trial"
    ).default


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_every_source_can_make_one(source: str, make_settings: MakeSettings) -> None:
    """A call of one id, with a secret made up as `run` does."""
    setting = SOURCES[source].settings[0]
    settings = make_settings(
        URL_SECRET="url-secret-of-the-tests-" + "1" * 20,
        **{setting.name.upper(): setting.generate()},
    )
    call = make_call(source, settings)
    keys = {SOURCES[source].keys(request).source_call_id for request in call.requests}
    assert {call.source_call_id} == keys


def test_source_that_is_off_or_cannot_sign(run: Run) -> None:
    """Its setting is named; the key of Telnyx is the vendor's alone."""
    off = run("check", "--live", "zoom", code=1).stdout
    assert "zoom is off in the account default: set ZOOM_SECRET_TOKEN" in off
    key = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
    telnyx = run("check", "--live", "telnyx", code=1, TELNYX_PUBLIC_KEY=key).stderr
    assert "make a real call" in telnyx
