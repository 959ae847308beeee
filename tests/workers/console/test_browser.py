"""
The console in a real browser: a call is looked for, read, replayed, linked; a map is previewed.

`make browser` runs it. It needs Playwright and Chromium (`apt-get install chromium`, or the path of
the program in CHROMIUM).
"""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn

from service.receiver.app import Addition, create_app
from service.settings import Installation
from tests.fundamentals.system import System
from tests.workers.console.harness import DELIVERED, FAILED, OPERATOR, READER, UNMATCHED, failed_ids
from workers.console.app import Console
from workers.console.parts import PAGES as MENU

HOW = "make browser installs it"
playwright = pytest.importorskip("playwright.async_api", reason=f"NO BROWSER TEST: {HOW}")
axe = pytest.importorskip("axe_playwright_python.async_playwright", reason=f"NO AXE: {HOW}")

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM: Final = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
SERIOUS: Final = frozenset({"serious", "critical"})
# Never reached but by a fault: a busy machine takes a second for a page.
TIMEOUT_MS: Final = 60_000
PAGES: Final = tuple(name for name, _ in MENU)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER TEST: apt-get install chromium"),
]


@dataclass
class Visitor:
    """A page of the browser, and all that it complained about or asked other hosts for."""

    page: Any
    base: str
    faults: list[str] = field(default_factory=list)

    async def open(self, name: str) -> None:
        """Load a page of the console."""
        await self.page.goto(f"{self.base}/console/default/{name}")

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

    def watch(self) -> None:
        """Write down errors, and requests to other hosts."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda err: self.faults.append(str(err)))
        self.page.on("request", self._on_request)

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith(self.base):
            self.faults.append(f"asks another host: {request.url}")


@asynccontextmanager
async def _served(installation: Installation) -> AsyncIterator[str]:
    """The receiver with the console, on uvicorn; its address."""
    console = Console.of(installation)
    app = create_app(installation, addition=Addition(console.routes(), console.close))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def _visitor(base: str, **options: object) -> AsyncIterator[Visitor]:
    async with playwright.async_playwright() as started:
        browser = await started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(**options)
        context.set_default_timeout(TIMEOUT_MS)
        visitor = Visitor(await context.new_page(), base)
        visitor.watch()
        yield visitor
        await browser.close()


async def _log_in(visitor: Visitor, token: str) -> None:
    await visitor.page.goto(f"{visitor.base}/console")
    await visitor.check()
    await visitor.page.fill("#token", token)
    await visitor.page.click("text=Log in >> nth=-1")
    await visitor.page.wait_for_url("**/overview")


async def test_an_operator_finds_reads_and_mends_calls(
    make_installation: Callable[..., Installation], redis_url: str, system: System, tmp_path: Path
) -> None:
    """By number to the call, its replay, a link, a preview; nothing complains on the way."""
    installation = make_installation(
        REDIS_URL=redis_url,
        CONSOLE_TOKEN=OPERATOR,
        CONSOLE_READ_TOKEN=READER,
        PUBLIC_URL="http://127.0.0.1",
        SPOOL_DIR=str(tmp_path / "spool"),
    )
    async with _served(installation) as base, _visitor(base) as visitor:
        page = visitor.page
        await _log_in(visitor, OPERATOR)
        await _find_and_read(visitor)
        await visitor.open("failed")
        await page.check(f'[value="{FAILED}"]')
        await page.click("text=Replay selected…")
        await page.click("text=Replay 1")
        await page.wait_for_selector("text=1 on their way to Buildr.")
        assert [] == await failed_ids(system)
        await visitor.open("unmatched")
        await page.fill(f'[aria-label="Buildr call of {UNMATCHED}"]', "112")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("text=The link is set")
        await visitor.open("rules")
        await page.select_option("#outcome_connected", "No Answer")
        await page.click("text=Preview")
        await page.wait_for_selector("text=What would change")
        await visitor.check()
        for name in PAGES:
            await visitor.open(name)
            await visitor.check()
        await page.emulate_media(color_scheme="dark")
        await page.set_viewport_size({"width": 390, "height": 844})
        for name in ("overview", "calls", f"call?ref={DELIVERED}"):
            await visitor.open(name)
            await visitor.check()
        assert [] == visitor.faults
    await system.run_worker(UNMATCHED)
    assert await system.outcome_in_buildr("112") == "Connected"


async def _find_and_read(visitor: Visitor) -> None:
    page = visitor.page
    await visitor.open("calls")
    # The key that leads to the search.
    await page.keyboard.press("/")
    await page.keyboard.type("(500) 555-0001")
    await page.keyboard.press("Enter")
    await page.click(f"text={DELIVERED}")
    await page.wait_for_selector("text=Buildr call 110 holds")
    await visitor.check()
    await page.click("summary >> nth=-1")
    await page.click("text=Show numbers")
    await page.wait_for_selector('dd:has-text("+15005550001")')


async def test_the_console_works_without_scripts(
    make_installation: Callable[..., Installation], redis_url: str, system: System
) -> None:
    """Every form is a plain one."""
    installation = make_installation(
        REDIS_URL=redis_url, CONSOLE_TOKEN=OPERATOR, PUBLIC_URL="http://127.0.0.1"
    )
    async with (
        _served(installation) as base,
        _visitor(base, java_script_enabled=False) as visitor,
    ):
        await visitor.page.goto(f"{base}/console")
        await visitor.page.fill("#token", OPERATOR)
        await visitor.page.click("text=Log in >> nth=-1")
        await visitor.open("failed")
        await visitor.page.check(f'[value="{FAILED}"]')
        await visitor.page.fill("#reason", "a trial")
        await visitor.page.click("text=Discard selected")
        await visitor.page.wait_for_selector("text=1 discarded.")
        assert [] == visitor.faults
    assert [] == await failed_ids(system)
