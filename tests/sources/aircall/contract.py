"""
The kit of `aircall`: nothing is signed, so that the proof is to put the token into the body.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from service.sources import WebhookRequest
from service.sources.aircall import source as aircall
from tests.sources.contract import SourceContract

TOKEN: Final = "fake-aircall-token-0000000000"


def sign(request: WebhookRequest, secret: str, now: datetime) -> WebhookRequest:
    """Put the token where Aircall puts it; a time plays no part in it."""
    del now
    held = json.loads(request.body)
    return replace(
        request,
        body=json.dumps({"resource": held.get("resource"), "token": secret, **held}).encode(),
    )


def forgeries(request: WebhookRequest) -> Iterator[WebhookRequest]:
    """
    Bodies of which the token is missing, wrong, of another type, or anywhere but where it belongs.
    """
    held = json.loads(request.body)
    token = held.pop("token")
    bodies = [
        {**held, "token": given}
        for given in (
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
        {**held, "token": token[:place] + chr(ord(each) ^ 1) + token[place + 1 :]}
        for place, each in enumerate(token)
    ]
    bodies += [{**held, "token": token[:end]} for end in range(len(token))]
    bodies += [
        held,
        {**held, "data": {**held["data"], "token": token}},
        {**held, "Token": token},
        {**held, "token ": token},
    ]
    texts = [json.dumps(body) for body in bodies]
    whole = json.dumps({**held, "token": token})
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
            request, headers={**request.headers, name: (token,)}, body=json.dumps(held).encode()
        )
    yield replace(request, url=f"{request.url}?token={token}", body=json.dumps(held).encode())


CONTRACT: Final = SourceContract(
    sign=sign,
    secrets=(TOKEN, "fake-aircall-token-1111111111"),
    proofs=(),
    smallest="ended__only-required-fields",
    signs_url=False,
    signs_body=False,
    forgeries=forgeries,
    words={
        "event": {*aircall.EVENTS, aircall.SUMMARY},
        "direction": aircall.DIRECTIONS,
        "missed_call_reason": aircall.MISSED,
    },
    unknown_values=frozenset({"call.teleported", "sideways", "lost_in_space"}),
)
