"""
The forger: makes requests out of genuine ones, and without the secret, that no source may take for
genuine.

It knows of a source only its contract, whose signatures are made by the vendor's own library or
another that is not ours.
"""

import base64
import hmac
import itertools
import random
import re
import string
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from random import Random
from typing import Final
from urllib.parse import parse_qsl

from msgspec.structs import replace

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

HASHES: Final = ("md5", "sha1", "sha256", "sha384", "sha512")
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


def cut(slug: str, name: str, rng: Random) -> WebhookRequest:
    """A proof of which the end, or the beginning, is missing."""
    request = signed(slug, name)
    header = rng.choice(CONTRACTS[slug].proofs)
    text = request.headers[header][0]
    place = rng.randrange(len(text))
    return with_headers(request, {header: rng.choice((text[:place], text[place + 1 :]))})


def without(slug: str, name: str, rng: Random) -> WebhookRequest:
    """A message without one of its proofs, and without any header that could stand in for it."""
    request = signed(slug, name)
    proofs = CONTRACTS[slug].proofs
    remaining = {"content-type", *rng.sample(proofs, len(proofs) - 1)}
    headers = {header: value for header, value in request.headers.items() if header in remaining}
    return replace(request, headers=headers)


def repeated(slug: str, name: str, rng: Random) -> WebhookRequest:
    """A message with one of its proofs twice, the genuine one among them, and other content."""
    request = changed(slug, name, rng)
    header = rng.choice(CONTRACTS[slug].proofs)
    values = [*signed(slug, name).headers[header], rng.choice(("", "0", "A" * 40))]
    rng.shuffle(values)
    return replace(request, headers={**request.headers, header: tuple(values)})


def changed(slug: str, name: str, rng: Random) -> WebhookRequest:
    """A genuine message with something that its proof covers changed."""
    if CONTRACTS[slug].signs_body:
        return changed_body(slug, name, rng)
    if CONTRACTS[slug].signs_url:
        return changed_url(slug, name, rng)
    return changed_header(slug, name, rng)


def other_case(slug: str, name: str, rng: Random) -> WebhookRequest:
    """A proof with its capitals made small, and the other way round."""
    request = signed(slug, name)
    header = rng.choice(CONTRACTS[slug].proofs)
    text = request.headers[header][0]
    if same_proof(text.swapcase(), text):
        return changed_header(slug, name, rng)
    return with_headers(request, {header: text.swapcase()})


def other_algorithm(slug: str, name: str, rng: Random) -> WebhookRequest:
    """Signed with the right secret, by a function or over a text that is not the vendor's."""
    request = signed(slug, name)
    key = CONTRACTS[slug].secrets[0].encode()
    texts = (b"", request.body, request.url.encode(), request.url.encode() + request.body)
    mac = hmac.digest(key, rng.choice(texts), rng.choice(HASHES))
    value = rng.choice((mac.hex(), base64.b64encode(mac).decode()))
    header = rng.choice(CONTRACTS[slug].proofs)
    if request.headers[header] == (value,):
        return changed_header(slug, name, rng)
    return with_headers(request, {header: value})


def to_another_account(slug: str, name: str, rng: Random) -> WebhookRequest:
    """A genuine message sent to the address of another account, or of another source."""
    request = signed(slug, name)
    other = rng.choice((f"/webhooks/acme/{slug}", "/webhooks/other", f"/webhooks/{slug}/"))
    return replace(request, url=request.url.replace(f"/webhooks/{slug}", other, 1))


def of_the_contract(slug: str, name: str, rng: Random) -> WebhookRequest:
    """
    What the contract makes of a genuine message, where the proof lies in the body or covers a part.
    """
    del name
    return rng.choice(_contract_forgeries(slug))


@cache
def _contract_forgeries(slug: str) -> tuple[WebhookRequest, ...]:
    return tuple(CONTRACTS[slug].forgeries(signed(slug, CONTRACTS[slug].smallest)))


def accepted(slug: str, request: WebhookRequest) -> bool:
    """Whether a source with one secret takes a request for genuine."""
    source = SOURCES[slug]
    secrets = Secrets(CONTRACTS[slug].secrets[:1])
    try:
        source.check_headers(request, secrets)
        source.verify(request, secrets, NOW)
    except MessageError:
        return False
    return True


def forges(slug: str) -> list[Forge]:
    """The functions that forge a source's messages, each in its own way."""
    contract = CONTRACTS[slug]
    applicable: list[tuple[object, tuple[Forge, ...]]] = [
        (True, (signed_by_another,)),
        (contract.proofs, (guessed, changed_header, cut, without, other_case, other_algorithm)),
        (contract.proofs, (repeated,)),
        (contract.signs_body, (changed_body,)),
        (contract.signs_body and contract.proofs, (stolen,)),
        (contract.signs_url, (changed_url, to_another_account)),
        (_contract_forgeries(slug), (of_the_contract,)),
    ]
    return [forge for is_applicable, group in applicable if is_applicable for forge in group]


def forged(slug: str) -> Iterator[WebhookRequest]:
    """Forged requests without end, the same ones for the same seed of the run."""
    rng = Random(random.getrandbits(64))
    names = [name for name in fixture_names(slug) if fixture(slug, name).body]
    for forge in itertools.cycle(forges(slug)):
        yield forge(slug, rng.choice(names), rng)
