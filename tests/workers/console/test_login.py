"""
Who gets into the console, how, and for how long.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import httpx
from structlog.testing import capture_logs

from service.receiver.app import create_app
from service.receiver.side_port import side_app
from service.settings import Installation, Settings
from tests.workers.console.harness import OPERATOR, READER, Browser
from workers.console.app import Console
from workers.console.sessions import COOKIE, LASTS, VISITOR_COOKIE, Role, Sessions

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)


def _sessions(*tokens: str) -> Sessions:
    return Sessions(tuple((Role.OPERATOR, token) for token in tokens))


async def test_without_a_token_there_is_no_console(
    redis_url: str, make_installation: Callable[..., Installation]
) -> None:
    """The receiver alone answers as for any path that does not exist."""
    app = create_app(make_installation(REDIS_URL=redis_url))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://a.test") as client:
        response = await client.get("/console")
    assert response.status_code == HTTPStatus.NOT_FOUND


def test_either_token_turns_it_on(make_settings: Callable[..., Settings]) -> None:
    """A console for looking only is one too."""
    assert [False, True, True] == [
        make_settings(**values).has_console
        for values in ({}, {"CONSOLE_TOKEN": OPERATOR}, {"CONSOLE_READ_TOKEN": READER})
    ]


async def test_every_page_asks_for_a_log_in(stranger: Browser) -> None:
    """Nothing is shown to a stranger, and the log-in leads back to the page."""
    for path in ("", "/default/overview", "/default/failed?cause=x", "/default/call?ref=a:b"):
        page = await stranger.load(path)
        assert "CONSOLE_TOKEN may change things" in page.text
    assert 'value="/console/default/call?ref=a:b"' in page.text
    await stranger.send("/login", {"token": OPERATOR, "target": "/console/default/actions"})
    assert "log in" in await stranger.get("/default/actions")


async def test_the_target_of_a_log_in_is_a_page_of_the_console(stranger: Browser) -> None:
    """No link with a log-in in it leads to another site."""
    for target in ("https://evil.example/", "//evil.example", "/consoleX", ""):
        await stranger.load("")
        response = await stranger.client.post(
            "/console/login",
            data={"form_token": stranger.form_token, "token": OPERATOR, "target": target},
        )
        assert response.headers["location"] == "/console/default/overview"
        stranger.client.cookies.clear()


async def test_a_line_feed_in_a_target_ends_no_header(stranger: Browser) -> None:
    """The address to which a log-in leads is quoted."""
    await stranger.load("")
    response = await stranger.client.post(
        "/console/login",
        data={
            "form_token": stranger.form_token,
            "token": OPERATOR,
            "target": "/console/x\r\nSet-Cookie: a=b",
        },
    )
    assert response.headers["location"] == "/console/x%0D%0ASet-Cookie:%20a=b"


async def test_a_cookie_of_somebody_else_is_replaced(stranger: Browser) -> None:
    """What a browser is called before it logs in is made here."""
    stranger.client.cookies.set(VISITOR_COOKIE, "chosen", path="/console")
    response = await stranger.load("")
    assert "chosen" not in response.headers["set-cookie"]


async def test_the_cookie_of_a_session_is_out_of_reach(stranger: Browser) -> None:
    """No script reads it, no other site sends it, no plain http carries it."""
    await stranger.load("")
    response = await stranger.client.post(
        "/console/login", data={"form_token": stranger.form_token, "token": OPERATOR}
    )
    cookie = next(
        value for value in response.headers.get_list("set-cookie") if value.startswith(COOKIE)
    )
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes >= {"httponly", "secure", "samesite=strict", "path=/console", "max-age=43200"}


async def test_a_wrong_token_is_refused_and_logged(stranger: Browser) -> None:
    """The token itself is in no line."""
    await stranger.load("")
    with capture_logs() as entries:
        response = await stranger.send("/login", {"token": "not-the-token-at-all"})
    assert response.status_code == HTTPStatus.UNAUTHORIZED
    lines = [entry for entry in entries if entry["event"] == "console.refused"]
    assert [("203.0.113.7", "a wrong token")] == [
        (line["client"], line["reason"]) for line in lines
    ]
    assert "not-the-token" not in str(entries)


async def test_who_guesses_has_to_wait(stranger: Browser) -> None:
    """After some wrong tokens not even the right one is looked at."""
    await stranger.load("")
    for _ in range(6):
        response = await stranger.send("/login", {"token": "a-wrong-token-again"})
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS
    response = await stranger.send("/login", {"token": OPERATOR})
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert int(response.headers["retry-after"]) >= 1


async def test_a_log_in_form_of_another_site_is_refused(stranger: Browser) -> None:
    """It has no token, or that of another browser."""
    for token in ("", "0" * 64):
        await stranger.load("")
        stranger.form_token = token
        response = await stranger.send("/login", {"token": OPERATOR})
        assert response.status_code == HTTPStatus.FORBIDDEN


async def test_leaving_ends_the_session_for_good(operator: Browser) -> None:
    """A copy of the cookie is worth nothing afterwards."""
    cookie = operator.client.cookies[COOKIE]
    await operator.get("/default/overview")
    await operator.send("/default/logout", {})
    operator.client.cookies.set(COOKIE, cookie, domain="hooks.example.test", path="/console")
    assert "CONSOLE_TOKEN may change things" in await operator.get("/default/overview")


def test_a_session_ends_by_itself() -> None:
    """After a working day, to the second."""
    sessions = _sessions(OPERATOR)
    _, cookie = sessions.open(Role.OPERATOR, OPERATOR, NOW)
    assert sessions.read(cookie, NOW + LASTS - timedelta(seconds=1)) is not None
    assert sessions.read(cookie, NOW + LASTS) is None


def test_a_session_ends_with_its_token() -> None:
    """A token that is withdrawn takes its sessions along; one that is added leaves the others."""
    session, cookie = _sessions(OPERATOR).open(Role.OPERATOR, OPERATOR, NOW)
    assert _sessions("another-token-of-tests", OPERATOR).read(cookie, NOW) == session
    assert _sessions("another-token-of-tests").read(cookie, NOW) is None


def test_a_changed_cookie_is_none() -> None:
    """Neither role, nor end, nor id can be chosen."""
    sessions = Sessions(((Role.OPERATOR, OPERATOR), (Role.READER, READER)))
    _, cookie = sessions.open(Role.READER, READER, NOW)
    version, role, ends, session_id, signature = cookie.split(".")
    for changed in (
        f"{version}.operator.{ends}.{session_id}.{signature}",
        f"{version}.{role}.{int(ends) + 1}.{session_id}.{signature}",
        f"{version}.{role}.{ends}.{session_id[::-1]}.{signature}",
        f"{version}.{role}.{ends}.{session_id}.",
        f"{version}.{role}.{ends}.{session_id}.ä",
        "",
        "a.b",
    ):
        assert sessions.read(changed, NOW) is None
    assert sessions.read(cookie, NOW) is not None


async def test_at_a_port_of_its_own_it_is_nowhere_else(
    redis_url: str, make_installation: Callable[..., Installation]
) -> None:
    """Its cookies are for plain http then, unless a proxy says that it is not."""
    installation = make_installation(
        REDIS_URL=redis_url, CONSOLE_TOKEN=OPERATOR, CONSOLE_PORT="8001"
    )
    console = Console.of(installation)
    addition = console.addition()
    assert [] == list(addition.routes)
    transport = httpx.ASGITransport(side_app(addition.side_routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
        assert (await client.get("/")).headers["location"] == "/console"
        cookies = [
            (await client.get("/console", headers=headers)).headers["set-cookie"]
            for headers in ({}, {"X-Forwarded-Proto": "https"})
        ]
        assert HTTPStatus.NOT_FOUND == (await client.get("/healthz")).status_code
    assert [False, True] == ["Secure" in cookie for cookie in cookies]
    await console.close()
