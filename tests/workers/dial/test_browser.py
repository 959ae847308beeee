"""
The dial page in a real browser: from a personal link and a page of Buildr to the dialler.

`make browser` runs it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

import pytest

from service.settings import Installation
from service.store.connection import Store
from tests.doubles.browser import NARROW, Visitor, served, visitor
from workers.dial.app import DialPage

# A page of Buildr: its address holds the id, its text the number; it lets no script of others in.
BUILDR: Final = "https://buildr.example/projects/5/calls/110"
PAGE: Final = """<!doctype html><title>Buildr</title><h1>Call with Ben</h1>
<p>Mobile <span id="number">(500) 555-0001</span></p>"""
POLICY: Final = {"content-security-policy": "default-src 'self'; connect-src 'none'"}
SMALL: Final = {"width": 480, "height": 640}

pytestmark = pytest.mark.slow


async def _to_buildr(route: Any) -> None:
    await route.fulfill(body=PAGE, content_type="text/html", headers=POLICY)


async def _log_in(guest: Visitor, token: str) -> None:
    """By the personal link: it fills in the token, and leaves nothing of it in the address."""
    await guest.open(f"/dial/login#token={token}")
    await guest.page.wait_for_function("document.querySelector('#token').value")
    assert guest.page.url == f"{guest.base}/dial/login"
    await guest.check()
    await guest.page.click("form.dial button")
    await guest.page.wait_for_selector("text=Call in Buildr")


async def _bookmark(guest: Visitor) -> str:
    """The script of the bookmark; clicked where it is shown, it only says what to do with it."""
    await guest.page.click("text=Do it with one click from Buildr")
    await guest.page.wait_for_selector("text=Drag the button above")
    assert not await guest.page.is_visible("text=Do not click it here")
    await guest.check()
    await guest.take_picture("dial-bookmark")
    await guest.page.click("text=Call this")
    await guest.page.wait_for_selector("text=Do not click it here")
    address = await guest.page.get_attribute("a[data-bookmark]", "href")
    return unquote(address.removeprefix("javascript:"))


async def _click_in_buildr(guest: Visitor, script: str, *, selection: str) -> Visitor:
    """The window that the bookmark opens over a page of Buildr, with something selected."""
    buildr = await guest.page.context.new_page()
    await buildr.goto(BUILDR)
    await buildr.evaluate(selection)
    async with guest.page.context.expect_page() as opening:
        await buildr.evaluate(script)
    small = Visitor(await opening.value, guest.base, guest.faults, guest.opened)
    small.watch()
    await small.page.wait_for_load_state()
    await small.page.set_viewport_size(SMALL)
    return small


async def test_a_rep_calls_from_a_page_of_buildr(
    make_installation: Callable[..., Installation], redis_url: str, store: Store
) -> None:
    """The bookmark carries id and number over; one click registers the call and dials."""
    installation = make_installation(
        REDIS_URL=redis_url, DIALLER="ringcentral", PUBLIC_URL="http://127.0.0.1"
    )
    _, token = await store.dial_tokens.add(
        "Ana Lopez", agent="ana@example.com", now=datetime.now(UTC)
    )
    page = DialPage.of(installation)
    async with served(installation, page.routes(), page.close) as base, visitor(base) as guest:
        await guest.page.context.route("https://buildr.example/**", _to_buildr)
        await _log_in(guest, f"default.{token}")
        script = (await _bookmark(guest)).replace("http://127.0.0.1/", f"{base}/")
        select = "getSelection().selectAllChildren(document.querySelector('#number'))"
        small = await _click_in_buildr(guest, script, selection=select)
        assert ["110", "(500) 555-0001"] == [
            await small.page.input_value(name) for name in ("#buildr_call_id", "#to")
        ]
        assert small.page.url == f"{base}/dial"
        assert await store.expected.get("110") is None
        await small.check()
        await small.take_picture("dial-page", is_for_docs=True)
        await small.page.click("form.dial button.main")
        await small.page.wait_for_selector("text=Calling +15005550001")
        await small.check()
        await small.take_picture("dial-called")
        await small.page.emulate_media(color_scheme="dark")
        await small.page.set_viewport_size(NARROW)
        await small.open("/dial")
        await small.check()
        await small.take_picture("dial-page-narrow")
        assert [] == guest.faults
        assert ["rcmobile://call?number=15005550001"] == guest.opened
    expected = await store.expected.get("110")
    assert expected is not None
    assert expected.agent == "ana@example.com"


async def test_a_link_leads_through_the_log_in_to_the_call(
    make_installation: Callable[..., Installation], redis_url: str, store: Store
) -> None:
    """What is behind the # outlives the log-in; the address shows none of it."""
    installation = make_installation(REDIS_URL=redis_url, DIALLER="tel", PUBLIC_URL="http://a.test")
    _, token = await store.dial_tokens.add("Ana Lopez", agent=None, now=datetime.now(UTC))
    page = DialPage.of(installation)
    async with served(installation, page.routes(), page.close) as base, visitor(base) as guest:
        await guest.open("/dial#buildr_call_id=111&to=+15005550001")
        await guest.page.fill("#token", f"default.{token}")
        await guest.page.click("form.dial button")
        await guest.page.wait_for_function("document.querySelector('#to')?.value")
        assert ["111", "+15005550001"] == [
            await guest.page.input_value(name) for name in ("#buildr_call_id", "#to")
        ]
        assert guest.page.url == f"{base}/dial"
        assert [] == guest.faults
