"""
Looking into the sandbox and changing what it holds.
"""

import json

import pytest

from tests.workers.sandbox.live import Clock, inside
from workers.sandbox import SandboxConfig
from workers.sandbox.request_log import RequestLog

FREE = SandboxConfig(limit_mode="off")
CALL = "/api/2023-01/calls/110"


async def test_requests_are_listed_in_order() -> None:
    """
    Every request to Buildr's side is listed with time, body and answer; looking at the list is not.
    """
    clock = Clock()
    async with inside(FREE, clock) as http:
        await http.patch(CALL, json={"call": {"notes": "a"}})
        clock.forward(0.25)
        await http.get("/api/2023-01/call_outcomes?page=1")
        listed = (await http.get("/_sandbox/requests")).json()["requests"]
        since = (await http.get("/_sandbox/requests?after=1")).json()["requests"]
    first, second = listed
    assert {
        "id": 1,
        "at": "2027-01-15T08:00:00.000000Z",
        "method": "PATCH",
        "path": CALL,
        "query": "",
        "body": {"call": {"notes": "a"}},
        "status": 200,
        "rate_limited": False,
        "fault": None,
    } == first
    assert ("2027-01-15T08:00:00.250000Z", "page=1", None) == (
        second["at"],
        second["query"],
        second["body"],
    )
    assert [second] == since


async def test_requests_are_forgotten_on_demand() -> None:
    """Deleting the requests empties list and counts; numbers go on, and so does the rate limit."""
    async with inside(SandboxConfig(), Clock()) as http:
        for _ in range(10):
            await http.patch(CALL, json={"call": {}})
        assert 204 == (await http.delete("/_sandbox/requests")).status_code
        state = (await http.get("/_sandbox/state")).json()
        assert (0, {}, 0) == (
            state["requests"],
            state["by_status"],
            state["most_in_a_window"][0]["most"],
        )
        assert 429 == (await http.patch(CALL, json={"call": {}})).status_code
        assert [11] == [
            item["id"] for item in (await http.get("/_sandbox/requests")).json()["requests"]
        ]


def test_only_the_last_requests_are_kept_whole() -> None:
    """Beyond the bound the oldest requests go, and the counts go on."""
    log = RequestLog((), most=3)
    for number in range(5):
        log.end(log.begin("PATCH", "/x", query="", now_ns=number), 200)
    assert ([3, 4, 5], 5) == ([entry.id for entry in log.entries], log.statuses["200"])


async def test_long_bodies_are_only_measured() -> None:
    """A long body is not kept, so that many of them fit."""
    async with inside(FREE, Clock()) as http:
        content = json.dumps({"call": {"notes": "x" * 20_000}})
        await http.patch(CALL, content=content, headers={"Content-Type": "application/json"})
        (entry,) = (await http.get("/_sandbox/requests")).json()["requests"]
    assert {"bytes": len(content)} == entry["body"]


async def test_person_edits_and_makes_calls() -> None:
    """
    A PUT changes the fields that it names, null included, and makes a call that does not exist.
    """
    async with inside(FREE, Clock()) as http:
        edited = await http.put(
            "/_sandbox/calls/110", json={"notes": "Typed by a person", "company_id": None}
        )
        made = await http.put("/_sandbox/calls/4711", json={"call_outcome_id": "786"})
        wrong = await http.put("/_sandbox/calls/110", json={"call_outcome_id": "1"})
        patched = await http.patch("/api/2023-01/calls/4711", json={"call": {"notes": "b"}})
    assert ("Typed by a person", None) == (
        edited.json()["call"]["notes"],
        edited.json()["call"]["company"],
    )
    assert (200, 201, 422, 200) == (
        edited.status_code,
        made.status_code,
        wrong.status_code,
        patched.status_code,
    )
    assert "Connected" == patched.json()["call"]["call_outcome"]["name"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/_sandbox/calls/1", b"", 404),
        ("PUT", "/_sandbox/calls/abc", b"{}", 422),
        ("PUT", "/_sandbox/calls/110", b"[]", 422),
        ("PUT", "/_sandbox/calls/110", b"{", 400),
        ("GET", "/_sandbox/requests?after=x", b"", 422),
        ("POST", "/_sandbox/faults", b'{"kind": "flood"}', 422),
        ("POST", "/_sandbox/faults", b'{"kind": "status", "times": 0}', 422),
        ("POST", "/_sandbox/faults", b"", 400),
    ],
)
async def test_wrong_options_are_refused_with_the_reason(
    method: str, path: str, content: bytes, status: int
) -> None:
    """A option that makes no sense is answered 4xx and says why."""
    async with inside(FREE, Clock()) as http:
        answer = await http.request(method, path, content=content)
    assert status == answer.status_code
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("192.0.2.7", 403),
        ("testclient", 403),
    ],
)
async def test_only_this_machine_may_look_inside(peer: str, status: int) -> None:
    """Peers that are not on this machine get nothing but Buildr's own routes."""
    async with inside(FREE, Clock(), peer=peer) as http:
        assert status == (await http.get("/_sandbox/state")).status_code
        assert 200 == (await http.patch(CALL, json={"call": {}})).status_code
