"""
Forged requests over all sources, of which none is taken for genuine: a hundred thousand of them in
a thorough run.
"""

import itertools
import random
import re
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
from tests.sources.contract import with_headers, with_query
from tests.trials import trials

FORGERIES: Final = trials(100_000)
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
    """A proof of the right length and form, made of nothing."""
    request = signed(slug, name)
    header = rng.choice(CONTRACTS[slug].proofs)
    text = request.headers[header][0]
    other = text
    while same_proof(other, text):
        other = re.sub("[A-Za-z0-9]", lambda _: rng.choice(ALPHABET), text)
    return with_headers(request, {header: other})


def same_proof(one: str, other: str) -> bool:
    """Whether two values of a header prove the same: the case of a scheme does not count."""
    return with_plain_scheme(one) == with_plain_scheme(other)


def with_plain_scheme(value: str) -> str:
    """`Basic abc` and `bAsic abc` as `basic abc`; a value without a scheme as it is."""
    scheme, space, rest = value.partition(" ")
    if not space:
        return value
    return f"{scheme.lower()} {rest}"


def stolen(slug: str, name: str, rng: Random) -> WebhookRequest:
    """The proof of another genuine message."""
    other = rng.choice(
        [
            other_name
            for other_name in fixture_names(slug)
            if content(fixture(slug, other_name)) != content(fixture(slug, name))
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
    return with_query(request, f"{rng.choice(ALPHABET)}={rng.random()}")


def changed_header(slug: str, name: str, rng: Random) -> WebhookRequest:
    """A genuine message with one character of a proof changed."""
    request = signed(slug, name)
    header = rng.choice(CONTRACTS[slug].proofs)
    text = request.headers[header][0]
    changed = text
    while same_proof(changed, text):
        place = rng.randrange(len(text))
        changed = text[:place] + rng.choice(ALPHABET) + text[place + 1 :]
    return with_headers(request, {header: changed})


def of_the_contract(slug: str, name: str, rng: Random) -> WebhookRequest:
    """
    What the contract makes of a genuine message, where the proof lies in the body or covers a part.
    """
    del name
    return rng.choice(_contract_forgeries(slug))


@cache
def _contract_forgeries(slug: str) -> tuple[WebhookRequest, ...]:
    return tuple(CONTRACTS[slug].forgeries(signed(slug, CONTRACTS[slug].smallest)))


def forges(slug: str) -> list[Forge]:
    """The functions that forge a source's messages, each in its own way."""
    contract = CONTRACTS[slug]
    applicable: list[tuple[object, tuple[Forge, ...]]] = [
        (True, (signed_by_another,)),
        (contract.proofs, (guessed, changed_header)),
        (contract.signs_body, (changed_body,)),
        (contract.signs_body and contract.proofs, (stolen,)),
        (contract.signs_url, (changed_url,)),
        (_contract_forgeries(slug), (of_the_contract,)),
    ]
    return [forge for is_applicable, group in applicable if is_applicable for forge in group]


def forged(slug: str) -> Iterator[WebhookRequest]:
    """Forged requests without end, the same ones for the same seed of the run."""
    rng = Random(random.getrandbits(64))
    names = [name for name in fixture_names(slug) if fixture(slug, name).body]
    for forge in itertools.cycle(forges(slug)):
        yield forge(slug, rng.choice(names), rng)


@pytest.mark.slow
@pytest.mark.parametrize("slug", list(SOURCES))
def test_no_forged_request_is_accepted(slug: str) -> None:
    """Each source refuses its share of them."""
    secrets = Secrets(CONTRACTS[slug].secrets[:1])
    accepted = 0
    for request in itertools.islice(forged(slug), EACH):
        try:
            SOURCES[slug].verify(request, secrets, NOW)
        except MessageError:
            continue
        accepted += 1
    assert accepted == 0
