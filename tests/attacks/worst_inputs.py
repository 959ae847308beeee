"""
The requests that cost most before a proof fails, for each source, and what they cost.

Each begins as a genuine signed request, so that its headers pass every check of shape and time, and
carries another body, URL or header. What is measured is all that the receiver does with an unproved
request: the check of the headers, the handshake, the proof.
"""

import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Final

from msgspec.structs import replace

from service.errors import MessageError
from service.receiver.requests import Headers
from service.sources import SOURCES, WebhookRequest
from service.sources.request import FORM, JSON
from service.sources.settings import Secrets
from tests.sources.cases import CONTRACTS, NOW, signed, unparsed

# What a head may hold in all, see `service.receiver.protocol`.
HEAD_BYTES: Final = 32 * 1024
HMAC_RUNS: Final = 20
MOST_CPU_S: Final = 0.02
KEY: Final = b"fake-key-of-the-measurement"
JSON_BODIES: Final[dict[str, tuple[bytes, bytes, bytes]]] = {
    # Beginning, what is repeated, end.
    "list of 1e308": (b'{"a":[', b"1e308,", b"1]}"),
    "list of long numbers": (b'{"a":[1e1,', b"12345678901234567,", b"1]}"),
    "one long number": (b'{"a":', b"1", b"}"),
    "list of lists": (b'{"a":[', b"[],", b"1]}"),
    "list of objects": (b'{"a":[', b'{"b":1},', b"1]}"),
    "nested lists": (b"", b"[", b""),
    "nested objects": (b"", b'{"a":', b""),
    "escapes": (b'{"a":"', b"\\u00e9", b'"}'),
    "lone surrogates": (b'{"a":"', b"\\ud800", b'"}'),
    "blanks": (b"{", b" ", b"}"),
    "no JSON": (b"", b"x", b""),
}
FORM_BODIES: Final[dict[str, tuple[bytes, bytes, bytes]]] = {
    "%41 and raw letters": (b"AccountSid=", "%41é".encode(), b""),
    "%41": (b"AccountSid=", b"%41", b""),
    "raw letters": (b"AccountSid=", "é".encode(), b""),
    "blanks": (b"AccountSid=", b"+", b""),
    "fields": (b"AccountSid=1", b"&a", b""),
    "borders": (b"", b"&", b""),
    "wrong bytes": (b"AccountSid=", b"%ff", b""),
}


@dataclass(frozen=True, slots=True)
class WorstInput:
    """One request that costs much, with a name for the report."""

    slug: str
    name: str
    request: WebhookRequest


@dataclass(frozen=True, slots=True)
class Cost:
    """The CPU time of one unproved request, and of one HMAC over a body of the largest size."""

    worst_input: WorstInput
    cpu_s: float
    hmac_s: float

    @property
    def ratio(self) -> float:
        """How many HMACs over the largest body the request costs."""
        return self.cpu_s / self.hmac_s


def worst_inputs(slug: str) -> Iterator[WorstInput]:
    """All that is tried with one source."""
    base = signed(slug, CONTRACTS[slug].smallest)
    for name, request in (*_bodies(slug, base), *_heads(slug, base), *_urls(base)):
        yield WorstInput(slug, name, request)


def cost(worst_input: WorstInput, secrets: tuple[str, ...], *, runs: int) -> Cost:
    """
    What one request costs, with these secrets set: the least of several runs is what the work
    takes, whatever else the machine does.
    """
    slug = worst_input.slug
    known = Secrets(secrets)
    cpu_s = min(
        _took_s(lambda: refuse(slug, unparsed(worst_input.request), known)) for _ in range(runs)
    )
    return Cost(worst_input, cpu_s, hmac_s(SOURCES[slug].max_body_bytes))


@cache
def hmac_s(size: int) -> float:
    """Seconds of CPU of one HMAC-SHA256 over a body of so many bytes."""
    body = bytes(size)
    return min(_took_s(lambda: hmac.digest(KEY, body, "sha256")) for _ in range(HMAC_RUNS))


def refuse(slug: str, request: WebhookRequest, secrets: Secrets) -> bool:
    """Whether a request is refused, after all that the receiver does to find that out."""
    source = SOURCES[slug]
    with suppress(MessageError):
        source.check_headers(request, secrets)
        if source.handshake(request, secrets, NOW) is None:
            source.verify(request, secrets, NOW)
        return False
    return True


def filled(parts: tuple[bytes, bytes, bytes], size: int) -> bytes:
    """A body of at most this size: beginning, repeated part, end."""
    first, repeated, last = parts
    return first + repeated * ((size - len(first) - len(last)) // len(repeated)) + last


def _bodies(slug: str, base: WebhookRequest) -> Iterator[tuple[str, WebhookRequest]]:
    source = SOURCES[slug]
    size = source.max_body_bytes
    bodies = {(FORM, f"form of {name}"): parts for name, parts in FORM_BODIES.items()}
    bodies |= {(JSON, f"JSON, {name}"): parts for name, parts in JSON_BODIES.items()}
    for (content_type, name), parts in bodies.items():
        if not source.content_types or content_type in source.content_types:
            yield name, _sent(base, filled(parts, size), content_type)
    content_type = base.content_type
    yield "zeros", _sent(base, bytes(size), content_type)
    yield "dots", _sent(base, b"." * size, content_type)
    third = b"A" * (size // 3 // 4 * 4)
    yield "token of three long parts", _sent(base, b".".join([third] * 3)[:size], content_type)
    # As long as another order of the query is looked for.
    yield (
        "form that may have another order",
        replace(
            _sent(base, filled((b"AccountSid=", b"1", b""), 4096), FORM),
            url=f"{base.url.partition('?')[0]}?a=1&b=2&c=3&d=4",
        ),
    )


def _heads(slug: str, base: WebhookRequest) -> Iterator[tuple[str, WebhookRequest]]:
    largest = bytes(SOURCES[slug].max_body_bytes)
    for name in CONTRACTS[slug].proofs:
        value = base.headers[name][0]
        # Not the genuine value, which would prove the smallest message.
        changed = value[:-2] + ("A=" if value.endswith("=") else "00")
        count = HEAD_BYTES // (len(value) + 1)
        for separator in (",", " ", ";", "."):
            yield (
                f"{name} of {count} values",
                _with_header(base, name, (separator.join([changed] * count),), largest),
            )
            yield (
                f"{name} of 8 values",
                _with_header(base, name, (separator.join([changed] * 8),), largest),
            )
        yield f"{name} sent often", _with_header(base, name, (changed,) * count, largest)
        yield f"{name} of one long value", _with_header(base, name, ("A" * HEAD_BYTES,), largest)


def _urls(base: WebhookRequest) -> Iterator[tuple[str, WebhookRequest]]:
    path = base.url.partition("?")[0]
    for name, parts in FORM_BODIES.items():
        query = filled(parts, HEAD_BYTES).decode("latin-1")
        # Without its last byte, so that the genuine signature does not fit.
        yield f"query of {name}", replace(base, url=f"{path}?{query}", body=base.body[:-1])


def _sent(base: WebhookRequest, body: bytes, content_type: str) -> WebhookRequest:
    return replace(base, body=body, headers={**base.headers, "content-type": (content_type,)})


def _with_header(
    base: WebhookRequest, name: str, values: tuple[str, ...], body: bytes
) -> WebhookRequest:
    headers: Headers = {**base.headers, name: values}
    return replace(base, headers=headers, body=body)


def _took_s(work: Callable[[], object]) -> float:
    """Seconds of CPU of one run, not counting what other threads and processes do."""
    started_s = time.thread_time()
    work()
    return time.thread_time() - started_s
