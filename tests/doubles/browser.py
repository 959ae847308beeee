"""
A real browser for tests: Chromium by Playwright, and the receiver with its pages on uvicorn.

A test module that imports this is skipped where there is no Playwright (`make browser` installs it)
or no Chromium (`apt-get install chromium`, or the path of the program in CHROMIUM).
"""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
from starlette.routing import BaseRoute

from service.receiver.app import Addition, create_app
from service.settings import Installation

HOW = "make browser installs it"
playwright = pytest.importorskip("playwright.async_api", reason=f"NO BROWSER TEST: {HOW}")
axe = pytest.importorskip("axe_playwright_python.async_playwright", reason=f"NO AXE: {HOW}")

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM: Final = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
SERIOUS: Final = frozenset({"serious", "critical"})
# Never reached but by a fault: a busy machine takes a second for a page.
TIMEOUT_MS: Final = 60_000
# Where the pictures of the docs go, and where those of all pages, to be checked by eye; nowhere
# without them.
PICTURES: Final = os.environ.get("PICTURES")
ALL_PICTURES: Final = os.environ.get("ALL_PICTURES")
WIDE: Final = {"width": 1280, "height": 900}
# Of a telephone.
NARROW: Final = {"width": 390, "height": 844}
# What is wider than the card that it is in, apart from what can be scrolled there.
OUT_OF_CARD: Final = """
    [...document.querySelectorAll('.card *')].filter(element => !element.closest('.scroll')
        && !element.closest('.sr')
        && element.getBoundingClientRect().right
            > element.closest('.card').getBoundingClientRect().right + 1
    ).map(element => element.outerHTML.slice(0, 80))
"""


@dataclass
class Visitor:
    """A page of the browser, and all that it complained about or asked other hosts for."""

    page: Any
    base: str
    faults: list[str] = field(default_factory=list)
    # Addresses of programs that the page tried to open.
    opened: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        """Load a page of the receiver."""
        await self.page.goto(f"{self.base}{path}")

    async def check(self) -> None:
        """Look for what keeps people from using the page."""
        results = await axe.Axe().run(self.page)
        for violation in results.response["violations"]:
            if violation["impact"] in SERIOUS:
                nodes = [node["html"] for node in violation["nodes"]]
                self.faults.append(f"{self.page.url}: {violation['id']}: {nodes}")
        overflow = "document.documentElement.scrollWidth > innerWidth"
        if await self.page.evaluate(overflow):
            self.faults.append(f"{self.page.url}: wider than the window")
        for element in await self.page.evaluate(OUT_OF_CARD):
            self.faults.append(f"{self.page.url}: stands out of its card: {element}")

    async def take_picture(self, name: str, *, is_for_docs: bool = False) -> None:
        """Keep a picture of the page, if it is wanted."""
        folder = ALL_PICTURES
        if is_for_docs:
            folder = PICTURES
        if folder is not None:
            path = Path(folder) / f"{name}.png"
            await self.page.screenshot(path=path, full_page=True)

    def watch(self) -> None:
        """Write down errors, and requests to other hosts."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda err: self.faults.append(str(err)))
        self.page.on("request", self._on_request)

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith(("http:", "https:")):
            self.opened.append(request.url)
        elif not request.url.startswith(self.base):
            self.faults.append(f"asks another host: {request.url}")


@asynccontextmanager
async def served(
    installation: Installation,
    routes: Sequence[BaseRoute],
    close: Callable[[], Awaitable[None]],
    *,
    port: int = 0,
) -> AsyncIterator[str]:
    """The receiver with further routes, on uvicorn; its address."""
    app = create_app(installation, addition=Addition(routes, close))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    with socket.create_server(("127.0.0.1", port)) as listener:
        number = listener.getsockname()[1]
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{number}"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def visitor(base: str, **options: object) -> AsyncIterator[Visitor]:
    """A browser with one page, that watches what the page does."""
    if CHROMIUM is None:
        pytest.skip("NO BROWSER TEST: apt-get install chromium")
    async with playwright.async_playwright() as started:
        browser = await started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(**{"viewport": WIDE, **options})
        context.set_default_timeout(TIMEOUT_MS)
        opened = Visitor(await context.new_page(), base)
        opened.watch()
        yield opened
        await browser.close()
