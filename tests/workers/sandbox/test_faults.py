"""
Misbehaviour on demand.
"""

import asyncio

import httpx
import pytest

from tests.workers.sandbox.live import (
    READY,
    Clock,
    inside,
    running,
    wait_until,
)
from workers.sandbox import SandboxConfig
from workers.sandbox.faults import Fault, Faults

FREE = SandboxConfig(limit_mode="off")
CALL = "/api/2023-01/calls/110"
UPDATE = {"call": {"notes": "written"}}


async def _fault(http: httpx.AsyncClient, **fault: object) -> None:
    (await http.post("/_sandbox/faults", json=fault)).raise_for_status()


async def _listed(http: httpx.AsyncClient) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = (await http.get("/_sandbox/requests")).json()["requests"]
    return entries


async def _has_arrived(http: httpx.AsyncClient) -> bool:
    return any(entry["body"] is not None for entry in await _listed(http))


async def _is_over(http: httpx.AsyncClient) -> bool:
    return all(entry["status"] is not None for entry in await _listed(http))


async def test_status_comes_as_often_as_asked_and_only_where_it_matches() -> None:
    """
    The fault hits the requests that match, as often as was asked for, changes nothing, and is then
    over.
    """
    async with inside(FREE, Clock()) as http:
        await _fault(http, kind="status", status=502, times=2, match="calls/110")
        other = await http.patch("/api/2023-01/calls/111", json=UPDATE)
        statuses = [(await http.patch(CALL, json=UPDATE)).status_code for _ in range(2)]
        stored = (await http.get("/_sandbox/calls/110")).json()["call"]
        last = await http.patch(CALL, json=UPDATE)
        listed = (await http.get("/_sandbox/requests")).json()["requests"]
    assert (200, [502, 502], None, 200) == (
        other.status_code,
        statuses,
        stored["notes"],
        last.status_code,
    )
    assert [None, "status", "status", None] == [entry["fault"] for entry in listed]


async def test_faults_come_in_the_order_in_which_they_were_asked_for() -> None:
    """Several faults follow one another; what is still to come can be seen and called off."""
    async with inside(FREE, Clock()) as http:
        await _fault(http, kind="status", status=500)
        await _fault(http, kind="garbage", times=5)
        first = await http.patch(CALL, json=UPDATE)
        second = await http.patch(CALL, json=UPDATE)
        (pending,) = (await http.get("/_sandbox/faults")).json()["faults"]
        assert 204 == (await http.delete("/_sandbox/faults")).status_code
        third = await http.patch(CALL, json=UPDATE)
    assert (500, 200, 200) == (first.status_code, second.status_code, third.status_code)
    assert ("garbage", 4) == (pending["kind"], pending["times"])
    with pytest.raises(ValueError, match="Unterminated"):
        second.json()


async def test_applied_fault_loses_only_the_answer() -> None:
    """With `is_applied` the request is carried out, and the caller cannot know."""
    async with inside(FREE, Clock()) as http:
        await _fault(http, kind="status", status=504, is_applied=True)
        answer = await http.patch(CALL, json=UPDATE)
        stored = (await http.get("/_sandbox/calls/110")).json()["call"]
    assert (504, "written") == (answer.status_code, stored["notes"])


async def test_rate_limit_on_demand_tells_the_wait() -> None:
    """
    A 429 can be had without using the budget up; its wait is a whole number of seconds, rounded up.
    """
    async with inside(FREE, Clock()) as http:
        await _fault(http, kind="rate_limit", seconds=1.2)
        answer = await http.patch(CALL, json=UPDATE)
        state = (await http.get("/_sandbox/state")).json()
    assert (429, "2", 1) == (
        answer.status_code,
        answer.headers["x-rate-limited-for"],
        state["rate_limited"],
    )


async def test_html_comes_with_any_status() -> None:
    """A page for people in place of JSON comes with 200, or with the status that was asked for."""
    async with inside(FREE, Clock()) as http:
        await _fault(http, kind="html")
        await _fault(http, kind="html", status=503)
        answers = [await http.patch(CALL, json=UPDATE) for _ in range(2)]
    assert [(200, "text/html; charset=utf-8"), (503, "text/html; charset=utf-8")] == [
        (answer.status_code, answer.headers["content-type"]) for answer in answers
    ]


async def test_revoked_token_is_good_no_more() -> None:
    """The token of the next request is revoked for good, the ready one too."""
    async with inside(FREE, Clock()) as http:
        await _fault(http, kind="revoke_token")
        assert [401, 401] == [(await http.patch(CALL, json=UPDATE)).status_code for _ in range(2)]
        assert 0 == (await http.get("/_sandbox/state")).json()["faults"]


async def test_token_requests_have_faults_of_their_own() -> None:
    """A fault that matches the token endpoint hits it, and one without a match leaves it alone."""
    grant = {
        "grant_type": "client_credentials",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
    }
    async with inside(FREE, Clock()) as http:
        await _fault(http, kind="status", status=500)
        assert 200 == (await http.post("/oauth/token", json=grant)).status_code
        await _fault(http, kind="status", status=503, match="oauth/token")
        await _fault(http, kind="slow", seconds=0, match="oauth/token")
        assert [503, 200, 200] == [
            (await http.post("/oauth/token", json=grant)).status_code for _ in range(3)
        ]


async def test_connection_is_cut_in_the_middle_of_an_answer() -> None:
    """
    A reset cuts the connection off while the answer is on its way, and the next request goes
    through.
    """
    async with running(FREE) as url, httpx.AsyncClient(base_url=url, headers=READY) as http:
        await _fault(http, kind="reset")
        with pytest.raises(httpx.RemoteProtocolError):
            await http.patch(CALL, json=UPDATE)
        assert 200 == (await http.patch(CALL, json=UPDATE)).status_code


async def test_request_that_is_never_answered_ends_when_the_client_hangs_up() -> None:
    """
    A timeout keeps the client waiting until it hangs up; nothing is applied, and the sandbox is
    free at once.
    """
    async with running(FREE) as url, httpx.AsyncClient(base_url=url, headers=READY) as http:
        await _fault(http, kind="timeout", seconds=600)
        with pytest.raises(httpx.ReadTimeout):
            await http.patch(CALL, json=UPDATE, timeout=0.2)
        await wait_until(lambda: _is_over(http))
        assert (await http.get("/_sandbox/calls/110")).json()["call"]["notes"] is None


async def test_timeout_that_runs_out_is_a_504() -> None:
    """A client more patient than the fault gets a 504."""
    async with running(FREE) as url, httpx.AsyncClient(base_url=url, headers=READY) as http:
        await _fault(http, kind="timeout", seconds=0.05)
        assert 504 == (await http.patch(CALL, json=UPDATE)).status_code


async def test_slow_request_is_applied_late() -> None:
    """A slow request is in the list while it waits, and is then carried out as if nothing were."""
    async with running(FREE) as url, httpx.AsyncClient(base_url=url, headers=READY) as http:
        await _fault(http, kind="slow", seconds=0.3)
        patching = asyncio.create_task(http.patch(CALL, json=UPDATE))
        await wait_until(lambda: _has_arrived(http))
        listed = await _listed(http)
        assert (None, UPDATE) == (listed[0]["status"], listed[0]["body"])
        assert "written" == (await patching).json()["call"]["notes"]


def test_used_up_fault_makes_room_for_the_next() -> None:
    """A fault in the middle of the list that is used up goes, and the others stay in order."""
    faults = Faults()
    for match in ("a", "b", "c"):
        faults.add(Fault(kind="status", match=match))
    assert faults.take("/b", is_before_login=False) is not None
    assert ["a", "c"] == [fault.match for fault in faults.pending]


async def test_late_write_is_carried_out_after_the_connection_was_cut() -> None:
    """The client gets no answer, and the write happens later, over what was written meanwhile."""
    async with running(FREE) as url, httpx.AsyncClient(base_url=url, headers=READY) as http:
        await _fault(http, kind="late", seconds=0.2)
        with pytest.raises(httpx.RemoteProtocolError):
            await http.patch(CALL, json={"call": {"call_outcome_id": "786"}})
        await http.patch(CALL, json={"call": {"call_outcome_id": "787"}})

        async def is_late() -> bool:
            call = (await http.get("/_sandbox/calls/110")).json()["call"]
            return bool(call["call_outcome"]["id"] == "786")

        await wait_until(is_late)


async def test_write_that_is_not_taken_is_answered_200() -> None:
    """The answer shows the call as it is."""
    async with inside(FREE, Clock()) as http:
        await _fault(http, kind="not_taken")
        answer = await http.patch(CALL, json={"call": {"call_outcome_id": "786"}})
    assert (200, None) == (answer.status_code, answer.json()["call"]["call_outcome"])
