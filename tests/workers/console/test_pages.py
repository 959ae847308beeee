"""
What the pages of the console show, and to whom.
"""

from http import HTTPStatus

import pytest
from markupsafe import escape
from msgspec.structs import replace

from service.clock import utc_now
from service.store.connection import Store
from service.store.refused import RefusedRequests
from tests.fundamentals.system import System, message
from tests.workers.console.harness import (
    DELIVERED,
    FAILED,
    HOSTILE,
    NUMBER,
    UNMATCHED,
    Browser,
    text_of,
)
from workers.console import work_lists
from workers.console.pages import POLICY
from workers.console.parts import PAGES as MENU

PAGES = (*(name for name, _ in MENU), f"call?ref={DELIVERED}")


@pytest.mark.usefixtures("system")
async def test_every_page_is_guarded_by_its_headers(operator: Browser) -> None:
    """Nothing inline, nothing from elsewhere, nothing kept."""
    for path in PAGES:
        response = await operator.load(f"/default/{path}")
        assert response.status_code == HTTPStatus.OK
        assert response.headers["content-security-policy"] == POLICY
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        for inline in ("style=", "onclick=", "<style", 'src="http', 'href="http', 'action="http'):
            assert inline not in response.text
        assert response.text.count("<script") == 1


async def test_assets_are_of_the_package_and_kept(stranger: Browser) -> None:
    """They need no session, and their addresses change with them."""
    page = await stranger.get("")
    assert "/console/assets/console.css?v=" in page
    for name, media_type in (
        ("console.css", "text/css; charset=utf-8"),
        ("console.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ):
        response = await stranger.load(f"/assets/{name}")
        assert response.headers["content-type"] == media_type
        assert "immutable" in response.headers["cache-control"]
    # What has a layout of its own would be shown although it is `hidden`.
    css = (await stranger.load("/assets/console.css")).text
    assert "[hidden] { display: none !important; }" in css
    for name in ("../app.py", "app.py", "nothing.css"):
        assert (await stranger.load(f"/assets/{name}")).status_code == HTTPStatus.NOT_FOUND


@pytest.mark.usefixtures("system")
async def test_overview_says_what_is_not_well(operator: Browser) -> None:
    """What needs an operator comes first, with what to do."""
    text = text_of(await operator.get("/default/overview"))
    assert "No worker is running" in text
    assert "1 failed See the causes, then replay." in text
    assert "1 unmatched" in text
    assert "buildr rejected 1" in text
    assert "Standard (anything that can send a webhook) ready" in text
    assert "Messages, 24 hours 9" in text


async def test_overview_says_that_all_is_well(store: Store, operator: Browser) -> None:
    """With a worker and nothing to do there is one line."""
    beat = await store.workers.beat("worker-1", map_digest="0")
    assert not beat.is_full
    text = text_of(await operator.get("/default/overview"))
    assert "All is well" in text
    assert "Nothing has failed." in text
    assert "Workers 1 alive now" in text


@pytest.mark.usefixtures("system")
async def test_a_call_is_shown_from_its_answer_to_its_messages(operator: Browser) -> None:
    """One page answers what became of a call, and why."""
    text = text_of(await operator.get(f"/default/call?ref={DELIVERED}"))
    for fact in (
        "Buildr call 110 holds “Connected”.",
        "The message itself names Buildr call 110.",
        "Connected default.connected",
        "ringing",
        "decides",
        "patched",
        "Talked 37 s",
        "call_outcome_id =",
        "hangup_cause",
    ):
        assert fact in text


@pytest.mark.usefixtures("system")
async def test_words_of_others_are_text(operator: Browser) -> None:
    """What a vendor sends is shown as it is, and is no markup."""
    for path in (f"call?ref={DELIVERED}", "unmatched", "failed"):
        assert "<script>alert" not in await operator.get(f"/default/{path}")
    page = await operator.get(f"/default/call?ref={DELIVERED}")
    assert f"<dt>Agent</dt><dd>{escape(HOSTILE)}</dd>" in page
    page = await operator.get("/default/call?ref=%3Cscript%3E:1")
    assert "<script>:" not in page


@pytest.mark.usefixtures("system")
async def test_numbers_are_hidden_until_they_are_revealed(operator: Browser) -> None:
    """An operator reveals them, which is kept."""
    path = f"/default/call?ref={DELIVERED}"
    page = await operator.get(path)
    assert NUMBER.removeprefix("+") not in page
    assert "+1••••••••01" in page
    response = await operator.send("/default/call/reveal", {"ref": DELIVERED})
    assert NUMBER in response.text
    assert f"reveal numbers {DELIVERED}" in text_of(await operator.get("/default/actions"))
    assert NUMBER.removeprefix("+") not in await operator.get(path)


@pytest.mark.usefixtures("system")
async def test_lists_show_what_waits(operator: Browser) -> None:
    """With cause and call, filtered, and numbers hidden."""
    failed = text_of(await operator.get("/default/failed?cause=buildr_rejected"))
    assert f"{FAILED} buildr rejected" in failed
    assert "Nothing fits this filter." in await operator.get("/default/failed?source=zoom")
    unmatched = text_of(await operator.get("/default/unmatched"))
    assert f"{UNMATCHED} → outbound +1••••••••01" in unmatched
    for why, is_shown in (("not named", True), ("several expected fit", False)):
        page = await operator.get(f"/default/unmatched?why={why}")
        assert is_shown is (UNMATCHED in page)
    assert "No call has stalled." in await operator.get("/default/stalled")


@pytest.mark.usefixtures("system")
async def test_what_is_not_there_is_reported(operator: Browser) -> None:
    """A call, an account and a page that do not exist."""
    for path in (
        "/default/call?ref=standard:none",
        "/default/call?ref=x",
        "/nobody/overview",
        "/x",
    ):
        response = await operator.load(path)
        assert response.status_code == HTTPStatus.NOT_FOUND
        assert response.headers["content-security-policy"] == POLICY


async def test_unread_messages_of_a_call_are_reported(system: System, operator: Browser) -> None:
    """Without a worker the page says so, instead of nothing."""
    await system.receive_call(call_id="call-9")
    text = text_of(await operator.get("/default/call?ref=standard:call-9"))
    assert "3 messages wait for a worker, and none is running." in text
    assert "not read yet" in text


async def test_refused_requests_are_shown_and_a_concern(store: Store, operator: Browser) -> None:
    """A wrong signature shows where the operator looks first; a stranger's path does not."""
    entry = RefusedRequests(
        first_at=utc_now(),
        last_at=utc_now(),
        count=3,
        source="twilio",
        path="/webhooks/twilio",
        reason="no secret gives this signature",
        status_code=401,
        network="203.0.113.0/24",
        hint="is PUBLIC_URL the address that Twilio calls?",
    )
    stranger = replace(entry, source="unknown", path="/…", count=700, hint="")
    await store.refused.add([replace(entry, count=1, source="zoom"), entry, stranger])
    overview = text_of(await operator.get("/default/overview"))
    assert f"3 requests to Twilio refused in the last hour I{entry.hint[1:]}" in overview
    assert "1 request to Zoom Phone refused in the last hour" in overview
    assert "700" not in overview
    page = text_of(await operator.get("/default/refused"))
    assert "704 requests, 704 in 24 hours" in page
    assert f"3 twilio 401 {entry.reason} {entry.hint} /webhooks/twilio 203.0.113.0/24" in page
    assert "/…" not in await operator.get("/default/refused?source=twilio")


async def _receive_unreadable(system: System, call_id: str) -> None:
    """A message that is genuine, and lacks what it must have."""
    await system.receive(message("ended", 46, call_id=call_id))
    await system.run_job_once(f"standard:{call_id}")


async def test_long_lists_have_pages(
    system: System, operator: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next page begins where this one ends; a filter reads on until a page is full."""
    monkeypatch.setattr(work_lists, "PAGE", 1)
    await system.receive_call(call_id="call-4")
    await system.run_worker("standard:call-4")
    await _receive_unreadable(system, "call-5")
    for name, first, second in (
        ("unmatched", UNMATCHED, "standard:call-4"),
        ("failed", FAILED, "standard:call-5"),
    ):
        page = await operator.get(f"/default/{name}?source=standard")
        assert [True, False] == [first in page, second in page]
        page = await operator.get(f"/default/{name}?source=standard&from=1")
        assert [False, True] == [first in page, second in page]
        assert "First page" in page
        assert "Next page" not in page
    assert "Next page" not in await operator.get("/default/unmatched?source=twilio")
    for name in ("actions", "actions?from=x", "stalled?from=1"):
        assert (await operator.load(f"/default/{name}")).is_success


async def test_what_several_failed_of_is_one_row(system: System, operator: Browser) -> None:
    """With all that share it, whatever page they are on; what an address says is no text."""
    for call_id in ("call-4", "call-5"):
        await _receive_unreadable(system, call_id)
    page = text_of(await operator.get("/default/failed?from=1&done=all+gone"))
    assert "Shared causes" in page
    assert "Replay 2…" in page
    assert "all gone" not in page
