"""
What the conformance tests have to know of a source: its contract, `CONTRACT` in
`tests/sources/<slug>/contract.py`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from service.events import Result
from service.sources import WebhookRequest


@dataclass(frozen=True, slots=True)
class EarlyResults:
    """
    Results that a part of a whole call's messages has without the customer's end, though the whole
    call has another, and the `reason` why that cannot be helped.
    """

    results: frozenset[Result]
    reason: str


REP_GONE: Final = EarlyResults(
    frozenset({Result.CANCELLED}),
    "a rep's end while the customer's telephone rings is an end of the call, or one whose "
    "customer's end is lost would never be final; what is late corrects it",
)


def no_parent(vendor: str, result: Result) -> EarlyResults:
    """The exception of a vendor that names no parent of a leg."""
    return EarlyResults(
        frozenset({result}),
        f"{vendor} names no parent of a leg: until the caller's own leg is known, one that was "
        "dialled for it looks like a call of its own; the caller's leg is reported first",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContract:
    """
    One source, seen from its vendor.

    `sign` signs as the vendor does, by the vendor's own library or another that is not ours; a time
    plays a part in it where the vendor signs one, and otherwise makes what is different on each
    try, such as a nonce. `secrets` are two that may be set here. `proofs` are the headers that
    `sign` sets and that must come; `signs_url` and `signs_body` tell what they cover, `tolerance_s`
    how far a signed time may be away, None if none is signed. `forgeries` makes requests of a
    signed one that must all be refused, where a proof lies in the body or covers only a part of a
    request. `own_secrets` are those with which the source itself can sign, if others are needed for
    that. `smallest` names a fixture of few fields that ends a call. `words` are the words that the
    source knows, by the field of the request that holds them; each must be in a fixture.
    `unknown_values` are those in fixtures that no table knows, to be reported. `retry_headers` may
    differ when a message is retried. `early_results` are the exceptions, by whole call, to the rule
    that a part of a call is never final with another result.
    """

    sign: Callable[[WebhookRequest, str, datetime], WebhookRequest]
    secrets: tuple[str, str]
    proofs: tuple[str, ...]
    smallest: str
    signs_url: bool
    signs_body: bool = True
    tolerance_s: int | None = None
    forgeries: Callable[[WebhookRequest], Iterable[WebhookRequest]] = lambda _: ()
    own_secrets: tuple[str, ...] | None = None
    words: Mapping[str, Collection[str]] = field(default_factory=dict)
    unknown_values: frozenset[str] = frozenset()
    retry_headers: tuple[str, ...] = ()
    early_results: Mapping[str, EarlyResults] = field(default_factory=dict)


def with_headers(request: WebhookRequest, headers: Mapping[str, str]) -> WebhookRequest:
    """The same request with these headers set."""
    return replace(
        request, headers={**request.headers, **{name: (value,) for name, value in headers.items()}}
    )


def with_query(request: WebhookRequest, parameters: str) -> WebhookRequest:
    """The same request with more query parameters, written as in a URL, at the end of its URL."""
    separator = "&" if request.query else "?"
    return replace(request, url=f"{request.url}{separator}{parameters}")
