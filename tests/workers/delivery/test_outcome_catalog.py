"""
The outcome catalog: Buildr's list of call outcomes is read page by page within the budget.
"""

from collections.abc import Callable

import httpx

from service.settings import Settings
from service.store.connection import open_store
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
