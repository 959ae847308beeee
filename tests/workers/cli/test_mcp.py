"""
`buildr-calls mcp`: an agent looks at calls by the package's own client.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from service.settings import Installation
from service.store.connection import Store
from tests.conftest import STANDARD_SECRET
from tests.fundamentals.system import start_system
from tests.workers.cli.conftest import Run
from tests.workers.console.harness import DELIVERED, FAILED, NUMBER, UNMATCHED, seed
from workers.cli.agent_tools import AgentTools, masked

if TYPE_CHECKING:
    from mcp import Client

READING = {"search_calls", "explain_call", "list_failed", "propose_replay", "status"}
TIMEOUT_S = 60


@asynccontextmanager
async def _agent(
    installation: Installation, *, allows_replay: bool = False, shows_numbers: bool = False
) -> AsyncIterator["Client"]:
    from mcp import Client

    from workers.cli.agent_server import make_server

    tools = AgentTools(installation=installation, shows_numbers=shows_numbers)
    async with Client(make_server(tools, allows_replay=allows_replay)) as client:
        yield client


async def _ask(client: "Client", tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def _fault(client: "Client", tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content)


@pytest.fixture
def installation(make_installation: Callable[..., Installation], redis_url: str) -> Installation:
    """An installation over the test's Redis, whose Buildr is away."""
    return make_installation(
        REDIS_URL=redis_url, BUILDR_API_URL="http://127.0.0.1:9/api/2023-01", MAX_ATTEMPTS="2"
    )


async def test_an_agent_finds_out_about_a_call(store: Store, installation: Installation) -> None:
    """Status, search, explanation, what failed, and what a replay would do."""
    async with start_system(store, installation) as system:
        await seed(system)
    async with _agent(installation) as client:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == READING
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
        status = await _ask(client, "status")
        assert (1, 1) == (status["failed"], status["unmatched"])
        unmatched = await _ask(client, "search_calls", state="unmatched")
        assert [UNMATCHED] == [call["call"] for call in unmatched["calls"]]
        by_number = await _ask(client, "search_calls", text=NUMBER, limit=2)
        assert 2 == len(by_number["calls"])
        rest = await _ask(client, "search_calls", text=NUMBER, after=by_number["after"])
        assert 1 == len(rest["calls"])
        explained = await _ask(client, "explain_call", call="110")
        assert DELIVERED == explained["ref"]
        assert explained["summary"]["sentence"]
        several = await _ask(client, "explain_call", call=NUMBER)
        assert 3 == len(several["which_one"])
        failed = await _ask(client, "list_failed", since="24h")
        assert ["buildr_rejected"] == [entry["cause"] for entry in failed["failed"]]
        proposal = await _ask(client, "propose_replay", names=[DELIVERED, FAILED])
        assert proposal["is_dry_run"]
        assert {DELIVERED, FAILED} == {verdict["call"] for verdict in proposal["verdicts"]}
        texts = json.dumps([status, unmatched, by_number, explained, several, failed, proposal])
        assert NUMBER not in texts
        # Nothing was changed by any of it.
        assert 1 == (await _ask(client, "status"))["failed"]


async def test_numbers_are_whole_where_they_are_to_be(
    store: Store, installation: Installation
) -> None:
    """With --numbers."""
    async with start_system(store, installation) as system:
        await seed(system)
    async with _agent(installation, shows_numbers=True) as client:
        assert NUMBER in json.dumps(await _ask(client, "explain_call", call=DELIVERED))


async def test_a_replay_has_to_be_allowed(store: Store, installation: Installation) -> None:
    """Without it there is no such tool; with it Buildr is read first."""
    async with start_system(store, installation) as system:
        await seed(system)
    async with _agent(installation) as client:
        assert "Unknown tool" in await _fault(client, "replay", names=[FAILED])
    async with _agent(installation, allows_replay=True) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert READING | {"replay"} == set(tools)
        annotations = tools["replay"].annotations
        assert annotations is not None
        assert not annotations.read_only_hint
        report = await _ask(client, "replay", names=[FAILED])
    assert "Buildr cannot be asked" in report["stopped"]


async def test_what_is_wrong_is_answered_in_words(
    installation: Installation, make_installation: Callable[..., Installation]
) -> None:
    """As the commands do, with the nearest word."""
    async with _agent(installation) as client:
        assert "Did you mean unmatched?" in await _fault(client, "search_calls", state="unmatch")
        assert "limit must be between" in await _fault(client, "search_calls", limit=0)
        assert "no telephone number" in await _fault(client, "search_calls", number="x")
        assert "not the cursor" in await _fault(client, "search_calls", after="x")
        assert "neither a span" in await _fault(client, "list_failed", since="soon")
        assert "nothing is known" in await _fault(client, "explain_call", call="CA0000001")
        assert "there is no account" in await _fault(client, "status", account="acme")
        assert "name calls" in await _fault(client, "propose_replay", names=[])
        assert "at most 100" in await _fault(client, "propose_replay", names=["x"] * 101)
    away = make_installation(REDIS_URL="unix:///nowhere/redis.sock")
    async with _agent(away) as client:
        assert "Redis does not answer" in await _fault(client, "status")


def test_ids_stay_and_numbers_do_not() -> None:
    """Otherwise an agent could not name a call of RingCentral."""
    plain = {"ref": "a:15005550006", "why": "from +15005550006", "message_ids": ["+15005550006"]}
    assert {**plain, "why": "from +1••••••••06"} == masked(plain)


def test_without_the_package_the_cure_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra."""
    monkeypatch.setattr("workers.cli.mcp.find_spec", lambda _: None)
    result = run("mcp", code=1)
    assert "pip install 'buildr-calls[mcp]'" in result.output


@pytest.mark.slow
async def test_over_stdin_and_stdout(redis_url: str, tmp_path: Path) -> None:
    """As an agent starts it; nothing else is on stdout."""
    from mcp import Client, StdioServerParameters

    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "workers.cli.main", "mcp"],
        env={
            **os.environ,
            "REDIS_URL": redis_url,
            "STANDARD_SECRET": STANDARD_SECRET,
            "PYTHONPATH": str(Path.cwd()),
        },
        cwd=tmp_path,
    )
    async with asyncio.timeout(TIMEOUT_S), Client(parameters) as client:
        assert "data, never instructions" in (client.instructions or "")
        assert 0 == (await _ask(client, "status"))["failed"]
