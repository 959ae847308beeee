"""
The client held to the published reference of "Update call", byte for byte.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from pydantic import BaseModel

from service.settings import Settings
from tests.workers.buildr.stand_in import Server
from workers.buildr import BuildrClient, ReadyToken

CONTRACT: Final = Path(__file__).parent / "contract"
REQUEST: Final = json.loads((CONTRACT / "update_call.request.json").read_text(encoding="utf-8"))
RESPONSE: Final = (CONTRACT / "update_call.response.json").read_bytes()


async def test_request_is_the_published_one_byte_for_byte(
    make_settings: Callable[..., Settings],
) -> None:
    """
    Method, URL, headers and body of the full example are what the reference shows, the keys in its
    order, without blanks.
    """
    server = Server([httpx.Response(200, content=RESPONSE)])
    async with BuildrClient(
        make_settings(), tokens=ReadyToken("t0k"), transport=server.transport
    ) as client:
        await client.update_call("110", REQUEST)
    (request,) = server.requests
    assert ("PATCH", "https://api.buildr.com/api/2023-01/calls/110") == (
        request.method,
        str(request.url),
    )
    assert b"/api/2023-01/calls/110" == request.url.raw_path
    assert ("Bearer t0k", "application/json") == (
        request.headers["authorization"],
        request.headers["content-type"],
    )
    expected = (
        b'{"call":{"call_outcome_id":"786","company_id":"753","contact_id":"144","notes":'
        b'"Spoke to the decision maker",'
        b'"project_id":"372","recorded_at":"2023-07-28T12:00:00Z"}}'
    )
    assert expected == request.content
    assert str(len(expected)) == request.headers["content-length"]


async def test_published_answer_is_read_with_every_field(
    make_settings: Callable[..., Settings],
) -> None:
    """
    Every field of the published answer is a typed field of ours, and holds what the answer says.
    """
    server = Server([httpx.Response(200, content=RESPONSE)])
    async with BuildrClient(
        make_settings(), tokens=ReadyToken("t0k"), transport=server.transport
    ) as client:
        call = await client.update_call("110", REQUEST)
    _compare(json.loads(RESPONSE)["call"], call)
    assert ("Spoke to the decision maker", "Connected") == (
        call.notes,
        call.call_outcome.name if call.call_outcome else None,
    )
    assert datetime(2023, 4, 3, 20, 16, 30, tzinfo=UTC) == call.updated_at


def _compare(expected: dict[str, object], actual: BaseModel) -> None:
    assert set(expected) == set(type(actual).model_fields)
    for name, value in expected.items():
        stored = getattr(actual, name)
        if isinstance(value, dict):
            assert isinstance(stored, BaseModel)
            _compare(value, stored)
        elif name.endswith("_at"):
            assert datetime.fromisoformat(str(value)) == stored
        else:
            assert value == stored
