"""
The client: what it sends, what it makes of odd answers.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from service.errors import (
    BuildrError,
    BuildrRateLimited,
    BuildrRejected,
    BuildrUnauthorized,
    BuildrUnavailable,
)
from service.settings import Settings
from tests.workers.buildr.stand_in import Answer, Clock, Server
from workers.buildr import (
    BuildrClient,
    CallOutcome,
    ReadyToken,
    UpdatedCall,
)
from workers.buildr.client import RequestTooLate

CALL = {"call": {"id": "110", "notes": None}}
BODY = {"call": {"call_outcome_id": "786"}}
MakeSettings = Callable[..., Settings]


async def _update(settings: Settings, *answers: Answer, call_id: str = "110") -> UpdatedCall:
    async with BuildrClient(
        settings,
        tokens=ReadyToken("t0k3n"),
        transport=Server(list(answers)).transport,
        clock=Clock(),
    ) as client:
        return await client.update_call(call_id, BODY)


async def _error(settings: Settings, answer: Answer) -> BuildrError:
    with pytest.raises(BuildrError) as caught:
        await _update(settings, answer)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, BuildrUnavailable),
        (307, BuildrUnavailable),
        (400, BuildrRejected),
        (401, BuildrUnauthorized),
        (403, BuildrUnauthorized),
        (404, BuildrRejected),
        (405, BuildrRejected),
        (408, BuildrUnavailable),
        (409, BuildrRejected),
        (410, BuildrRejected),
        (413, BuildrRejected),
        (422, BuildrRejected),
        (425, BuildrUnavailable),
        (429, BuildrRateLimited),
        (500, BuildrUnavailable),
        (502, BuildrUnavailable),
        (503, BuildrUnavailable),
        (599, BuildrUnavailable),
    ],
)
async def test_status_says_what_is_to_be_done(
    make_settings: MakeSettings, status: int, kind: type[BuildrError]
) -> None:
    """Each status becomes the error whose class says what to do, with status and answer kept."""
    err = await _error(
        make_settings(),
        httpx.Response(status, text="why not", headers={"location": "https://elsewhere.test/"}),
    )
    assert (kind, status, "why not") == (type(err), err.status_code, err.answer)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("odd"),
        httpx.LocalProtocolError("odd"),
        httpx.PoolTimeout("full"),
        httpx.ProxyError("no"),
        httpx.DecodingError("odd"),
    ],
)
async def test_no_answer_is_unavailable(
    make_settings: MakeSettings, failure: httpx.HTTPError
) -> None:
    """Whatever httpx raises leaves as `BuildrUnavailable`, with httpx's error as its cause."""
    err = await _error(make_settings(), failure)
    assert (BuildrUnavailable, failure) == (type(err), err.__cause__)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b""),
        httpx.Response(204),
        httpx.Response(200, content=b'{"call": {"id": "110"'),
        httpx.Response(200, content=b"\xff\xfe"),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(200, html="<h1>Maintenance</h1>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"call": None}),
        httpx.Response(200, json={"call": {"id": None}}),
        httpx.Response(200, json={"call": {"id": "111"}}),
        httpx.Response(200, json={"call": {"id": "110", "notes": 5.5, "call_outcome": "786"}}),
        httpx.Response(
            200, content=b'{"call": {"id": "110", "notes": "' + b"x" * 1024 * 1024 + b'"}}'
        ),
    ],
)
async def test_success_that_cannot_be_read_is_unavailable(
    make_settings: MakeSettings, answer: httpx.Response
) -> None:
    """
    A 2xx that is not the call in question proves nothing, and the request is made again later.
    """
    assert BuildrUnavailable is type(await _error(make_settings(), answer))


async def test_error_of_reading_says_where_and_never_what(make_settings: MakeSettings) -> None:
    """The message names the field that cannot be read, and nothing that stood in the answer."""
    err = await _error(
        make_settings(),
        httpx.Response(200, json={"call": {"id": "110", "notes": ["private words"]}}),
    )
    assert "(notes)" in str(err)
    assert "private" not in str(err)


@pytest.mark.parametrize(
    "call",
    [
        {"id": "110"},
        {"id": 110, "notes": None, "call_outcome": {"id": 786, "name": "Connected"}},
        {
            "id": "0110",
            "company": None,
            "contact": None,
            "created_by": None,
            "project": None,
            "call_outcome": None,
        },
        {
            "id": "110",
            "updated_at": "just now",
            "recorded_at": "2023-07-28T12:00:00",
            "anything": {"new": 1},
        },
    ],
)
@pytest.mark.parametrize("key", ["call", "item"])
async def test_reading_is_patient(
    make_settings: MakeSettings, call: dict[str, object], key: str
) -> None:
    """
    Missing and null fields, ids as numbers, unknown fields and times that cannot be read are no
    reason to send a PATCH again.
    """
    read = await _update(make_settings(), httpx.Response(200, json={key: call}))
    assert "110" == read.id.lstrip("0")
    assert (None, None) == (read.updated_at, read.recorded_at)
    assert ("notes" in call) is read.has_notes


async def test_refusal_keeps_the_beginning_of_the_answer_without_the_token(
    make_settings: MakeSettings,
) -> None:
    """
    The answer of a refusal is kept up to 2,000 characters; a token that Buildr repeats in it is
    not.
    """
    err = await _error(
        make_settings(), httpx.Response(422, text="token t0k3n was fine, but " + "x" * 5000)
    )
    assert err.answer is not None
    assert err.answer.startswith("token [hidden] was fine")
    assert 2000 == len(err.answer)


async def test_huge_refusal_is_read_only_in_part(make_settings: MakeSettings) -> None:
    """An error page without end is read up to a mebibyte, and the status still counts."""
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 65_536

    assert BuildrRejected is type(
        await _error(make_settings(), httpx.Response(404, content=endless()))
    )
    assert read < 20


async def test_refusal_whose_body_breaks_off_keeps_its_meaning(make_settings: MakeSettings) -> None:
    """A 429 whose body is lost on the way is still a 429 with its header."""

    async def broken() -> AsyncIterator[bytes]:
        yield b'{"error": "rate'
        raise httpx.ReadError("reset")

    err = await _error(
        make_settings(), httpx.Response(429, content=broken(), headers={"x-rate-limited-for": "4"})
    )
    assert isinstance(err, BuildrRateLimited)
    assert 4 == err.retry_after_s


@pytest.mark.parametrize(
    "call_id", ["", "abc", "1/2", "../calls/1", "1?x=1", "²", "1" * 21, "-1", "110\n"]
)
async def test_call_id_that_is_none_never_leaves(make_settings: MakeSettings, call_id: str) -> None:
    """An id that is not made of digits is refused before anything is sent."""
    server = Server([httpx.Response(200, json=CALL)])
    async with BuildrClient(
        make_settings(), tokens=ReadyToken("t0k3n"), transport=server.transport
    ) as client:
        with pytest.raises(BuildrRejected, match="digits"):
            await client.update_call(call_id, BODY)
    assert [] == server.requests


async def test_text_is_sent_as_utf_8(make_settings: MakeSettings) -> None:
    """
    Notes go out as UTF-8, not escaped; half a surrogate pair, which has no such form, becomes a
    question mark.
    """
    server = Server([httpx.Response(200, json=CALL)])
    async with BuildrClient(
        make_settings(), tokens=ReadyToken("t0k3n"), transport=server.transport
    ) as client:
        await client.update_call("110", {"call": {"notes": "Grüße 👷 \ud800"}})
    assert '{"call":{"notes":"Grüße 👷 ?"}}'.encode() == server.requests[0].content


@pytest.mark.parametrize("half", [b"\\ud83d", b"\\uDC77", b"\xed\xa0\xbd"])
async def test_half_a_surrogate_pair_in_an_answer_is_replaced(
    make_settings: MakeSettings, half: bytes
) -> None:
    """Nothing could store or send it; what is written around it stays, and so do whole pairs."""
    notes = b'{"call": {"id": "110", "notes": "' + half + b' said \\ud83d\\udc77 \\u00fc"}}'
    server = Server([httpx.Response(200, content=notes), httpx.Response(200, json=CALL)])
    async with BuildrClient(
        make_settings(), tokens=ReadyToken("t0k3n"), transport=server.transport
    ) as client:
        read = (await client.update_call("110", BODY)).notes
        assert read is not None
        assert "\ufffd said 👷 ü" == read
        await client.update_call("110", {"call": {"notes": f"{read}\nours"}})
    assert {"call": {"notes": "\ufffd said 👷 ü\nours"}} == json.loads(server.requests[1].content)


async def test_agent_is_named_and_nothing_else_is_reported(make_settings: MakeSettings) -> None:
    """Requests carry the program's name and version, and ask for JSON that is not compressed."""
    server = Server([httpx.Response(200, json=CALL)])
    async with BuildrClient(
        make_settings(), tokens=ReadyToken("t0k3n"), transport=server.transport
    ) as client:
        await client.update_call("110", BODY)
    headers = server.requests[0].headers
    assert headers["user-agent"].startswith("buildr-calls/")
    assert ("application/json", "identity") == (headers["accept"], headers["accept-encoding"])


async def test_refused_token_is_given_back_before_the_error(make_settings: MakeSettings) -> None:
    """
    A 401 makes the client give the very token back that it sent, and it does not send a second
    request by itself.
    """
    refused: list[str] = []

    class Tokens:
        async def get(self) -> str:
            return "old"

        async def invalidate(self, token: str) -> None:
            refused.append(token)

    server = Server([httpx.Response(401), httpx.Response(403)])
    async with BuildrClient(make_settings(), tokens=Tokens(), transport=server.transport) as client:
        for _ in range(2):
            with pytest.raises(BuildrUnauthorized):
                await client.update_call("110", BODY)
    assert (["old"], 2) == (refused, len(server.requests))


async def test_slow_token_counts_into_the_request_time(make_settings: MakeSettings) -> None:
    """Waiting for a token and for Buildr together takes no longer than the timeout."""

    class Never:
        async def get(self) -> str:
            await asyncio.Event().wait()
            raise AssertionError("nothing wakes it")

        async def invalidate(self, token: str) -> None:
            raise AssertionError(token)

    settings = make_settings(BUILDR_TIMEOUT_S="0.05")
    async with BuildrClient(
        settings, tokens=Never(), transport=Server([httpx.Response(200)]).transport
    ) as client:
        with pytest.raises(BuildrUnavailable, match=r"within 0\.05 s"):
            await client.update_call("110", BODY)


async def test_answer_that_trickles_is_cut_off_in_time(make_settings: MakeSettings) -> None:
    """An answer whose bytes keep coming, each in time, ends when the whole time is over."""

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b" "

    settings = make_settings(BUILDR_TIMEOUT_S="0.1")
    async with asyncio.timeout(5):
        assert BuildrUnavailable is type(
            await _error(settings, httpx.Response(200, content=trickle()))
        )


async def _pages(settings: Settings, server: Server) -> tuple[CallOutcome, ...]:
    async with BuildrClient(
        settings, tokens=ReadyToken("t0k3n"), transport=server.transport
    ) as client:
        outcomes, url = await client.call_outcomes_page()
        while url is not None:
            page, url = await client.call_outcomes_page(url)
            outcomes += page
        return outcomes


def _page(*ids: int, key: str = "call_outcomes", following: str | None = None) -> httpx.Response:
    links = (
        {}
        if following is None
        else {"link": f'<https://api.buildr.com/x?page=1>; rel="first", <{following}>; rel="next"'}
    )
    return httpx.Response(
        200,
        json={key: [{"id": number, "name": f"Outcome {number}"} for number in ids]},
        headers=links,
    )


@pytest.mark.parametrize("key", ["call_outcomes", "items"])
@pytest.mark.parametrize(
    "following",
    [
        "https://api.buildr.com/api/2023-01/call_outcomes?page=2&per_page=100",
        "/api/2023-01/call_outcomes?page=2&per_page=100",
    ],
)
async def test_outcomes_are_read_page_by_page(
    make_settings: MakeSettings, key: str, following: str
) -> None:
    """
    The list is followed by its `link` header, full or relative, in the order that Buildr gives.
    """
    server = Server([_page(786, 787, key=key, following=following), _page(788, key=key)])
    outcomes = await _pages(make_settings(), server)
    assert ["786", "787", "788"] == [outcome.id for outcome in outcomes]
    expected = [
        "/api/2023-01/call_outcomes?per_page=100",
        "/api/2023-01/call_outcomes?page=2&per_page=100",
    ]
    assert expected == [request.url.raw_path.decode() for request in server.requests]
    assert {"GET"} == {request.method for request in server.requests}


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.test/api/2023-01/call_outcomes",
        "http://api.buildr.com/x",
        "https://api.buildr.com:8443/x",
        "//evil.test/x",
        "https://me@api.buildr.com/x",
    ],
)
async def test_token_never_goes_to_another_address(
    make_settings: MakeSettings, following: str
) -> None:
    """A next page at another origin is an error, and no request is sent there."""
    server = Server([_page(786, following=following)])
    with pytest.raises(BuildrUnavailable, match="another address"):
        await _pages(make_settings(), server)
    assert 1 == len(server.requests)


async def test_page_that_leads_to_itself_is_the_last(make_settings: MakeSettings) -> None:
    """A next page that is the page itself ends the list."""
    server = Server([_page(1, following="/api/2023-01/call_outcomes?per_page=100")])
    assert 1 == len(await _pages(make_settings(), server))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"call_outcomes": None},
        {"call_outcomes": {}},
        {"call_outcomes": [{"id": "1"}]},
        {"call_outcomes": ["x"]},
    ],
)
async def test_list_that_is_none_is_unavailable(
    make_settings: MakeSettings, content: object
) -> None:
    """An answer that is no list of outcomes is not taken for an empty one."""
    with pytest.raises(BuildrUnavailable, match="no list of call outcomes"):
        await _pages(make_settings(), Server([httpx.Response(200, json=content)]))


async def test_body_is_only_what_was_given(make_settings: MakeSettings) -> None:
    """Nothing is added to the body."""
    server = Server([httpx.Response(200, json=CALL)])
    async with BuildrClient(
        make_settings(), tokens=ReadyToken("t0k3n"), transport=server.transport
    ) as client:
        await client.update_call("110", BODY)
    assert BODY == json.loads(server.requests[0].content)


async def test_request_whose_permit_ran_out_is_not_sent(make_settings: MakeSettings) -> None:
    """The machine may have been suspended while the token was waited for."""
    server = Server([httpx.Response(200, json=CALL)])
    async with BuildrClient(
        make_settings(), tokens=ReadyToken("t0k3n"), transport=server.transport, clock=Clock()
    ) as client:
        with pytest.raises(RequestTooLate):
            await client.update_call("110", BODY, is_in_time=lambda: False)
        assert [] == server.requests
        await client.update_call("110", BODY, is_in_time=lambda: True)


@pytest.mark.parametrize(
    ("answer", "is_without_effect"),
    [
        (httpx.ConnectError("refused"), True),
        (httpx.ReadTimeout("no answer"), False),
        (httpx.RemoteProtocolError("cut off"), False),
        (httpx.Response(504), False),
        (httpx.Response(422), True),
        (httpx.Response(200, text="nonsense"), False),
    ],
)
async def test_which_failed_requests_may_still_be_carried_out(
    make_settings: MakeSettings, answer: Answer, is_without_effect: bool
) -> None:
    """All but those that never left and those that were refused."""
    assert is_without_effect is (await _error(make_settings(), answer)).is_without_effect
