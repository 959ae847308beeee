"""
phonebook sync: Buildr's contacts in the phone book, from a sandbox that listens.
"""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from tests.workers.cli.conftest import Run
from tests.workers.sandbox.live import running
from workers.sandbox import SandboxConfig


@pytest.fixture(params=[False, True], ids=["2023-01", "beta"])
async def sandbox_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A sandbox in both forms of the API."""
    # Its log lines have no place in what a command prints.
    with capture_logs():
        async with running(SandboxConfig(limit_mode="off", is_beta=request.param)) as url:
            yield url


async def status_of(run: Run, url: str) -> dict[str, object]:
    """What `phonebook status` prints."""
    status: dict[str, object] = json.loads(await invoke(run, url, "phonebook", "status", "--json"))
    return status


async def invoke(run: Run, url: str, *arguments: str, code: int = 0, **more: str) -> str:
    """Run a command against the sandbox; what it printed."""
    environment = {
        "BUILDR_API_URL": f"{url}/api/2023-01",
        "BUILDR_ACCESS_TOKEN": "sandbox-token",
        "BUILDR_BUDGETS": "1000/1s",
    }
    result = await asyncio.to_thread(run, *arguments, code=code, **environment, **more)
    return str(result.stdout if code == 0 else result.stderr)


async def test_contacts_are_read(run: Run, sandbox_url: str) -> None:
    """The sandbox's contacts are found by their numbers; what is no number is counted."""
    report = json.loads(await invoke(run, sandbox_url, "phonebook", "sync", "--json"))
    assert {
        "is_dry_run": False,
        "is_resumed": False,
        "contacts": 5,
        "entries": 5,
        "unreadable": 1,
        "removed": 0,
    } == report
    shown = json.loads(
        await invoke(run, sandbox_url, "phonebook", "show", "500 555 0200", "--json")
    )
    assert ["419", "422"] == [person["contact_id"] for person in shown["people"]]
    assert {"company_id": "102"} == shown["sent"]
    status = await status_of(run, sandbox_url)
    assert (4, 1, 5, None) == (
        status["numbers"],
        status["shared_numbers"],
        status["synchronised_entries"],
        status["unfinished_sync"],
    )
    text = await invoke(run, sandbox_url, "phonebook", "sync", "--restart")
    assert (
        "synchronised: 5 contacts with 5 numbers; numbers that could not be read: 1; removed: 0\n"
    ) == text


async def test_dry_run_reads_one_page(run: Run, sandbox_url: str) -> None:
    """Nothing is written, and another run may begin at once."""
    text = await invoke(run, sandbox_url, "phonebook", "sync", "--dry-run")
    assert text.startswith("would read, on the first page: 5 contacts with 5 numbers")
    report = json.loads(await invoke(run, sandbox_url, "phonebook", "sync", "--dry-run", "--json"))
    assert (True, None) == (report["is_dry_run"], report["removed"])
    assert 0 == (await status_of(run, sandbox_url))["numbers"]


async def test_wrong_settings_are_named(run: Run, sandbox_url: str) -> None:
    """A path that is not there says where to look, and fields of other names give a warning."""
    stderr = await invoke(
        run, sandbox_url, "phonebook", "sync", code=1, BUILDR_CONTACTS_PATH="people"
    )
    assert "buildr-calls: Buildr answered 404: " in stderr
    assert "BUILDR_CONTACTS_PATH" in stderr
    text = await invoke(
        run, sandbox_url, "phonebook", "sync", "--dry-run", BUILDR_CONTACT_PHONES="phone"
    )
    assert "5 contacts with 0 numbers" in text


async def test_outage_is_reported(run: Run) -> None:
    """Where Buildr is away the command ends, and says that the next run goes on."""
    stderr = await invoke(run, "http://127.0.0.1:9", "phonebook", "sync", code=1)
    assert "the next run goes on where this one ended" in stderr
