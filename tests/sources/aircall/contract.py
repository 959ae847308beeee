"""
The contract of `aircall`: nothing is signed, so that the proof is to put the token into the body.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.sources import WebhookRequest
from service.sources.aircall import vocabulary
from tests.sources.contract import SourceContract

TOKEN: Final = "fake-aircall-token-0000000000"


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Put the token where Aircall puts it; a time plays no part in it."""
    del now
    fields = json.loads(request.body)
    return replace(
        request,
        body=json.dumps({"resource": fields.get("resource"), "token": secret, **fields}).encode(),
    )


def forgeries(request: WebhookRequest) -> Iterator[WebhookRequest]:
    """
    Bodies of which the token is missing, wrong, of another type, or anywhere but where it belongs.
    """
    fields = json.loads(request.body)
    token = fields.pop("token")
    bodies = [
        {**fields, "token": value}
        for value in (
            None,
            0,
            1,
            True,
            False,
            "",
            [token],
            {"token": token},
            {token: token},
            f"{token} ",
            token.upper(),
        )
    ]
    bodies += [
        {**fields, "token": token[:place] + chr(ord(letter) ^ 1) + token[place + 1 :]}
        for place, letter in enumerate(token)
    ]
    bodies += [{**fields, "token": token[:end]} for end in range(len(token))]
    bodies += [
        fields,
        {**fields, "data": {**fields["data"], "token": token}},
        {**fields, "Token": token},
        {**fields, "token ": token},
    ]
    texts = [json.dumps(body) for body in bodies]
    whole = json.dumps({**fields, "token": token})
    texts += [
        f'{{"token": "{token}", {whole[1:]}',
        f'{{"token": "x", {whole[1:]}',
        f"[{whole}]",
        f"{whole}x",
        json.dumps(token),
        token,
        "",
        "{}",
    ]
    yield from (replace(request, body=text.encode()) for text in texts)
    yield replace(request, body=whole.encode("utf-16"))
    for name in ("token", "x-aircall-token", "x-aircall-signature", "authorization"):
        yield replace(
            request, headers={**request.headers, name: (token,)}, body=json.dumps(fields).encode()
        )
    yield replace(request, url=f"{request.url}?token={token}", body=json.dumps(fields).encode())


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=(TOKEN, "fake-aircall-token-1111111111"),
    proofs=(),
    smallest="ended__only-required-fields",
    signs_url=False,
    signs_body=False,
    forgeries=forgeries,
    words={
        "event": {*vocabulary.EVENT_TYPES, vocabulary.SUMMARY, *vocabulary.AI_AGENT_EVENTS},
        "call_end_reason": vocabulary.AI_AGENT_END_REASONS,
        "direction": vocabulary.DIRECTIONS,
        "missed_call_reason": vocabulary.MISSED_CALL_REASONS,
    },
    unknown_values=frozenset({"call.teleported", "sideways", "lost_in_space", "hypnotised"}),
)
