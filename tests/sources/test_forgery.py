"""
A hundred thousand forged requests over all sources, of which none is taken for genuine.
"""

import itertools
import string
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from random import Random
from typing import Final
from urllib.parse import parse_qsl

import pytest

from service.errors import MessageError
from service.sources import SOURCES, WebhookRequest
from service.sources.request import FORM
from service.sources.settings import Secrets
from tests.sources.cases import (
    CONTRACTS,
    NOW,
    fixture,
    fixture_names,
    signed,
)
from tests.sources.contract import with_headers

FORGERIES: Final = 100_000
EACH: Final = -(-FORGERIES // len(SOURCES))
ALPHABET: Final = string.ascii_letters + string.digits
Forge = Callable[[str, str, Random], WebhookRequest]


def signed_by_another(slug: str, name: str, rng: Random) -> WebhookRequest:
    """Signed rightly, with a secret that is not ours."""
    return CONTRACTS[slug].sign(
        fixture(slug, name),
        CONTRACTS[slug].secrets[1],
        NOW + timedelta(seconds=rng.randint(-300, 300)),
    )


def guessed(slug: str, name: str, rng: Random) -> WebhookRequest:
    """A proof of the right length and look, made of nothing."""
    request = signed(slug, name)
    header = rng.choice(CONTRACTS[slug].proofs)
    text = request.headers[header][0]
    return with_headers(
        request,
        {header: "".join(rng.choice(ALPHABET) if each.isalnum() else each for each in text)},
    )


def stolen(slug: str, name: str, rng: Random) -> WebhookRequest:
    """The proof of another genuine message."""
    other = rng.choice(
        [
            each
            for each in fixture_names(slug)
            if content(fixture(slug, each)) != content(fixture(slug, name))
        ]
    )
    return with_headers(
        signed(slug, name),
        {header: signed(slug, other).headers[header][0] for header in CONTRACTS[slug].proofs},
    )


def changed_body(slug: str, name: str, rng: Random) -> WebhookRequest:
    """A genuine message with some bits of its body turned over, until it says something else."""
    request = signed(slug, name)
    while True:
        body = bytearray(request.body)
        for place in rng.sample(range(len(body)), rng.randint(1, min(3, len(body)))):
            body[place] ^= 1 << rng.randrange(8)
        changed = replace(request, body=bytes(body))
        if content(changed) != content(request):
            return changed


def content(request: WebhookRequest) -> object:
    """
    What a body says: of a form its fields, whatever their order and spelling, since the form and
    not its bytes is signed.
    """
    return (
        set(parse_qsl(request.body.decode("latin-1"), keep_blank_values=True, encoding="latin-1"))
        if request.content_type == FORM
        else request.body
    )


def changed_url(slug: str, name: str, rng: Random) -> WebhookRequest:
    """A genuine message sent to another address."""
    request = signed(slug, name)
    return replace(
        request,
        url=f"{request.url}{'&' if request.query else '?'}{rng.choice(ALPHABET)}={rng.random()}",
    )


def changed_header(slug: str, name: str, rng: Random) -> WebhookRequest:
    """A genuine message with one character of a proof changed."""
    request = signed(slug, name)
    header = rng.choice(CONTRACTS[slug].proofs)
    text = request.headers[header][0]
    place = rng.randrange(len(text))
    other = rng.choice([each for each in ALPHABET if each != text[place]])
    return with_headers(request, {header: text[:place] + other + text[place + 1 :]})


def of_the_kit(slug: str, name: str, rng: Random) -> WebhookRequest:
    """
    What the kit makes of a genuine message, where the proof lies in the body or covers a part.
    """
    del name
    return rng.choice(_kits_own(slug))


@cache
def _kits_own(slug: str) -> tuple[WebhookRequest, ...]:
    return tuple(CONTRACTS[slug].forgeries(signed(slug, CONTRACTS[slug].smallest)))


def ways(slug: str) -> list[Forge]:
    """The ways in which a source's messages can be forged."""
    kit = CONTRACTS[slug]
    found: list[Forge] = [signed_by_another]
    found += [guessed, changed_header] if kit.proofs else []
    found += [changed_body] if kit.signs_body else []
    found += [stolen] if kit.signs_body and kit.proofs else []
    found += [changed_url] if kit.signs_url else []
    found += [of_the_kit] if _kits_own(slug) else []
    return found


def forged(slug: str) -> Iterator[WebhookRequest]:
    """Forged requests without end, the same ones each time."""
    rng = Random(f"forged {slug}")
    names = [name for name in fixture_names(slug) if fixture(slug, name).body]
    for forge in itertools.cycle(ways(slug)):
        yield forge(slug, rng.choice(names), rng)


@pytest.mark.slow
@pytest.mark.parametrize("slug", list(SOURCES))
def test_no_forged_request_is_accepted(slug: str) -> None:
    """Each source refuses its share of a hundred thousand."""
    secrets = Secrets(CONTRACTS[slug].secrets[:1])
    accepted = 0
    for request in itertools.islice(forged(slug), EACH):
        try:
            SOURCES[slug].verify(request, secrets, NOW)
        except MessageError:
            continue
        accepted += 1
    assert accepted == 0
