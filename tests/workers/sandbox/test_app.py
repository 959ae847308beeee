"""
Buildr's own routes as the sandbox simulates them, held to the published reference.
"""

import json
from pathlib import Path
from typing import Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings import Budget
from service.settings.outcomes import DEFAULT_OUTCOMES
from tests.workers.sandbox.live import READY, Clock, inside
from workers.sandbox import SandboxConfig
from workers.sandbox.records import OUTCOMES, outcomes_with

CONTRACT: Final = Path(__file__).parent.parent / "buildr" / "contract"
REQUEST: Final = json.loads((CONTRACT / "update_call.request.json").read_text(encoding="utf-8"))
RESPONSE: Final = json.loads((CONTRACT / "update_call.response.json").read_text(encoding="utf-8"))
CALL: Final = "/api/2023-01/calls/110"
LIST: Final = "/api/2023-01/call_outcomes"
FREE: Final = SandboxConfig(limit_mode="off")
CREDENTIALS: Final = {
    "grant_type": "client_credentials",
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "scope": "read write",
}


def _shape(value: object) -> object:
    return (
        {key: _shape(inner) for key, inner in value.items()}
        if isinstance(value, dict)
        else type(value)
    )


async def test_update_answers_in_the_shape_of_the_contract() -> None:
    """
    The published example request is taken, and its answer has the published answer's keys and types
    at every level.
    """
    async with inside(FREE, Clock()) as http:
        answer = await http.patch(CALL, json=REQUEST)
    assert 200 == answer.status_code
    assert _shape(RESPONSE) == _shape(answer.json())
    call = answer.json()["call"]
    sent = REQUEST["call"]
    assert (sent["notes"], sent["recorded_at"]) == (call["notes"], call["recorded_at"])
    names = ("call_outcome", "company", "contact", "project")
    assert [sent[f"{name}_id"] for name in names] == [call[name]["id"] for name in names]


@pytest.mark.parametrize("is_beta", [False, True])
async def test_contacts_are_listed_and_shown(*, is_beta: bool) -> None:
    """Contacts have the fields of a contact's update, alone and in the list."""
    async with inside(SandboxConfig(limit_mode="off", is_beta=is_beta), Clock()) as http:
        page = await http.get("/api/2023-01/contacts?per_page=2")
        one = await http.get("/api/2023-01/contacts/418")
        missing = await http.get("/api/2023-01/contacts/1")
    contacts = page.json()["items" if is_beta else "contacts"]
    assert (2, True, 404) == (
        len(contacts),
        'rel="next"' in page.headers["link"],
        missing.status_code,
    )
    assert contacts[0] == one.json()["item" if is_beta else "contact"]
    assert ("500-555-0100 x301", "101") == (
        contacts[0]["office_phone"],
        contacts[0]["company"]["id"],
    )


async def test_call_110_is_filed_as_in_the_published_example() -> None:
    """
    Call 110 has the example's company, contact and project before anything is written, and no
    outcome and notes yet.
    """
    async with inside(FREE, Clock()) as http:
        call = (await http.patch(CALL, json={"call": {}})).json()["call"]
    for name in ("company", "contact", "created_by", "project"):
        assert RESPONSE["call"][name]["id"] == call[name]["id"]
    assert (None, None) == (call["call_outcome"], call["notes"])


async def test_update_changes_only_what_is_given() -> None:
    """
    A field that is not sent stays, and so does the time of the last update when nothing is sent.
    """
    clock = Clock()
    async with inside(FREE, clock) as http:
        first = (
            await http.patch(CALL, json={"call": {"notes": "Spoke to the decision maker"}})
        ).json()["call"]
        clock.forward(60)
        same = (await http.patch(CALL, json={"call": {}})).json()["call"]
        other = (await http.patch(CALL, json={"call": {"call_outcome_id": "789"}})).json()["call"]
    assert first == same
    assert ("Spoke to the decision maker", "No Answer") == (
        other["notes"],
        other["call_outcome"]["name"],
    )
    assert other["updated_at"] > first["updated_at"]
    changed = {"call_outcome", "updated_at"}
    assert {key: value for key, value in first.items() if key not in changed} == {
        key: value for key, value in other.items() if key not in changed
    }


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"call_outcome_id": "1"}, 422),
        ({"call_outcome_id": 786}, 422),
        ({"company_id": "12a"}, 422),
        ({"contact_id": None}, 422),
        ({"notes": 5}, 422),
        ({"notes": "\ud800"}, 422),
        ({"outcome": "786"}, 422),
        ({"\ud800": "786"}, 422),
        ({"recorded_at": "2023-07-28T12:00:00+02:00"}, 422),
        ({"recorded_at": "2023-02-30T12:00:00Z"}, 422),
        ({"recorded_at": "yesterday"}, 422),
        ({"recorded_at": "2023-07-28T12:00:00.123Z"}, 200),
        ({"notes": ""}, 200),
    ],
)
async def test_fields_are_held_to_the_contract(fields: dict[str, object], status: int) -> None:
    """
    What the reference does not list is refused with 422, and nothing of such a request is applied.
    """
    async with inside(FREE, Clock()) as http:
        before = (await http.get("/_sandbox/calls/110")).json()
        answer = await http.patch(
            CALL, content=json.dumps({"call": fields}), headers={"Content-Type": "application/json"}
        )
        after = (await http.get("/_sandbox/calls/110")).json()
        listed = await http.get("/_sandbox/requests")
    assert (status, 200) == (answer.status_code, listed.status_code)
    if status != 200:
        assert answer.json()["errors"]
        assert before == after


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b'{"call": {}}', "text/plain", 415),
        (b'{"call": {', "application/json", 400),
        (b'{"call": []}', "application/json", 400),
        (b'{"call": {}, "more": 1}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"NaN", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'"' + b"x" * 1024 * 1024 + b'"', "application/json", 413),
        (b'{"call": {}}', "application/json; charset=utf-8", 200),
    ],
)
async def test_body_of_another_form_is_refused(
    content: bytes, content_type: str, status: int
) -> None:
    """
    A body that is no JSON of the documented form is answered 4xx with what is wrong, and is listed
    all the same.
    """
    async with inside(FREE, Clock()) as http:
        answer = await http.patch(CALL, content=content, headers={"Content-Type": content_type})
        listed = (await http.get("/_sandbox/requests")).json()["requests"]
    assert (status, status) == (answer.status_code, listed[0]["status"])


async def test_unknown_call_is_404_unless_calls_are_made_on_the_way() -> None:
    """An unknown call is a 404; with `auto_create` the PATCH makes it, but not if it is refused."""
    async with inside(FREE, Clock()) as http:
        assert (
            404
            == (
                await http.patch("/api/2023-01/calls/999", json={"call": {"notes": "x"}})
            ).status_code
        )
    async with inside(SandboxConfig(limit_mode="off", auto_create=True), Clock()) as http:
        assert (
            422
            == (await http.patch("/api/2023-01/calls/999", json={"call": {"notes": 1}})).status_code
        )
        assert 404 == (await http.get("/_sandbox/calls/999")).status_code
        assert (
            200
            == (
                await http.patch("/api/2023-01/calls/999", json={"call": {"notes": "x"}})
            ).status_code
        )
        assert 404 == (await http.patch("/api/2023-01/calls/abc", json={"call": {}})).status_code


async def test_unknown_paths_and_methods_are_404() -> None:
    """What the reference does not list does not exist: no GET of a call, no other path."""
    async with inside(FREE, Clock()) as http:
        assert [404, 404, 404] == [
            (await http.get(path)).status_code for path in (CALL, "/api/beta/calls/110", "/")
        ]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic sandbox-token"},
        {"Authorization": "Bearer "},
    ],
)
async def test_request_without_a_good_token_is_401(headers: dict[str, str]) -> None:
    """Nobody gets in without a token that was given out, and such a request costs no budget."""
    async with inside(SandboxConfig(), Clock(), headers=headers) as http:
        assert [401] * 15 == [
            (await http.patch(CALL, json={"call": {}})).status_code for _ in range(15)
        ]


@pytest.mark.parametrize("is_form", [False, True])
async def test_client_credentials_buy_a_token_until_it_expires(*, is_form: bool) -> None:
    """The credentials buy a token that is let in for as long as the answer says."""
    clock = Clock()
    async with inside(SandboxConfig(limit_mode="off", token_life_s=100), clock, headers={}) as http:
        answer = await (
            http.post("/oauth/token", data=CREDENTIALS)
            if is_form
            else http.post("/oauth/token", json=CREDENTIALS)
        )
        granted = answer.json()
        assert {
            "access_token": granted["access_token"],
            "token_type": "Bearer",
            "expires_in": 100,
            "scope": "read write",
        } == granted
        headers = {"Authorization": f"Bearer {granted['access_token']}"}
        assert 200 == (await http.patch(CALL, json={"call": {}}, headers=headers)).status_code
        clock.forward(100)
        assert 401 == (await http.patch(CALL, json={"call": {}}, headers=headers)).status_code
        listed = (await http.get("/_sandbox/requests")).text
    assert "sandbox-secret" not in listed
    assert granted["access_token"] not in listed


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "wrong"}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
async def test_wrong_credentials_buy_nothing(
    change: dict[str, object], status: int, error: str
) -> None:
    """Wrong credentials are answered with OAuth's word for what is wrong."""
    async with inside(FREE, Clock()) as http:
        answer = await http.post("/oauth/token", json=CREDENTIALS | change)
    assert (status, {"error": error}) == (answer.status_code, answer.json())


async def test_calls_are_listed_in_short() -> None:
    """One request shows the outcome and the notes of every call."""
    async with inside(FREE, Clock()) as http:
        await http.patch(CALL, json={"call": {"call_outcome_id": "786", "notes": "called back"}})
        calls = (await http.get("/_sandbox/calls")).json()["calls"]
    assert {"call_outcome_id": "786", "notes": "called back"} == calls["110"]
    assert {"call_outcome_id": None, "notes": None} == calls["111"]


def test_outcomes_are_those_that_the_defaults_name() -> None:
    """The account has every outcome that is written when nothing is configured, and no other."""
    assert {outcome.name for outcome in DEFAULT_OUTCOMES.values() if outcome is not None} == set(
        OUTCOMES.values()
    )
    assert "Connected" == OUTCOMES["786"]


@given(st.integers(1, 9), st.integers(1, 12))
def test_pages_lead_through_the_whole_list(per_page: int, page: int) -> None:
    """
    Whatever the size of a page, following `next` shows every outcome once, and a page past the end
    is empty.
    """
    import asyncio  # noqa: PLC0415 (hypothesis drives coroutines only by hand)

    async def walk() -> None:
        result: list[str] = []
        async with inside(FREE, Clock()) as http:
            url = f"http://sandbox.test{LIST}?per_page={per_page}"
            while url:
                answer = await http.get(url)
                result += [item["id"] for item in answer.json()["call_outcomes"]]
                url = answer.links.get("next", {}).get("url", "")
            far = await http.get(f"{LIST}?per_page={per_page}&page={page + 7}")
        assert list(OUTCOMES) == result
        assert [] == far.json()["call_outcomes"]

    asyncio.run(walk())


@pytest.mark.parametrize("query", ["page=0", "page=x", "per_page=-1", "page=99999999999999999999"])
async def test_page_that_is_no_number_is_422(query: str) -> None:
    """A page that cannot be is refused."""
    async with inside(FREE, Clock()) as http:
        assert 422 == (await http.get(f"{LIST}?{query}")).status_code


async def _statuses(http: httpx.AsyncClient, count: int) -> list[int]:
    return [(await http.patch(CALL, json={"call": {}})).status_code for _ in range(count)]


async def test_over_the_limit_is_429_as_documented() -> None:
    """
    The eleventh request in ten seconds is a 429 with the documented body and header, and whoever
    waits as reported is let in.
    """
    clock = Clock()
    async with inside(SandboxConfig(), clock) as http:
        assert [200] * 9 == await _statuses(http, 9)
        assert 200 == (await http.get(LIST)).status_code
        clock.forward(3.5)
        refused = await http.patch(CALL, json={"call": {"notes": "lost"}})
        assert (429, {"error": "rate_limit_exceeded"}) == (refused.status_code, refused.json())
        assert "7" == refused.headers["x-rate-limited-for"]
        clock.forward(6.5)
        assert [200] == await _statuses(http, 1)
        state = (await http.get("/_sandbox/state")).json()
        stored = (await http.get("/_sandbox/calls/110")).json()["call"]
    assert (1, [{"requests": 10, "window_s": 10.0, "most": 11}]) == (
        state["rate_limited"],
        state["most_in_a_window"],
    )
    assert stored["notes"] is None


async def test_token_requests_cost_no_budget() -> None:
    """Asking for tokens leaves the whole budget to the API."""
    async with inside(SandboxConfig(), Clock()) as http:
        assert [200] * 15 == [
            (await http.post("/oauth/token", json=CREDENTIALS)).status_code for _ in range(15)
        ]
        assert [200] * 10 + [429] == await _statuses(http, 11)


async def test_beta_version_names_the_bucket() -> None:
    """
    In the beta version's form a 429 names bucket, message and limit, and answers come under `item`
    and `items`.
    """
    config = SandboxConfig(
        is_beta=True,
        says_wait=False,
        budgets=(Budget(requests=2, window_s=10), Budget(requests=100, window_s=3600)),
    )
    async with inside(config, Clock()) as http:
        assert ["item"] == list((await http.patch(CALL, json={"call": {}})).json())
        assert ["items"] == list((await http.get(LIST)).json())
        refused = await http.get(LIST)
    assert "x-rate-limited-for" not in refused.headers
    assert ("burst", 2) == (refused.json()["bucket"], refused.json()["limit"])
    assert {"error", "bucket", "message", "limit"} == set(refused.json())


async def test_many_calls_made_on_the_way_push_out_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    However many calls are made, the number that is held stays bounded, and the seeded ones stay.
    """
    monkeypatch.setattr("workers.sandbox.records.MOST_CALLS", 22)
    async with inside(
        SandboxConfig(limit_mode="off", auto_create=True), Clock(), headers=READY
    ) as http:
        for number in range(900, 905):
            await http.patch(f"/api/2023-01/calls/{number}", json={"call": {"notes": "x"}})
        result = {
            number: (await http.get(f"/_sandbox/calls/{number}")).status_code
            for number in (101, 120, 902, 903, 904)
        }
    assert {101: 200, 120: 200, 902: 404, 903: 200, 904: 200} == result


def test_outcomes_that_are_given_keep_their_ids() -> None:
    """Whatever ids are made up for the others, and in whatever order they come."""
    outcomes = outcomes_with(["909=Hot", "Cold", "busy", "908=Warm", "786=Reached"])
    assert ("Hot", "Warm", "Reached") == tuple(outcomes[id_] for id_ in ("909", "908", "786"))
    assert ["Cold"] == [name for id_, name in outcomes.items() if int(id_) > 909]
    assert 10 == len(outcomes)
