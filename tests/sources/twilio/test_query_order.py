"""
URLs whose query was signed in another order than that in which it was requested, at Twilio and at
SignalWire.
"""

import hmac
import itertools
import urllib.parse
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.errors import InvalidSignature
from service.sources import SOURCES, WebhookRequest
from service.sources.common import signatures
from service.sources.settings import Secrets
from service.sources.twilio import signature as twilio_signature
from service.sources.twilio.query_order import LONGEST_FORM, MOST_PARAMETERS, other_orders
from tests.sources.cases import CONTRACTS, Receive

NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
SLUGS: Final = ("twilio", "signalwire")
BASE_URL: Final = "https://hooks.example.test"
FORM: Final = {
    "AccountSid": "AC00000000000000000000000000000000",
    "CallDuration": "49",
    "CallSid": "CA00000000000000000000000000000001",
    "CallStatus": "completed",
    "Direction": "outbound-api",
    "From": "+15005550006",
    "To": "+15005550001",
}
PARAMETERS: Final = ("org=7", "buildr_call_id=110", "z=%2B+1", "a")


def unsigned(slug: str, query: str, form: dict[str, str] | None = None) -> WebhookRequest:
    return WebhookRequest(
        method="POST",
        url=f"{BASE_URL}/webhooks/{slug}?{query}",
        headers={"content-type": ("application/x-www-form-urlencoded",)},
        body=urllib.parse.urlencode(form or FORM).encode(),
    )


def signed(slug: str, query: str, form: dict[str, str] | None = None) -> WebhookRequest:
    return CONTRACTS[slug].sign(unsigned(slug, query, form), CONTRACTS[slug].secrets[0], NOW)


def with_query(request: WebhookRequest, query: str) -> WebhookRequest:
    """The same request to another query, as just received."""
    url = f"{request.url.partition('?')[0]}?{query}"
    return replace(request, url=url, _parsed={})


def verify(slug: str, request: WebhookRequest) -> None:
    SOURCES[slug].verify(request, Secrets(CONTRACTS[slug].secrets), NOW)


def is_genuine(slug: str, request: WebhookRequest) -> bool:
    try:
        verify(slug, request)
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_query_may_be_requested_in_another_order(slug: str, count: int) -> None:
    """
    A callback that was signed as configured is genuine in every order of its query, is one and the
    same message, and means the same.
    """
    request = signed(slug, "&".join(PARAMETERS[:count]))
    verify(slug, request)
    keys = SOURCES[slug].keys(request)
    events = SOURCES[slug].parse(request, "m1")
    for order in itertools.permutations(PARAMETERS[:count]):
        reordered = with_query(request, "&".join(order))
        verify(slug, reordered)
        assert keys == SOURCES[slug].keys(reordered)
        assert events == SOURCES[slug].parse(reordered, "m1")


@pytest.mark.parametrize("slug", SLUGS)
async def test_callback_with_a_sorted_query_is_taken(slug: str, receive: Receive) -> None:
    """The receiver takes a callback that was signed in one order and requested in another."""
    for status, query in (
        ("ringing", "org=7&buildr_call_id=110"),
        ("completed", "buildr_call_id=110&org=7"),
    ):
        request = signed(slug, "org=7&buildr_call_id=110", {**FORM, "CallStatus": status})
        answer = await receive(with_query(request, query))
        assert answer in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize(
    "query",
    [
        "buildr_call_id=111&org=7",
        "buildr_call_id=110",
        "buildr_call_id=110&org=7&org=7",
        "buildr_call_id=110&org=7&",
        "buildr_call_id=1107&org=",
        "org=buildr_call_id&7=110",
    ],
)
def test_another_query_is_refused(slug: str, query: str) -> None:
    """Only the order may differ: no parameter, no value and no sign between them."""
    assert not is_genuine(slug, with_query(signed(slug, "org=7&buildr_call_id=110"), query))


@pytest.mark.parametrize("slug", SLUGS)
def test_more_than_four_parameters_keep_their_order(slug: str) -> None:
    """The number of orders that are tried is bounded."""
    parameters = [f"p{number}={number}" for number in range(MOST_PARAMETERS + 1)]
    request = signed(slug, "&".join(parameters))
    verify(slug, request)
    assert not is_genuine(slug, with_query(request, "&".join(reversed(parameters))))


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("b=1&a=2", {"CallSid": "CA1", "CallStatus": "busy"}),
        ("b=1&a=AccountSid", FORM),
        ("b=1&a=2", {**FORM, "Z": "z" * LONGEST_FORM}),
        ("b=1&a=2#rc=5", FORM),
    ],
)
def test_order_counts_where_the_border_is_not_certain(
    slug: str, query: str, form: dict[str, str]
) -> None:
    """
    Without the field that Twilio sends first, or with its name in the URL, text could be moved from
    the URL into the form unseen.
    """
    request = signed(slug, query, form)
    verify(slug, request)
    parameters, separator, fragment = query.partition("#")
    other = "&".join(reversed(parameters.split("&")))
    assert not is_genuine(slug, with_query(request, f"{other}{separator}{fragment}"))


@pytest.mark.parametrize("slug", SLUGS)
def test_form_that_begins_with_a_digit_is_refused(slug: str) -> None:
    """The last digit of a call id cannot be moved into the form to name another call."""
    request = signed(slug, "org=7&buildr_call_id=110")
    moved = {"0AccountSid": FORM["AccountSid"], **FORM}
    del moved["AccountSid"]
    forged = replace(
        with_query(request, "org=7&buildr_call_id=11"),
        body=urllib.parse.urlencode(moved).encode(),
    )
    assert not is_genuine(slug, forged)
    assert not is_genuine(slug, with_query(forged, "buildr_call_id=11&org=7"))


@pytest.mark.parametrize("slug", SLUGS)
def test_right_order_costs_what_it_did(slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The other orders are tried only after the plain form failed: one HMAC where it is right for the
    first secret, two for each before it, and at most 48 for a forged request.
    """
    tries: list[bytes] = []

    def count(key: bytes, message: bytes, signature: bytes, *, algorithm: str) -> bool:
        tries.append(message)
        return signatures.is_hmac(key, message, signature, algorithm=algorithm)

    monkeypatch.setattr(twilio_signature, "is_hmac", count)
    query = "&".join(PARAMETERS)
    verify(slug, signed(slug, query))
    assert len(tries) == 1
    tries.clear()
    last_secret = Secrets(tuple(reversed(CONTRACTS[slug].secrets)))
    SOURCES[slug].verify(signed(slug, query), last_secret, NOW)
    assert 2 * (len(CONTRACTS[slug].secrets) - 1) + 1 == len(tries)
    tries.clear()
    assert not is_genuine(slug, with_query(signed(slug, query), f"{query}x"))
    assert 2 * 24 * len(CONTRACTS[slug].secrets) == len(tries)
    assert len(tries) == len(CONTRACTS[slug].secrets) * len(set(tries))


def test_tries_are_bounded_in_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many secrets, as of subaccounts, do not make a forged request cost more and more."""
    monkeypatch.setattr(twilio_signature, "MOST_TRIES", 7)
    texts = [b"text"] * 24
    mac = b"x" * 20
    assert not twilio_signature.is_signed(["a", "b"], texts, mac, algorithm="sha1")
    right = hmac.digest(b"b", b"text", "sha1")
    assert twilio_signature.is_signed(["a", "b"], texts[:1], right, algorithm="sha1")
    assert not twilio_signature.is_signed(["a", "b"], texts, right, algorithm="sha1")


QUERY: Final = st.lists(
    st.from_regex(r"[a-z]{1,3}=[A-Za-z0-9%+]{0,3}", fullmatch=True), min_size=1, max_size=4
)


@settings(max_examples=100, deadline=None)
@given(parameters=QUERY, other=QUERY, data=st.data())
def test_one_signature_makes_one_message(
    parameters: list[str], other: list[str], data: st.DataObject
) -> None:
    """Every request that is genuine under one signature has one key, whatever its query."""
    request = signed("twilio", "&".join(parameters))
    shuffled = data.draw(st.permutations(parameters))
    reordered = with_query(request, "&".join(shuffled))
    verify("twilio", reordered)
    assert SOURCES["twilio"].keys(request) == SOURCES["twilio"].keys(reordered)
    assume(sorted(parameters) != sorted(other))
    assert not is_genuine("twilio", with_query(request, "&".join(other)))


def test_orders_are_few_and_different() -> None:
    """Equal parameters make fewer orders, and the order that came is not among them."""
    url = f"{BASE_URL}/webhooks/twilio?a=1&a=1&b=2"
    orders = list(other_orders(url, "AccountSidAC1"))
    assert 2 == len(orders) == len(set(orders))
    assert url not in orders
    assert [] == list(other_orders(f"{BASE_URL}/webhooks/twilio", "AccountSidAC1"))
