"""
The receiver with every source switched on, as the tests of sources use it.
"""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from service.receiver.app import create_app
from service.settings import Installation
from service.sources import SOURCES, WebhookRequest
from service.store.connection import Store
from tests.sources.cases import BASE_URL, CONTRACTS, NOW, URL_SECRET, Receive, proof_setting


@pytest.fixture
async def receive(
    store: Store, redis_url: str, make_installation: Callable[..., Installation]
) -> AsyncIterator[Receive]:
    """
    Send a request to a receiver that has the first secret of every source; the answer's status.
    """
    secrets = {proof_setting(slug): CONTRACTS[slug].secrets[0] for slug in SOURCES}
    app = create_app(
        make_installation(
            REDIS_URL=redis_url, PUBLIC_URL=BASE_URL, URL_SECRET=URL_SECRET, **secrets
        ),
        store=store,
        now=lambda: NOW,
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE_URL) as client,
    ):

        async def send(request: WebhookRequest) -> int:
            headers = [
                (name, value) for name, values in request.headers.items() for value in values
            ]
            response = await client.request(
                request.method, request.url, content=request.body, headers=headers
            )
            return response.status_code

        yield send
