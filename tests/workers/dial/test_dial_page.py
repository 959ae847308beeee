"""
Calling from the dial page: who may, what is registered, and which dialler opens.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from http import HTTPStatus
from urllib.parse import unquote

import httpx
import pytest
from structlog.testing import capture_logs

from service.receiver.app import create_app
from service.settings import Installation
from service.store.connection import Store
from service.store.dial_tokens import MAX_CALLS
from tests.fundamentals.system import message, start_system
from tests.workers.dial.conftest import Rep
from workers.console.pages import POLICY
from workers.dial.app import DialPage
from workers.dial.bookmark import bookmark_of
from workers.dial.visits import COOKIE, FORMS, VISITOR_COOKIE

CALL = {"buildr_call_id": "110", "to": "(500) 555-0001"}


def _dialler_of(response: httpx.Response) -> str:
    match = re.search(r'href="([^"]*)" rel="noreferrer" data-dialler', response.text)
    assert match is not None
    return unescape(match[1])


async def test_without_a_dialler_there_is_no_page(
    redis_url: str, make_installation: Callable[..., Installation]
) -> None:
    """Nothing shows that there could be one."""
    installation = make_installation(REDIS_URL=redis_url)
    assert [] == DialPage.of(installation).routes()
    app = create_app(installation)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://a.test") as client:
        assert HTTPStatus.NOT_FOUND == (await client.get("/dial")).status_code


async def test_a_call_is_registered_and_the_dialler_opens(rep: Rep, store: Store) -> None:
    """The button registers the call for its person, for some minutes, and nothing is in the log."""
    await rep.log_in()
    with capture_logs() as entries:
        response = await rep.send("/call", CALL)
    assert "rcmobile://call?number=15005550001" == _dialler_of(response)
    expected = await store.expected.get("110")
    assert expected is not None
    assert (["+15005550001"], "ana@example.com", "outbound") == (
        [number.e164 for number in expected.numbers],
        expected.agent,
        expected.direction,
    )
    assert timedelta(minutes=16) == expected.closes_at - expected.opens_at
    assert [("110", True)] == [
        (entry["buildr_call_id"], entry["is_new"])
        for entry in entries
        if entry["event"] == "dial.call"
    ]
    assert "5550001" not in str(entries)


async def test_a_call_from_the_page_gets_its_outcome(
    rep: Rep, store: Store, installation: Installation
) -> None:
    """The telephone call that comes holds no id, and is the one that was dialled."""
    await rep.log_in()
    await rep.send("/call", CALL)
    now = datetime.now(UTC)
    async with start_system(store, installation) as system:
        steps: tuple[dict[str, str], ...] = ({}, {}, {"hangup_cause": "completed"})
        for second, fields in enumerate(steps):
            event_type = ("ringing", "answered", "ended")[second]
            at = f"{now + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}"
            body = message(event_type, 0, occurred_at=at, agent="ana@example.com", **fields)
            await system.receive(body)
        await system.run_worker()
        assert "Connected" == await system.outcome_in_buildr("110")
    await rep.load()
    again = await rep.send("/call", CALL)
    assert "has its telephone call already" in again.text
    assert "data-dialler" not in again.text


async def test_loading_the_page_registers_nothing(rep: Rep, store: Store) -> None:
    """A link fills the form in, whatever its plus looks like."""
    await rep.log_in()
    for number in ("+15005550001", "%2B15005550001"):
        response = await rep.load(f"?buildr_call_id=110&to={number}")
        assert 'value="110"' in response.text
        assert 'value="+15005550001"' in response.text
    assert await store.expected.get("110") is None


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"buildr_call_id": "", "to": "+15005550001"}, "There is no id of a Buildr call"),
        ({"buildr_call_id": "0110", "to": "+15005550001"}, "There is no id of a Buildr call"),
        ({"buildr_call_id": "https://b.test/deals/7", "to": "+15005550001"}, "There is no id"),
        ({"buildr_call_id": "110", "to": "<b>Ana</b>"}, "This is no telephone number"),
    ],
)
async def test_what_is_wrong_is_shown_in_the_form(
    rep: Rep, fields: dict[str, str], fault: str
) -> None:
    """The form comes back with what was filled in, as text."""
    await rep.log_in()
    response = await rep.send("/call", fields)
    assert HTTPStatus.UNPROCESSABLE_ENTITY == response.status_code
    assert fault in response.text
    assert "<b>Ana" not in response.text


async def test_the_address_of_a_page_in_buildr_is_as_good_as_its_id(rep: Rep, store: Store) -> None:
    """It is what people have at hand."""
    await rep.log_in()
    await rep.send("/call", {**CALL, "buildr_call_id": "https://b.test/x/calls/111?tab=2"})
    assert await store.expected.get("111") is not None


async def test_a_stranger_is_asked_to_log_in(rep: Rep, store: Store) -> None:
    """And is led on to the call, if it was in the address; nothing else is a target."""
    page = await rep.load("?buildr_call_id=110&to=5")
    assert "Your personal token" in page.text
    assert 'value="/dial?buildr_call_id=110&amp;to=5"' in page.text
    refused = await rep.send("/call", CALL)
    assert "Your personal token" in refused.text
    assert await store.expected.get("110") is None
    for target, location in (
        ("/dial?buildr_call_id=110", "/dial?buildr_call_id=110"),
        ("https://evil.example/", "/dial"),
        ("//evil.example", "/dial"),
        ("/dial?a\r\nSet-Cookie: b=c", "/dial?a%0D%0ASet-Cookie:%20b=c"),
    ):
        rep.client.cookies.clear()
        response = await rep.log_in(target=target)
        assert location == response.headers["location"]


async def test_the_cookie_is_out_of_reach(rep: Rep) -> None:
    """No script reads it, no form of another site sends it, no plain http carries it."""
    response = await rep.log_in()
    cookie = next(
        value for value in response.headers.get_list("set-cookie") if value.startswith(COOKIE)
    )
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes >= {"httponly", "secure", "samesite=lax", "path=/dial", "max-age=2592000"}


async def test_every_page_has_its_headers(rep: Rep) -> None:
    """Nothing inline, nothing from elsewhere, no frame, no cache, no referrer."""
    await rep.log_in()
    for path in ("", "/login", "/bookmark", "/nothing"):
        headers = (await rep.load(path)).headers
        assert [POLICY, "no-referrer", "no-store"] == [
            headers[name]
            for name in ("content-security-policy", "referrer-policy", "cache-control")
        ]
    for name in ("dial.js", "console.css", "icon.svg"):
        assert (await rep.load(f"/assets/{name}")).is_success
    assert HTTPStatus.NOT_FOUND == (await rep.load("/assets/app.py")).status_code


async def test_wrong_tokens_are_refused_and_slowed_down(rep: Rep) -> None:
    """The token is in no line; the whole link is as good as the token."""
    with capture_logs() as entries:
        for token in ("nobody.1234.secret", "default.1234.secret", "default", ""):
            response = await rep.log_in(token or "x")
            assert HTTPStatus.UNAUTHORIZED == response.status_code
        await rep.log_in("x")
        await rep.log_in("x")
        response = await rep.log_in("x")
    assert HTTPStatus.TOO_MANY_REQUESTS == response.status_code
    assert int(response.headers["retry-after"]) >= 1
    assert "secret" not in str(entries)


async def test_the_whole_link_may_be_pasted(rep: Rep) -> None:
    """It is what a rep was sent."""
    response = await rep.log_in(f"https://hooks.example.test/dial/login#token={rep.token}")
    assert HTTPStatus.SEE_OTHER == response.status_code


async def test_a_form_of_another_site_is_refused(rep: Rep, store: Store) -> None:
    """By its token, and by what the browser says of its origin."""
    await rep.log_in()
    refused = [
        await rep.send("/call", CALL, {"Sec-Fetch-Site": "cross-site"}),
        await rep.send("/call", {**CALL, "form_token": "0" * 64}),
        await rep.send("/call", {**CALL, "form_token": ""}),
    ]
    assert [HTTPStatus.FORBIDDEN] * 3 == [response.status_code for response in refused]
    assert await store.expected.get("110") is None


async def test_a_log_in_by_another_host_of_the_domain_is_refused(rep: Rep) -> None:
    """It can set the cookie, and so knows the token of the form; its browser says who sends it."""
    visitor_id = "0" * 32
    await rep.load("/login")
    rep.client.cookies.set(VISITOR_COOKIE, visitor_id, domain="hooks.example.test", path="/dial")
    rep.form_token = FORMS.form_token(visitor_id)
    by_another_host = {"Sec-Fetch-Site": "same-site"}
    response = await rep.send("/login", {"token": rep.token}, by_another_host)
    assert HTTPStatus.FORBIDDEN == response.status_code


async def test_a_cookie_that_was_not_made_here_names_no_browser(rep: Rep) -> None:
    """Its form is refused, and nobody else's text goes into a cookie."""
    await rep.load("/login")
    rep.client.cookies.set(VISITOR_COOKIE, "chosen", domain="hooks.example.test", path="/dial")
    rep.form_token = FORMS.form_token("chosen")
    response = await rep.send("/login", {"token": rep.token})
    assert HTTPStatus.FORBIDDEN == response.status_code


async def test_a_withdrawn_token_ends_its_sessions(rep: Rep, store: Store) -> None:
    """At once, and for log-ins too."""
    await rep.log_in()
    (token,) = await store.dial_tokens.all()
    assert list(await store.dial_tokens.last_log_ins()) == [token.token_id]
    assert await store.dial_tokens.revoke(token.token_id)
    assert "Your personal token" in (await rep.load()).text
    assert HTTPStatus.UNAUTHORIZED == (await rep.log_in()).status_code


async def test_logging_out_ends_the_session(rep: Rep) -> None:
    """A copy of the cookie is worth nothing afterwards."""
    await rep.log_in()
    cookie = rep.client.cookies[COOKIE]
    await rep.send("/logout", {})
    rep.client.cookies.set(COOKIE, cookie, domain="hooks.example.test", path="/dial")
    assert "Your personal token" in (await rep.load()).text


async def test_nobody_registers_calls_without_end(rep: Rep) -> None:
    """More than a rep can start in a minute are refused."""
    await rep.log_in()
    for _ in range(MAX_CALLS):
        assert (await rep.send("/call", CALL)).is_success
    response = await rep.send("/call", CALL)
    assert HTTPStatus.TOO_MANY_REQUESTS == response.status_code


async def test_redis_away_is_reported(make_installation: Callable[..., Installation]) -> None:
    """As a page, like everything else."""
    installation = make_installation(REDIS_URL="unix:///nowhere/redis.sock", DIALLER="tel")
    page = DialPage.of(installation)
    app = create_app(installation)
    app.router.routes.extend(page.routes())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://a.test") as client:
        rep = Rep(client, "default.1234.secret")
        assert HTTPStatus.SERVICE_UNAVAILABLE == (await rep.log_in()).status_code
    await page.close()


async def test_the_bookmark_knows_the_page_and_the_pattern(rep: Rep) -> None:
    """It is the address of a link, in one line; quotes in the pattern are text."""
    await rep.log_in()
    page = await rep.load("/bookmark")
    assert bookmark_of("https://hooks.example.test/dial", "/calls?/([0-9]{1,20})") in unescape(
        page.text
    )
    script = unquote(bookmark_of("https://a.test/dial", '/"(\\d+)'))
    assert 'new RegExp("/\\"(\\\\d+)")' in script
    assert "\n" not in script
