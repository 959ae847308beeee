"""
A receiver with the dial page, and a browser without scripts before it.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx
import pytest

from service.receiver.app import Addition, create_app
from service.settings import Installation
from service.store.connection import Store
from workers.dial.app import DialPage

FORM_TOKEN: Final = re.compile(r'name="form_token" value="([0-9a-f]+)"')


@dataclass
class Rep:
    """A rep's browser; `token` is their personal token."""

    client: httpx.AsyncClient
    token: str
    form_token: str = ""

    async def load(self, path: str = "") -> httpx.Response:
        """A page below `/dial`."""
        return self._keep_token(await self.client.get(f"/dial{path}"))

    async def send(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a form of the page that was loaded last."""
        response = await self.client.post(
            f"/dial{path}", data={"form_token": self.form_token, **fields}, headers=headers
        )
        return self._keep_token(response)

    async def log_in(self, token: str | None = None, **fields: str) -> httpx.Response:
        """Log in by the form."""
        await self.load("/login")
        response = await self.send("/login", {"token": token or self.token, **fields})
        if response.is_redirect:
            await self.load()
        return response

    def _keep_token(self, response: httpx.Response) -> httpx.Response:
        match = FORM_TOKEN.search(response.text)
        if match is not None:
            self.form_token = match[1]
        return response


@pytest.fixture
def dialler() -> str:
    """The setting DIALLER."""
    return "ringcentral"


@pytest.fixture
def installation(
    redis_url: str, make_installation: Callable[..., Installation], dialler: str
) -> Installation:
    """An installation with a dial page."""
    return make_installation(REDIS_URL=redis_url, DIALLER=dialler)


@pytest.fixture
async def rep(store: Store, installation: Installation) -> AsyncIterator[Rep]:
    """The browser of somebody who has a personal token, and is not logged in."""
    page = DialPage.of(installation)
    app = create_app(installation, addition=Addition(page.routes(), page.close))
    _, text = await store.dial_tokens.add(
        "Ana Lopez", agent="ana@example.com", now=datetime.now(UTC)
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("203.0.113.7", 4711)),
            base_url="https://hooks.example.test",
        ) as client,
    ):
        yield Rep(client, f"default.{text}")
