"""
Access tokens: requests_sent for once for the fleet, renewed early, never logged.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.errors import (
    BuildrError,
    BuildrRateLimited,
    BuildrUnauthorized,
    BuildrUnavailable,
    SettingsError,
)
from service.settings import Settings
from service.store.connection import Store
from tests.workers.buildr.stand_in import (
    START,
    TOKEN_URL,
    Answer,
    Clock,
    MemoryTokens,
    Server,
    token,
)
from workers.buildr import ReadyToken, SharedToken, token_provider
from workers.buildr.credentials import Credentials, request_token
from workers.buildr.tokens import is_valid, renew_at

CREDENTIALS = Credentials(
    token_url=TOKEN_URL, client_id="client", client_secret="s3cret", scope="read write", timeout_s=8
)
MakeSettings = Callable[..., Settings]


def _granting(life_s: float = 3600) -> Server:
    made = iter(range(1, 1000))
    return Server(
        [
            lambda _: httpx.Response(
                200,
                json={
                    "access_token": f"t{next(made)}",
                    "token_type": "Bearer",
                    "expires_in": life_s,
                },
            )
        ]
    )


def _shared(server: Server, store: MemoryTokens, clock: Clock) -> SharedToken:
    return SharedToken(
        credentials=CREDENTIALS,
        store=store,
        transport=server.transport,
        clock=clock,
        sleep=clock.sleep,
    )


async def test_token_is_asked_for_as_documented() -> None:
    """
    One POST of JSON with grant type, client id, client secret and scope; the secret is in the body
    and nowhere else.
    """
    server = _granting()
    await request_token(CREDENTIALS, clock=Clock(), transport=server.transport)
    (request,) = server.requests
    assert ("POST", TOKEN_URL, "application/json") == (
        request.method,
        str(request.url),
        request.headers["content-type"],
    )
    expected = {
        "grant_type": "client_credentials",
        "client_id": "client",
        "client_secret": "s3cret",
        "scope": "read write",
    }
    assert expected == json.loads(request.content)
    assert "s3cret" not in str(request.url) + str(request.headers)


@pytest.mark.parametrize(
    ("expires_in", "life_s"),
    [
        (7200, 7200),
        ("7200", 7200),
        (1.5, 1.5),
        (None, 3600),
        (0, 3600),
        (-5, 3600),
        ("soon", 3600),
        (True, 3600),
        ([], 3600),
        (10**400, 3600),
        (10**12, 2_592_000),
    ],
)
async def test_life_is_read_or_taken_as_an_hour(expires_in: object, life_s: float) -> None:
    """
    A life in seconds is read from number or text; one that makes no sense is an hour, counted from
    before the request.
    """
    server = Server([httpx.Response(200, json={"access_token": "t", "expires_in": expires_in})])
    made = await request_token(CREDENTIALS, clock=Clock(), transport=server.transport)
    assert (START, START + timedelta(seconds=life_s)) == (made.obtained_at, made.expires_at)


@pytest.mark.parametrize(
    ("answer", "kind", "reported"),
    [
        (
            httpx.Response(401, json={"error": "invalid_client"}),
            BuildrUnauthorized,
            "check BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET",
        ),
        (
            httpx.Response(400, json={"error": "invalid_client"}),
            BuildrUnauthorized,
            "check BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET",
        ),
        (
            httpx.Response(401, text="no"),
            BuildrUnauthorized,
            "check BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET",
        ),
        (
            httpx.Response(400, json={"error": "invalid_scope"}),
            BuildrUnauthorized,
            "check BUILDR_SCOPE",
        ),
        (
            httpx.Response(404, html="<h1>Not found</h1>"),
            BuildrUnauthorized,
            "check BUILDR_TOKEN_URL",
        ),
        (httpx.Response(400, json={"error": "Told You: s3cret!"}), BuildrUnauthorized, "(400)"),
        (
            httpx.Response(302, headers={"location": "https://evil.test/"}),
            BuildrUnavailable,
            "check BUILDR_TOKEN_URL",
        ),
        (httpx.Response(500, text="s3cret"), BuildrUnavailable, "answered 500"),
        (httpx.Response(408), BuildrUnavailable, "answered 408"),
        (httpx.Response(429, headers={"Retry-After": "9"}), BuildrRateLimited, "9 s"),
        (httpx.Response(200, html="<h1>Welcome</h1>"), BuildrUnavailable, "JSON"),
        (httpx.Response(200, json=[]), BuildrUnavailable, "access_token"),
        (httpx.Response(200, json={"access_token": ""}), BuildrUnavailable, "access_token"),
        (httpx.Response(200, json={"access_token": "a b"}), BuildrUnavailable, "access_token"),
        (
            httpx.Response(200, json={"access_token": "ä\r\nX: 1"}),
            BuildrUnavailable,
            "access_token",
        ),
        (httpx.ConnectError("refused"), BuildrUnavailable, "no answer from buildr.test"),
    ],
)
async def test_refusal_says_what_to_do_and_hides_the_secret(
    answer: Answer, kind: type[BuildrError], reported: str
) -> None:
    """
    Each refusal becomes the error that says what to do; the secret is neither in its words nor in
    the kept answer.
    """
    with pytest.raises(BuildrError) as caught:
        await request_token(CREDENTIALS, clock=Clock(), transport=Server([answer]).transport)
    assert kind is type(caught.value)
    assert reported in str(caught.value)
    assert "s3cret" not in f"{caught.value} {caught.value.answer}"


@given(st.floats(0.001, 10**6))
def test_renewal_is_ahead_of_the_end_whatever_the_life(life_s: float) -> None:
    """
    A token is renewed after 80 % of its life or 5 minutes before its end, whichever is later, and
    always while it is still valid.
    """
    made = token("t", life_s=life_s)
    begins = (renew_at(made) - START).total_seconds()
    assert begins == pytest.approx(max(0.8 * life_s, life_s - 300), abs=1e-5)
    assert START < renew_at(made) < made.expires_at
    assert is_valid(made, renew_at(made))


async def test_token_is_asked_for_once_and_then_used_from_memory() -> None:
    """As long as the token is good, nothing is requests_sent for."""
    clock = Clock()
    store = MemoryTokens()
    server = _granting()
    shared = _shared(server, store, clock)
    assert ["t1"] * 3 == [await shared.get() for _ in range(3)]
    clock.forward(3299)
    assert "t1" == await shared.get()
    assert (1, [13.0]) == (len(server.requests), store.locks)


async def test_many_at_once_ask_once() -> None:
    """
    However many jobs and processes start without a token, one request is made, and all get its
    token.
    """
    clock = Clock()
    store = MemoryTokens()
    server = _granting()
    fleet = [_shared(server, store, clock) for _ in range(5)]
    assert {"t1"} == set(await asyncio.gather(*(item.get() for item in fleet for _ in range(5))))
    assert 1 == len(server.requests)


async def test_token_is_renewed_early_by_one_while_the_others_go_on() -> None:
    """
    Ahead of the end the first process renews; one that finds another at it goes on with the old
    token without waiting.
    """
    clock = Clock()
    store = MemoryTokens(token=token("old"))
    server = _granting()
    clock.forward(3300)
    store.held_by_another = True
    assert ("old", []) == (await _shared(server, store, clock).get(), clock.slept_s)
    store.held_by_another = False
    assert "t1" == await _shared(server, store, clock).get()
    assert "t1" == await _shared(server, store, clock).get()
    assert 1 == len(server.requests)


async def test_failed_early_renewal_is_no_error_and_not_repeated_at_once() -> None:
    """
    While the old token is good, a renewal that fails is logged, and tried again half a minute
    later.
    """
    clock = Clock()
    store = MemoryTokens(token=token("old"))
    server = Server([httpx.Response(500), httpx.Response(200, json={"access_token": "new"})])
    shared = _shared(server, store, clock)
    clock.forward(3300)
    with capture_logs() as logs:
        assert ["old", "old"] == [await shared.get() for _ in range(2)]
    assert (1, ["buildr.token_not_refreshed"]) == (
        len(server.requests),
        [entry["event"] for entry in logs],
    )
    clock.forward(30)
    assert "new" == await shared.get()
    assert not store.is_locked


async def test_hanging_early_renewal_leaves_time_for_the_request() -> None:
    """
    While the old token is good, a token endpoint that hangs takes half of a request's time once,
    and is then left alone for a while.
    """
    clock = Clock()
    store = MemoryTokens(token=token("old"))
    requests_sent = 0

    async def hang(_: httpx.Request) -> httpx.Response:
        nonlocal requests_sent
        requests_sent += 1
        await asyncio.Event().wait()
        raise AssertionError("nothing wakes it")

    credentials = replace(CREDENTIALS, timeout_s=0.1)
    shared = SharedToken(
        credentials=credentials, store=store, transport=httpx.MockTransport(hang), clock=clock
    )
    clock.forward(3300)
    with capture_logs() as logs:
        async with asyncio.timeout(5):
            assert ["old", "old"] == [await shared.get() for _ in range(2)]
    assert (1, ["buildr.token_not_refreshed"], False) == (
        requests_sent,
        [entry["event"] for entry in logs],
        store.is_locked,
    )


async def test_without_a_valid_token_one_waits_for_the_other_process() -> None:
    """
    Where another process renews and no token is valid, one reads again shortly after, and takes the
    new token when it is there.
    """
    clock = Clock()
    store = MemoryTokens(token=token("dead", life_s=60), held_by_another=True)
    server = _granting()
    clock.forward(60)

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        if len(clock.slept_s) > 2:
            store.token = token("theirs", obtained_at=clock.now)

    shared = SharedToken(
        credentials=CREDENTIALS, store=store, transport=server.transport, clock=clock, sleep=sleep
    )
    assert "theirs" == await shared.get()
    assert ([], [0.1] * 3) == (server.requests, clock.slept_s)


async def test_waiting_for_the_other_process_ends() -> None:
    """A process that never comes back with a token is waited for 30 seconds and no longer."""
    clock = Clock()
    with pytest.raises(BuildrUnavailable, match="30 s"):
        await _shared(_granting(), MemoryTokens(held_by_another=True), clock).get()
    assert 30 <= sum(clock.slept_s) < 31


async def test_failure_without_a_valid_token_is_raised_and_the_lock_given_back() -> None:
    """If no token can be had, the error says why, and the next one may try."""
    store = MemoryTokens()
    with pytest.raises(BuildrUnauthorized, match="BUILDR_CLIENT_SECRET"):
        await _shared(Server([httpx.Response(401)]), store, Clock()).get()
    assert not store.is_locked


async def test_refused_token_is_replaced_once_for_the_fleet() -> None:
    """
    A token that Buildr refused is dropped for all; a process that still holds it takes the new one
    instead of buying a third.
    """
    clock = Clock()
    store = MemoryTokens()
    server = _granting()
    one = _shared(server, store, clock)
    two = _shared(server, store, clock)
    assert ("t1", "t1") == (await one.get(), await two.get())
    await one.invalidate("t1")
    assert "t2" == await one.get()
    await two.invalidate("t1")
    assert "t2" == await two.get()
    assert 2 == len(server.requests)


async def test_nothing_secret_is_logged_or_shown() -> None:
    """
    A renewal is logged with the life of the token; neither token nor secret is in a log or in a
    representation.
    """
    store = MemoryTokens()
    shared = _shared(_granting(), store, Clock())
    with capture_logs() as logs:
        await shared.get()
    assert [
        {"event": "buildr.token_refreshed", "expires_in_s": 3600.0, "log_level": "info"}
    ] == logs
    assert "s3cret" not in repr(shared) + repr(ReadyToken("s3cret"))
    assert "'t1'" not in repr(shared) + repr(store.token)


async def test_redis_keeps_the_token_for_the_fleet(store: Store) -> None:
    """Over real Redis, two processes share one token, and a refused one is gone for both."""
    server = _granting()
    one, two = (
        SharedToken(credentials=CREDENTIALS, store=store.tokens, transport=server.transport)
        for _ in range(2)
    )
    assert ("t1", "t1") == (await one.get(), await two.get())
    await two.invalidate("t1")
    assert "t2" == await two.get()
    assert await store.tokens.lock(1)


async def test_settings_choose_the_way(make_settings: MakeSettings) -> None:
    """
    A ready token is used where one is set, else the client credentials; without either the program
    says what to set.
    """
    both = make_settings(BUILDR_CLIENT_ID="client", BUILDR_CLIENT_SECRET="s3cret")
    assert ReadyToken("token-of-the-tests") == token_provider(both, MemoryTokens())
    shared = token_provider(
        make_settings(
            BUILDR_ACCESS_TOKEN="", BUILDR_CLIENT_ID="client", BUILDR_CLIENT_SECRET="s3cret"
        ),
        MemoryTokens(),
    )
    assert isinstance(shared, SharedToken)
    assert (
        Credentials(
            token_url="https://buildr.app/oauth/token",
            client_id="client",
            client_secret="s3cret",
            scope="read write",
            timeout_s=8,
        )
        == shared.credentials
    )
    with pytest.raises(SettingsError, match="BUILDR_ACCESS_TOKEN"):
        token_provider(make_settings(BUILDR_ACCESS_TOKEN=""), MemoryTokens())


@pytest.mark.parametrize("wrong", ["Bearer abc", "abc\ndef", "äbc"])
async def test_ready_token_must_fit_into_a_header(make_settings: MakeSettings, wrong: str) -> None:
    """
    A token that was pasted with something around it is a fault of the settings, reported at start
    without showing it.
    """
    with pytest.raises(SettingsError, match="BUILDR_ACCESS_TOKEN") as caught:
        token_provider(make_settings(BUILDR_ACCESS_TOKEN=wrong), MemoryTokens())
    assert wrong not in str(caught.value)


async def test_ready_token_stays_what_it_is() -> None:
    """Nothing replaces a token that an operator made."""
    ready = ReadyToken("made-by-hand")
    await ready.invalidate("made-by-hand")
    assert "made-by-hand" == await ready.get()
