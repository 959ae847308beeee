"""
What the tests of the console share: the calls that it shows, and a browser without scripts.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Final

import httpx

from service.receiver.app import Addition, create_app
from service.settings import Installation
from service.store.failed import FailedFilter
from tests.fundamentals.system import System
from workers.console.app import Console

OPERATOR: Final = "operator-token-of-the-tests"
READER: Final = "reader-token-of-the-tests"
DELIVERED: Final = "standard:call-1"
UNMATCHED: Final = "standard:call-2"
FAILED: Final = "standard:call-3"
# Words of a vendor that would be markup, were they not text.
HOSTILE: Final = "<script>alert(1)</script>Ana & {{ 7 * 7 }}"
NUMBER: Final = "+15005550001"
FORM_TOKEN: Final = re.compile(r'name="form_token" value="([0-9a-f]+)"')


async def seed(system: System) -> None:
    """A call that was written, one without a Buildr call, and one that Buildr does not know."""
    await system.receive_call(call_id="call-1", buildr_call_id="110", agent=HOSTILE)
    await system.receive_call(call_id="call-2")
    await system.receive_call(call_id="call-3", buildr_call_id="99990")
    for ref in (DELIVERED, UNMATCHED, FAILED):
        await system.run_worker(ref)


async def failed_ids(system: System) -> list[str]:
    """The ids of what is on the list of failed entries."""
    return [entry.entry_id async for entry in system.store.failed.select(FailedFilter())]


@dataclass
class Browser:
    """Loads pages and sends their forms, with the cookies that it was given."""

    client: httpx.AsyncClient
    form_token: str = ""

    async def get(self, path: str) -> str:
        """The text of a page below `/console`."""
        return (await self.load(path)).text

    async def load(self, path: str) -> httpx.Response:
        """A page below `/console`; redirects are followed."""
        response = await self.client.get(f"/console{path}", follow_redirects=True)
        self._keep_token(response)
        return response

    async def send(self, path: str, fields: Mapping[str, str | list[str]]) -> httpx.Response:
        """Send a form of the page that was loaded last; redirects are followed."""
        response = await self.client.post(
            f"/console{path}",
            data={"form_token": self.form_token, **fields},
            follow_redirects=True,
        )
        self._keep_token(response)
        return response

    async def log_in(self, token: str) -> httpx.Response:
        """Log in by the form."""
        await self.load("")
        return await self.send("/login", {"token": token})

    def _keep_token(self, response: httpx.Response) -> None:
        match = FORM_TOKEN.search(response.text)
        if match is not None:
            self.form_token = match[1]


def text_of(html: str) -> str:
    """What a page shows, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@asynccontextmanager
async def open_browser(installation: Installation) -> AsyncIterator[Browser]:
    """A browser before a receiver with the console of an installation."""
    console = Console.of(installation)
    app = create_app(installation, addition=Addition(console.routes(), console.close))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("203.0.113.7", 4711)),
            base_url="https://hooks.example.test",
        ) as client,
    ):
        yield Browser(client)
