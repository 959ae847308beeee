"""
The search of the console: by whatever an operator knows of a call.
"""

from http import HTTPStatus

import pytest

from tests.fundamentals.system import System
from tests.workers.console.harness import (
    DELIVERED,
    FAILED,
    NUMBER,
    UNMATCHED,
    Browser,
    text_of,
)

pytestmark = pytest.mark.usefixtures("system")


async def test_without_a_question_the_newest_are_shown(operator: Browser) -> None:
    """All calls, numbers hidden, each with its state."""
    page = await operator.get("/default/calls")
    for ref in (DELIVERED, UNMATCHED, FAILED):
        assert ref in page
    assert NUMBER.removeprefix("+") not in page
    assert "+1••••••••01" in page


QUERIES = {
    "q=(500)+555-0001": {DELIVERED, UNMATCHED, FAILED},
    "q=%2B15005550009": set(),
    "q=110": {DELIVERED},
    "q=ana": {DELIVERED},
    "q=z": set(),
    "q=%2B1200": set(),
    "state=failed": {FAILED},
    "state=delivered&outcome=connected&span=1h": {DELIVERED},
    "source=zoom": set(),
}


async def test_a_call_is_found(operator: Browser) -> None:
    """By number in any form, Buildr id, a part of the agent's name, and filters."""
    for query, refs in QUERIES.items():
        page = _plain(await operator.get(f"/default/calls?{query}"))
        shown = {ref for ref in (DELIVERED, UNMATCHED, FAILED) if f"call?ref={ref}" in page}
        assert (query, refs) == (query, shown)


async def test_an_id_leads_to_its_call(operator: Browser) -> None:
    """The id at the source, or the full name."""
    for text in ("call-2", UNMATCHED):
        response = await operator.load(f"/default/calls?q={text}")
        assert response.url.path == "/console/default/call"
        assert response.url.params["ref"] == UNMATCHED


async def test_a_page_that_does_not_exist_is_refused(operator: Browser) -> None:
    """The cursor of a page is not written by hand."""
    response = await operator.load("/default/calls?after=nonsense")
    assert response.status_code == HTTPStatus.BAD_REQUEST


async def test_many_calls_have_pages(
    system: System, operator: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older calls are on the next page."""
    del system
    monkeypatch.setattr("workers.console.calls.PAGE", 2)
    first = await operator.get("/default/calls")
    assert "Older calls</a>" in first
    link = first.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
    second = await operator.get(link.replace("&amp;", "&").removeprefix("/console"))
    assert "Older calls</a>" not in second
    assert "Newest" in text_of(second)


def _plain(page: str) -> str:
    return page.replace("%3A", ":")
