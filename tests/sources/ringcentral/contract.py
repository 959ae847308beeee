"""
The kit of `ringcentral`, which signs nothing: its token comes back in a header as it is.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from service.sources import Incoming
from service.sources.ringcentral import vocabulary as ringcentral_words
from tests.sources.contract import Kit, with_headers


def sign(incoming: Incoming, secret: str, now: datetime) -> Incoming:
    """Prove a message as RingCentral does; a time plays no part in it."""
    del now
    return with_headers(incoming, {"verification-token": secret})


def forgeries(incoming: Incoming) -> Iterable[Incoming]:
    """Requests with the token in the wrong place, or spelled in another way."""
    token = incoming.headers["verification-token"][0]
    bare = replace(incoming, headers={name: held for name, held in incoming.headers.items() if name != "verification-token"})
    yield with_headers(bare, {"validation-token": token})
    yield replace(bare, url=f"{bare.url}?verification-token={token}")
    yield with_headers(bare, {"authorization": f"Bearer {token}"})
    for other in (token.upper(), f"{token} ", f" {token}", f"{token}, {token}", token[:-1], f"{token}\x00"):
        yield with_headers(bare, {"verification-token": other})


KIT: Final = Kit(
    sign=sign,
    secrets=("fake-rc-verification-token-000", "fake-rc-verification-token-111"),
    proofs=("verification-token",),
    smallest="disconnected__only-required-fields",
    signs_url=False,
    signs_body=False,
    forgeries=forgeries,
    words={
        "code": ringcentral_words.CODES,
        "reason": ringcentral_words.REASONS,
        "direction": ringcentral_words.DIRECTIONS,
        "type": ringcentral_words.ORIGINS | ringcentral_words.IGNORED_ORIGINS,
    },
    unknown_words=frozenset({"teleported", "evaporated", "sideways", "Hologram", "(empty)", "/restapi/v1.0/account/telephony/dreams"}),
    retry_headers=("validation-token",),
)
