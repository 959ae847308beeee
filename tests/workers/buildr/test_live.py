"""
The client against the sandbox, over a real server on this machine.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from service.errors import (
    BuildrRateLimited,
    BuildrRejected,
    BuildrUnauthorized,
    BuildrUnavailable,
)
from service.settings import Settings
from tests.workers.buildr.stand_in import MemoryTokens
from tests.workers.sandbox.live import running
from workers.buildr import BuildrClient, token_provider
from workers.sandbox import SandboxConfig
from workers.sandbox.records import OUTCOMES

MakeSettings = Callable[..., Settings]
BODY = {"call": {"call_outcome_id": "786", "notes": "Spoke to the decision maker"}}
FREE = SandboxConfig(limit_mode="off")


@dataclass
class Sandbox:
    """A client, and the sandbox that it speaks to."""

    client: BuildrClient
    http: httpx.AsyncClient

    async def fault(self, **fault: object) -> None:
        """Let it misbehave."""
        (await self.http.post("/_sandbox/faults", json=fault)).raise_for_status()


@asynccontextmanager
async def _against(
    make_settings: MakeSettings, config: SandboxConfig, **settings: str
) -> AsyncIterator[Sandbox]:
    async with running(config) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        values = {
            "BUILDR_API_URL": f"{url}/api/2023-01",
            "BUILDR_TOKEN_URL": f"{url}/oauth/token",
            "BUILDR_ACCESS_TOKEN": "",
            "BUILDR_CLIENT_ID": "sandbox-client",
            "BUILDR_CLIENT_SECRET": "sandbox-secret",
        }
        made = make_settings(**values, **settings)
        async with BuildrClient(made, tokens=token_provider(made, MemoryTokens())) as client:
            yield Sandbox(client, http)


async def test_call_is_updated(make_settings: MakeSettings) -> None:
    """With client credentials a call gets its outcome, and the answer shows it."""
    async with _against(make_settings, FREE) as sandbox:
        call = await sandbox.client.update_call("110", BODY)
        listed = (await sandbox.http.get("/_sandbox/requests")).json()["requests"]
    assert ("110", "Spoke to the decision maker") == (call.id, call.notes)
    assert ("786", "Connected") == (
        (call.call_outcome.id, call.call_outcome.name) if call.call_outcome else None
    )
    assert [("POST", "/oauth/token"), ("PATCH", "/api/2023-01/calls/110")] == [
        (item["method"], item["path"]) for item in listed
    ]
    assert BODY == listed[1]["body"]


@pytest.mark.parametrize("is_beta", [False, True])
async def test_outcomes_are_read(make_settings: MakeSettings, *, is_beta: bool) -> None:
    """The account's outcomes come back in both forms of the API."""
    async with _against(make_settings, SandboxConfig(is_beta=is_beta)) as sandbox:
        outcomes, _ = await sandbox.client.call_outcomes_page()
    assert dict(OUTCOMES) == {outcome.id: outcome.name for outcome in outcomes}


async def test_small_pages_are_followed(make_settings: MakeSettings) -> None:
    """A list in several pages is followed to its end."""
    async with _against(make_settings, FREE) as sandbox:
        first, following = await sandbox.client.call_outcomes_page(
            str(sandbox.http.base_url.join("/api/2023-01/call_outcomes?per_page=4"))
        )
        assert following is not None
        second, end = await sandbox.client.call_outcomes_page(following)
    assert (4, 3, None) == (len(first), len(second), end)


async def test_every_refusal_is_the_right_error(make_settings: MakeSettings) -> None:
    """Unknown call, unknown outcome, over the limit: each is the error that says what to do."""
    async with _against(make_settings, SandboxConfig()) as sandbox:
        with pytest.raises(BuildrRejected) as unknown:
            await sandbox.client.update_call("999", BODY)
        with pytest.raises(BuildrRejected) as wrong:
            await sandbox.client.update_call("110", {"call": {"call_outcome_id": "1"}})
        for _ in range(8):
            await sandbox.client.update_call("110", BODY)
        with pytest.raises(BuildrRateLimited) as limited:
            await sandbox.client.update_call("110", BODY)
    assert (404, 422) == (unknown.value.status_code, wrong.value.status_code)
    assert "there is no call outcome 1" in str(wrong.value.answer)
    assert limited.value.retry_after_s is not None
    assert 1 <= limited.value.retry_after_s <= 10


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "garbage"},
        {"kind": "html"},
        {"kind": "reset"},
        {"kind": "timeout"},
    ],
)
async def test_every_fault_passes(make_settings: MakeSettings, fault: dict[str, object]) -> None:
    """
    A fault of the server or the network is `BuildrUnavailable`, and the next request goes through.
    """
    # Only the fault that hangs is ended by the limit, which a busy machine must not reach before.
    timeout_s = "2" if fault["kind"] == "timeout" else "8"
    async with _against(make_settings, FREE, BUILDR_TIMEOUT_S=timeout_s) as sandbox:
        await sandbox.client.update_call("111", BODY)
        await sandbox.fault(**fault)
        with pytest.raises(BuildrUnavailable):
            await sandbox.client.update_call("110", BODY)
        assert "110" == (await sandbox.client.update_call("110", BODY)).id


async def test_reported_wait_comes_through(make_settings: MakeSettings) -> None:
    """The seconds of a 429 arrive as they were reported."""
    async with _against(make_settings, FREE) as sandbox:
        await sandbox.fault(kind="rate_limit", seconds=7)
        with pytest.raises(BuildrRateLimited) as caught:
            await sandbox.client.update_call("110", BODY)
    assert 7 == caught.value.retry_after_s


async def test_revoked_token_is_replaced_by_the_next_request(make_settings: MakeSettings) -> None:
    """A 401 is raised once; the request after it buys a new token and goes through."""
    async with _against(make_settings, FREE) as sandbox:
        await sandbox.client.update_call("110", BODY)
        await sandbox.fault(kind="revoke_token")
        with pytest.raises(BuildrUnauthorized):
            await sandbox.client.update_call("110", BODY)
        assert "110" == (await sandbox.client.update_call("110", BODY)).id
        listed = (await sandbox.http.get("/_sandbox/requests")).json()["requests"]
    assert [200, 200, 401, 200, 200] == [item["status"] for item in listed]


async def test_wrong_credentials_say_which_settings_to_look_at(make_settings: MakeSettings) -> None:
    """Credentials that Buildr does not know are reported by the names of their settings."""
    async with _against(make_settings, SandboxConfig(client_secret="another")) as sandbox:
        with pytest.raises(BuildrUnauthorized, match="BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET"):
            await sandbox.client.update_call("110", BODY)


async def test_proxy_of_the_machine_is_not_asked_for_the_way_to_itself(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A proxy that the environment names does not stand between the client and a server on the same
    machine.
    """
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with _against(make_settings, FREE) as sandbox:
        assert "110" == (await sandbox.client.update_call("110", BODY)).id
