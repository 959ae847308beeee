"""
The console in a real browser: a call is looked for, read, replayed, linked; a map is previewed.

`make browser` runs it.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from service.settings import Installation
from service.settings.reading import TomlFile
from tests.doubles.browser import NARROW, PICTURES, WIDE, Visitor, served, visitor
from tests.fundamentals.system import System
from tests.workers.console.harness import DELIVERED, FAILED, OPERATOR, READER, UNMATCHED, failed_ids
from tests.workers.console.week import seed_week, show_worker
from workers.console.app import Console
from workers.console.parts import PAGES as MENU

HOME: Final = "/console/default"
PAGES: Final = tuple(name for name, _ in MENU)

pytestmark = pytest.mark.slow


@asynccontextmanager
async def _served(installation: Installation) -> AsyncIterator[str]:
    console = Console.of(installation)
    async with served(installation, console.routes(), console.close) as base:
        yield base


async def _log_in(guest: Visitor, token: str) -> None:
    await guest.page.goto(f"{guest.base}/console")
    await guest.check()
    await guest.page.fill("#token", token)
    await guest.page.click("text=Log in >> nth=-1")
    await guest.page.wait_for_url("**/overview")


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
    async with _served(installation) as base, visitor(base) as guest:
        page = guest.page
        await _log_in(guest, OPERATOR)
        await _find_and_read(guest)
        await guest.open(f"{HOME}/failed")
        await page.check(f'[value="{FAILED}"]')
        await page.click("text=Replay selected…")
        await page.click("text=Replay 1")
        await page.wait_for_selector("text=1 on their way to Buildr.")
        assert [] == await failed_ids(system)
        await guest.open(f"{HOME}/unmatched")
        await page.fill(f'[aria-label="Buildr call of {UNMATCHED}"]', "112")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("text=The link is set")
        await guest.open(f"{HOME}/rules")
        await page.select_option("#outcome_connected", "No Answer")
        await page.click("text=Preview")
        await page.wait_for_selector("text=What would change")
        await guest.check()
        await _check_all_pages(guest)
        assert [] == guest.faults
    await system.run_worker(UNMATCHED)
    assert await system.outcome_in_buildr("112") == "Connected"


async def _check_all_pages(guest: Visitor) -> None:
    """Every page, wide and light, and narrow and dark."""
    paths = {name: name for name in PAGES}
    paths["call"] = f"call?ref={FAILED}"
    for suffix, size, scheme in (("-wide", WIDE, "light"), ("-narrow", NARROW, "dark")):
        await guest.page.emulate_media(color_scheme=scheme)
        await guest.page.set_viewport_size(size)
        for name, path in paths.items():
            await guest.open(f"{HOME}/{path}")
            await guest.check()
            await guest.take_picture(f"console-{name}{suffix}")


async def _find_and_read(guest: Visitor) -> None:
    page = guest.page
    await guest.open(f"{HOME}/calls")
    # The key that leads to the search.
    await page.keyboard.press("/")
    await page.keyboard.type("(500) 555-0001")
    await page.keyboard.press("Enter")
    await page.click(f"text={DELIVERED}")
    await page.wait_for_selector("text=Buildr call 110 holds")
    await guest.check()
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
        visitor(base, java_script_enabled=False) as guest,
    ):
        await guest.page.goto(f"{base}/console")
        await guest.page.fill("#token", OPERATOR)
        await guest.page.click("text=Log in >> nth=-1")
        await guest.open(f"{HOME}/failed")
        await guest.page.check(f'[value="{FAILED}"]')
        await guest.page.fill("#reason", "a trial")
        await guest.page.click("text=Discard selected")
        await guest.page.wait_for_selector("text=1 discarded.")
        assert [] == guest.faults
    assert [] == await failed_ids(system)


@pytest.mark.skipif(
    PICTURES is None, reason="takes the pictures of the docs: PICTURES=docs/pictures"
)
async def test_pictures_of_the_docs(
    make_installation: Callable[..., Installation], redis_url: str, system: System, tmp_path: Path
) -> None:
    """A week of calls, one that Buildr refused, and a changed map."""
    await seed_week(system)
    installation = make_installation(
        REDIS_URL=redis_url,
        CONSOLE_TOKEN=OPERATOR,
        PUBLIC_URL="http://127.0.0.1",
        SPOOL_DIR=str(tmp_path / "spool"),
    )
    file = TomlFile(Path("/etc/buildr-calls/buildr-calls.toml"), "")
    with_file = replace(installation, toml_file=file)
    async with _served(with_file) as base, visitor(base) as guest:
        await _log_in(guest, OPERATOR)
        await show_worker(system)
        await guest.open(f"{HOME}/overview")
        await guest.take_picture("console-overview", is_for_docs=True)
        await show_worker(system)
        await guest.open(f"{HOME}/call?ref={FAILED}")
        await guest.take_picture("console-call", is_for_docs=True)
        await guest.open(f"{HOME}/rules")
        await guest.page.select_option("#outcome_busy", "No Answer")
        rule = (
            '[[rules]]\nname = "Short talks"\nwhen = { talk_below_s = 20 }\noutcome = "No Answer"'
        )
        await guest.page.fill("#rules", rule)
        await guest.page.click("text=Preview")
        await guest.page.wait_for_selector("text=What would change")
        await guest.take_picture("console-rules", is_for_docs=True)
        assert [] == guest.faults
