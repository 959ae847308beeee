"""
The outcome catalog: Buildr's list of call outcomes is read page by page within the budget.
"""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import httpx
import pytest

from service.errors import BuildrRejected, BuildrUnavailable
from service.settings import Settings
from service.store.connection import open_store
from tests.doubles.clock import Skew
from workers.buildr import BuildrClient, ReadyToken
from workers.clock import SharedClock
from workers.delivery.outcome_catalog import MAX_PAGES, OutcomeCatalog


async def test_list_that_never_ends_is_left_after_fifty_pages(
    redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    """A list whose pages lead in a circle costs fifty requests and gives what they held."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        following = f"https://api.buildr.com/x?page={len(requests) % 2}"
        outcomes = [{"id": len(requests), "name": f"Outcome {len(requests)}"}]
        return httpx.Response(
            200, json={"items": outcomes}, headers={"link": f'<{following}>; rel="next"'}
        )

    settings = make_settings(REDIS_URL=redis_url, BUILDR_BUDGETS="1000/1s")
    async with (
        open_store(settings, role="worker") as store,
        BuildrClient(
            settings, tokens=ReadyToken("t0k3n"), transport=httpx.MockTransport(answer)
        ) as client,
    ):
        catalog = OutcomeCatalog(store, SharedClock())
        assert await catalog.refresh(client, hold_s=client.timeout_s + 2)
    assert MAX_PAGES == len(requests) == len(catalog.display_names)


class Pages:
    """A list of five pages; `faults` come first."""

    def __init__(self) -> None:
        self.queries: list[str] = []
        self.faults: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        page = int(request.url.params.get("page", "1"))
        self.queries.append(str(page))
        if self.faults:
            return httpx.Response(self.faults.pop(0))
        headers = {}
        if page < 5:
            headers["link"] = f'<https://api.buildr.com/x?page={page + 1}>; rel="next"'
        outcomes = [{"id": str(number), "name": f"O{number}"} for number in (page, page + 1)]
        return httpx.Response(200, json={"items": outcomes}, headers=headers)


@pytest.fixture
async def reading(
    redis_url: str, make_settings: Callable[..., Settings], skew: Skew
) -> AsyncIterator[tuple[OutcomeCatalog, BuildrClient, Pages]]:
    """A catalog with a budget of two requests in ten seconds, the client, and Buildr's pages."""
    settings = make_settings(REDIS_URL=redis_url, BUILDR_BUDGETS="2/10s")
    pages = Pages()
    async with (
        open_store(settings, role="worker") as store,
        BuildrClient(
            settings, tokens=ReadyToken("t0k3n"), transport=httpx.MockTransport(pages)
        ) as client,
    ):
        clock = SharedClock()
        catalog = OutcomeCatalog(store, lambda: clock() + timedelta(milliseconds=skew.ms))
        yield catalog, client, pages


async def budget_becomes_free(catalog: OutcomeCatalog) -> None:
    """As if the windows of all budgets were over: no request counts any more."""
    await catalog.store.redis.delete(catalog.store.keys.named("limit"))
    await catalog.store.permits.pump()


async def test_list_is_read_whole_on_a_tight_budget(
    reading: tuple[OutcomeCatalog, BuildrClient, Pages],
) -> None:
    """It goes on where there was no permit; nothing is stored before the last page."""
    catalog, client, pages = reading
    for page in (2, 4):
        assert not await catalog.refresh(client, hold_s=client.timeout_s + 2)
        assert ("", page) == ("".join(catalog.display_names), len(pages.queries))
        await budget_becomes_free(catalog)
    pages.faults = [503]
    with pytest.raises(BuildrUnavailable):
        await catalog.refresh(client, hold_s=client.timeout_s + 2)
    await budget_becomes_free(catalog)
    assert await catalog.refresh(client, hold_s=client.timeout_s + 2)
    assert ["1", "2", "3", "4", "5", "5"] == pages.queries
    assert ("O1", "O2", "O3", "O4", "O5", "O6") == catalog.display_names


@pytest.mark.parametrize("status", [None, 404])
async def test_list_is_begun_afresh(
    reading: tuple[OutcomeCatalog, BuildrClient, Pages], skew: Skew, status: int | None
) -> None:
    """After a quarter of an hour, or where its next page is refused."""
    catalog, client, pages = reading
    assert not await catalog.refresh(client, hold_s=client.timeout_s + 2)
    await budget_becomes_free(catalog)
    if status is None:
        skew.ms += 900_000
    else:
        pages.faults = [status]
        with pytest.raises(BuildrRejected):
            await catalog.refresh(client, hold_s=client.timeout_s + 2)
        await budget_becomes_free(catalog)
    await catalog.refresh(client, hold_s=client.timeout_s + 2)
    assert "1" in pages.queries[2:]
