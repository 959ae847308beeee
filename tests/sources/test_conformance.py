"""
What every source must do, over every one of its fixtures and of its whole calls.

Nothing here knows a vendor: what differs is in the contracts (`tests/sources/<slug>/contract.py`),
and a source in the registry without one fails.
"""

import io
import itertools
import json
import logging
import random
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from http import HTTPStatus
from random import Random
from typing import Final

import httpx
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.errors import InvalidSignature, MalformedPayload, MessageError
from service.events import (
    CallEvent,
    EventType,
    as_dict,
    from_json,
    to_json,
)
from service.logs.setup import configure_logging
from service.sources import SOURCES, WebhookRequest
from service.sources.request import FORM, JSON
from service.sources.settings import Secrets
from service.store.connection import Store
from service.store.messages import Message
from service.webhook_urls import path_token
from tests.sources.cases import (
    CONTRACTS,
    HERE,
    NOW,
    ROOT,
    URL_SECRET,
    Receive,
    addressed,
    call_messages,
    expected,
    fixture,
    fixture_names,
    fixture_text,
    paths_of,
    proof_setting,
    scenarios,
    setting_names,
    signed,
    values_of,
)
from tests.sources.contract import with_headers, with_query
from tests.trials import trials
from workers.backfill import LOGS
from workers.calls.fold import Call, fold
from workers.jobs.parse_messages import parse_messages

MESSAGE_ID: Final = "m000000000000000000000000"
LEAST_FIXTURES: Final = 10
OTHER_TYPES: Final = ("text/plain", "", "multipart/form-data; boundary=x")
LEAST_TEXT: Final = 8
LEAST_PROOF: Final = 20
LIBRARIES: Final = ("arq", "asyncio", "httpx", "httpcore")
ALL_ORDERS_UP_TO: Final = 5
RANDOM_ORDERS: Final = 60
MUTATIONS: Final = trials(3000)
NASTY: Final = (
    b'"',
    b"{}",
    b"[]",
    b"null",
    b"-1",
    b"1e999",
    b"9" * 25,
    b"\\ud800",
    b"%ff",
    b"\x00",
    b"&",
    b"=",
    "\u202e".encode(),
)
HEADINGS: Final = (
    "What you need",
    "Set up there",
    "Settings here",
    "How the Buildr call is found",
    "Test it",
    "What each result means",
    "Limits and quirks",
    "Troubleshooting",
)
# Of sources whose call log is read.
BACKFILL_HEADING: Final = "Back-fill"
LOGGED: Final = frozenset(LOGS)
# A fault of ours, not a word of the vendor's, that is reported in the same way.
ID_FAULT: Final = "buildr_call_id"
OUR_LOGGER: Final = re.compile(r'"(service|workers)\.')
NUMBER: Final = re.compile(r"(?:\+|%2B)(\d{8,15})")
SLUGS: Final = list(SOURCES)
ALL: Final = [
    pytest.param(slug, name, id=f"{slug}-{name}")
    for slug in SOURCES
    for name in fixture_names(slug)
]
CALLS: Final = [pytest.param(slug, name, id=f"{slug}-{name}") for slug, name in scenarios()]
PROOFS: Final = [(slug, header) for slug in SLUGS for header in CONTRACTS[slug].proofs]
SIGN_BODY: Final = [param for param in ALL if CONTRACTS[str(param.values[0])].signs_body]
SIGN_URL: Final = [param for param in ALL if CONTRACTS[str(param.values[0])].signs_url]
SIGN_NO_URL: Final = [param for param in ALL if not CONTRACTS[str(param.values[0])].signs_url]
TIMED: Final = [slug for slug in SLUGS if CONTRACTS[slug].tolerance_s is not None]


def verify(slug: str, request: WebhookRequest, *secrets: str, after_s: float = 0) -> None:
    SOURCES[slug].verify(
        request, Secrets(secrets or CONTRACTS[slug].secrets[:1]), NOW + timedelta(seconds=after_s)
    )


def is_genuine(slug: str, request: WebhookRequest) -> bool:
    try:
        verify(slug, request)
    except InvalidSignature:
        return False
    return True


def read(slug: str, request: WebhookRequest) -> list[CallEvent]:
    """The events of a message; none for one that is ignored or cannot be read."""
    try:
        return SOURCES[slug].read(SOURCES[slug].redact(request), MESSAGE_ID)
    except MessageError:
        return []


def step(slug: str, name: str, others: int) -> int:
    """Every place of the smallest fixture is tried, and of the others only one in so many."""
    return 1 if name == CONTRACTS[slug].smallest else others


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_signed_fixture_gives_exactly_the_expected_events(slug: str, name: str) -> None:
    """What the vendor signed is genuine and means what is written beside it."""
    request = signed(slug, name)
    verify(slug, request)
    try:
        actual: object = [as_dict(event) for event in SOURCES[slug].parse(request, MESSAGE_ID)]
    except MessageError as err:
        actual = {"raises": type(err).__name__}
    assert expected(slug, name) == actual


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_own_signature_is_accepted_by_own_check(slug: str, name: str) -> None:
    """What `trigger` signs is genuine."""
    secrets = Secrets(CONTRACTS[slug].own_secrets or CONTRACTS[slug].secrets)
    request = SOURCES[slug].sign(fixture(slug, name), secrets, NOW)
    SOURCES[slug].verify(request, secrets, NOW)


@pytest.mark.parametrize("slug", SLUGS)
def test_signing_without_a_secret_is_refused(slug: str) -> None:
    """Without a secret there is nothing to sign with, and the error says what to set."""
    with pytest.raises(ValueError, match=f"set {proof_setting(slug)}"):
        SOURCES[slug].sign(fixture(slug, CONTRACTS[slug].smallest), Secrets(), NOW)


@pytest.mark.parametrize(("slug", "name"), SIGN_BODY)
def test_changed_body_is_refused_where_it_is_signed(slug: str, name: str) -> None:
    """A body of which some byte differs is not genuine."""
    request = signed(slug, name)
    for place in range(0, len(request.body), step(slug, name, 37)):
        changed = bytearray(request.body)
        changed[place] ^= 1
        assert not is_genuine(slug, replace(request, body=bytes(changed))), place
    assert not is_genuine(slug, replace(request, body=request.body + b"&x=1"))
    assert not is_genuine(slug, replace(request, body=b""))


@pytest.mark.parametrize(("slug", "name"), SIGN_URL)
def test_changed_url_is_refused_where_it_is_signed(slug: str, name: str) -> None:
    """Another host, path, query or scheme is not genuine."""
    request = signed(slug, name)
    for place in range(len("https://"), len(request.url), step(slug, name, 11)):
        changed = (
            request.url[:place]
            + ("x" if request.url[place] != "x" else "y")
            + request.url[place + 1 :]
        )
        assert not is_genuine(slug, replace(request, url=changed)), changed
    assert not is_genuine(slug, with_query(request, "buildr_call_id=1"))
    assert not is_genuine(slug, replace(request, url=request.url.replace("https://", "http://")))
    if request.query:
        assert not is_genuine(slug, replace(request, url=request.url.partition("?")[0]))


@pytest.mark.parametrize(("slug", "name"), SIGN_NO_URL)
def test_unsigned_url_never_names_the_buildr_call(slug: str, name: str) -> None:
    """
    Where the address is not signed, whoever sees one message could write another id into it: it
    counts for nothing.
    """
    request = signed(slug, name)
    changed = with_query(request, "buildr_call_id=987654")
    assert is_genuine(slug, changed)
    assert "987654" not in {event.buildr_call_id for event in read(slug, changed)}


@pytest.mark.parametrize(("slug", "name"), SIGN_NO_URL)
def test_own_signature_in_the_url_names_the_buildr_call(slug: str, name: str) -> None:
    """
    Where the vendor does not sign the address, a signature of ours in it does; an id that the
    message names itself stays beside it.
    """
    request = fixture(slug, name)
    before = read(slug, request)
    after = read(slug, replace(request, buildr_call_id="987654"))
    assert {event.buildr_call_id for event in before} - {None} | (
        {"987654"} if before else set()
    ) == {event.buildr_call_id for event in after} - {None}


@pytest.mark.parametrize("slug", SLUGS)
def test_nothing_is_accepted_that_only_looks_genuine(slug: str) -> None:
    """
    Every request that the contract makes of a genuine one is refused; a source without proofs
    in headers has some.
    """
    request = signed(slug, CONTRACTS[slug].smallest)
    forged = list(CONTRACTS[slug].forgeries(request))
    assert forged or CONTRACTS[slug].proofs
    assert [] == [request for request in forged if is_genuine(slug, request)]


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_what_is_kept_holds_no_secret_and_means_the_same(slug: str, name: str) -> None:
    """What is kept of a message cannot prove another one, and nothing else of it is lost."""
    source = SOURCES[slug]
    redacted = source.redact(signed(slug, name))
    assert not [secret for secret in CONTRACTS[slug].secrets if secret.encode() in redacted.body]
    assert source.redact(redacted) is redacted
    assert CONTRACTS[slug].signs_url == source.signs_url
    assert read(slug, fixture(slug, name)) == read(slug, redacted)


@pytest.mark.parametrize(("slug", "header"), PROOFS)
def test_proof_must_be_there_once_and_unchanged(slug: str, header: str) -> None:
    """
    Each header that proves something must come exactly once; missing, empty, doubled or changed in
    any byte it is refused.
    """
    request = signed(slug, CONTRACTS[slug].smallest)
    value = request.headers[header][0]
    for values in (
        (),
        ("",),
        (value, value),
        (value, ""),
        (f"x{value}",),
        (f"{value}é",),
        ("é",),
        ("=",),
        (",",),
        ("\udcff",),
    ):
        assert not is_genuine(
            slug, replace(request, headers={**request.headers, header: values})
        ), values
    other_headers = {name: values for name, values in request.headers.items() if name != header}
    assert not is_genuine(slug, replace(request, headers=other_headers))
    for place, character in enumerate(value):
        changed = value[:place] + chr(ord(character) ^ 1) + value[place + 1 :]
        assert not is_genuine(slug, with_headers(request, {header: changed})), changed


@pytest.mark.parametrize("slug", SLUGS)
def test_every_secret_of_a_list_counts(slug: str) -> None:
    """
    While secrets rotate, a message signed with any of them is genuine; with another, or none, it is
    not.
    """
    old, new = CONTRACTS[slug].secrets
    for secret in (old, new):
        request = CONTRACTS[slug].sign(fixture(slug, CONTRACTS[slug].smallest), secret, NOW)
        verify(slug, request, old, new)
        verify(slug, request, new, old)
        verify(slug, request, "whsec_not base64!", "", "é", secret)
        other = new if secret == old else old
        with pytest.raises(InvalidSignature):
            verify(slug, request, other)
        with pytest.raises(InvalidSignature):
            SOURCES[slug].verify(request, Secrets(), NOW)


@pytest.mark.parametrize("slug", TIMED)
def test_stale_and_future_messages_are_refused(slug: str) -> None:
    """Where a time is signed, it may be off by the tolerance either way, and by no second more."""
    tolerance_s = CONTRACTS[slug].tolerance_s or 0
    request = signed(slug, CONTRACTS[slug].smallest)
    for after_s in (-tolerance_s, 1 - tolerance_s, 0, tolerance_s - 1, tolerance_s):
        verify(slug, request, after_s=after_s)
    for after_s in (-tolerance_s - 1, tolerance_s + 1, 86_400, -86_400):
        with pytest.raises(InvalidSignature):
            verify(slug, request, after_s=after_s)


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if slug not in TIMED])
def test_age_plays_no_part_where_no_time_is_signed(slug: str) -> None:
    """A vendor that signs no time may deliver late; only the dedupe stops a replay."""
    for after_s in (-86_400, 86_400):
        verify(slug, signed(slug, CONTRACTS[slug].smallest), after_s=after_s)


@pytest.mark.parametrize("slug", SLUGS)
async def test_other_methods_and_content_types_are_refused(slug: str, receive: Receive) -> None:
    """
    Only what the source sends gets as far as its signature; all else is refused without being read.
    """
    request = addressed(slug, signed(slug, CONTRACTS[slug].smallest))
    for method in ("GET", "PUT"):
        assert HTTPStatus.METHOD_NOT_ALLOWED == await receive(replace(request, method=method))
    accepted_types = SOURCES[slug].content_types or OTHER_TYPES
    for content_type in {*OTHER_TYPES}.difference(accepted_types):
        changed = with_headers(request, {"content-type": content_type})
        assert HTTPStatus.UNSUPPORTED_MEDIA_TYPE == await receive(changed)


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_same_message_twice_has_the_same_key(slug: str, name: str) -> None:
    """
    A retry, signed anew with the other secret and with other headers, is named as the first time,
    and after the call of its events.
    """
    source = SOURCES[slug]
    contract = CONTRACTS[slug]
    request = signed(slug, name)
    later = contract.sign(fixture(slug, name), contract.secrets[1], NOW + timedelta(seconds=60))
    again = with_headers(
        later, dict.fromkeys((*contract.retry_headers, "user-agent", "x-request-id"), "another")
    )
    try:
        keys = source.keys(source.redact(request))
    except MessageError as err:
        with pytest.raises(type(err)):
            source.keys(source.redact(again))
        with pytest.raises(type(err)):
            source.parse(request, MESSAGE_ID)
        return
    assert keys == source.keys(source.redact(again))
    try:
        events = source.parse(request, MESSAGE_ID)
    except MalformedPayload:
        return
    assert {keys.source_call_id} == {event.source_call_id for event in events}
    assert {(slug, MESSAGE_ID)} == {(event.source, event.message_id) for event in events}


@pytest.mark.parametrize("slug", SLUGS)
def test_different_messages_have_different_keys(slug: str) -> None:
    """No two fixtures share a key."""
    names_by_key: dict[str, str] = {}
    for name in fixture_names(slug):
        try:
            key = SOURCES[slug].keys(signed(slug, name)).message_key
        except MessageError:
            continue
        assert key not in names_by_key, (name, names_by_key[key])
        names_by_key[key] = name


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_event_survives_json(slug: str, name: str) -> None:
    """Event, JSON, event is the identity."""
    events = tuple(read(slug, fixture(slug, name)))
    assert events == from_json(to_json(events))


@pytest.mark.parametrize(("slug", "scenario"), CALLS)
def test_every_order_of_a_call_gives_the_same_state(slug: str, scenario: str) -> None:
    """
    In whatever order the messages of a call arrive, and however often each of them does, they make
    the same call.
    """
    messages = [read(slug, request) for request in call_messages(slug, scenario)]
    (name,) = {
        SOURCES[slug].keys(request).source_call_id for request in call_messages(slug, scenario)
    }
    call = fold(itertools.chain(*messages))
    assert call.is_final
    assert name == call.source_call_id
    for order in orders(messages):
        assert call == fold_one_by_one(order)


def orders(messages: list[list[CallEvent]]) -> Iterator[list[list[CallEvent]]]:
    """All orders of a few messages; of many some random ones, with repetitions."""
    if len(messages) <= ALL_ORDERS_UP_TO:
        yield from map(list, itertools.permutations(messages))
        return
    rng = Random(1)
    for _ in range(RANDOM_ORDERS):
        yield rng.sample([*messages, *messages[::2]], len(messages) + len(messages[::2]))


def fold_one_by_one(messages: list[list[CallEvent]]) -> Call:
    """
    A call as it is folded while its messages come in: with each message everything known so far is
    read back and folded again.
    """
    stored_events: tuple[CallEvent, ...] = ()
    for events in messages:
        stored_events = from_json(to_json((*stored_events, *events)))
    return fold(stored_events)


def attempt(slug: str, request: WebhookRequest) -> None:
    """
    Take a message through all that the receiver and the worker do; anything but a `MessageError`
    fails the test.
    """
    source = SOURCES[slug]
    for part in (
        lambda: verify(slug, request),
        lambda: source.keys(request),
        lambda: to_json(source.parse(request, MESSAGE_ID)),
        lambda: source.handshake(request, Secrets(CONTRACTS[slug].secrets), NOW),
        lambda: source.redact(request),
    ):
        try:
            part()
        except MessageError:
            continue
    # By then the message is kept, so that no answer but a good one will do.
    assert source.reply(request).status in {200, 202, 204}


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_every_prefix_of_a_body_is_handled(slug: str, name: str) -> None:
    """A body that breaks off anywhere gives a message error at most."""
    request = fixture(slug, name)
    for end in range(0, len(request.body), step(slug, name, 13)):
        attempt(slug, replace(request, body=request.body[:end]))


@pytest.mark.slow
@pytest.mark.parametrize("slug", SLUGS)
@settings(max_examples=trials(150), deadline=None)
@given(data=st.data(), noise=st.binary(max_size=12))
def test_every_mutation_of_a_message_is_handled(
    slug: str, data: st.DataObject, noise: bytes
) -> None:
    """
    Whatever bytes are put into a body, a query or the headers, a message error is the worst that
    comes of it.
    """
    request = signed(slug, data.draw(st.sampled_from(fixture_names(slug))))
    start = data.draw(st.integers(0, len(request.body)))
    end = data.draw(st.integers(start, min(len(request.body), start + 20)))
    body = request.body[:start] + noise + request.body[end:]
    attempt(slug, replace(request, body=body))
    text = noise.decode("latin-1")
    attempt(slug, replace(request, url=request.url + text))
    attempt(slug, with_headers(request, dict.fromkeys(request.headers, text)))


@pytest.mark.slow
@pytest.mark.parametrize("slug", SLUGS)
def test_thousands_of_changed_bodies_are_handled(slug: str) -> None:
    """
    Bytes turned over, left out, put in and moved, anywhere in any body: a message error is the
    worst that comes of it.
    """
    rng = Random(random.getrandbits(64))
    names = fixture_names(slug)
    for number in range(MUTATIONS):
        request = fixture(slug, names[number % len(names)])
        body = bytearray(request.body)
        for _ in range(rng.randint(1, 4)):
            place = rng.randint(0, len(body))
            length = rng.randint(0, 12)
            body[place : place + rng.choice((0, 1, length))] = rng.choice(
                (b"", rng.randbytes(length), body[-length:], rng.choice(NASTY))
            )
        attempt(slug, replace(request, body=bytes(body)))


JSON_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.slow
@pytest.mark.parametrize("slug", [slug for slug in SLUGS if JSON in SOURCES[slug].content_types])
@settings(max_examples=trials(300), deadline=None)
@given(data=st.data(), value=JSON_VALUES)
def test_wrong_types_are_handled(slug: str, data: st.DataObject, value: object) -> None:
    """Any JSON value in any field of a JSON message gives events or a message error."""
    parts = json.loads(fixture_text(slug, CONTRACTS[slug].smallest))
    body: dict[str, object] = parts.get("body_json") or parts["body_form"]
    *above, name = data.draw(st.sampled_from(paths_of(slug)))
    place = body
    for parent_name in above:
        parent = place.get(parent_name)
        if not isinstance(parent, dict):
            parent = {}
        place[parent_name] = parent
        place = parent
    place[name] = value
    request = with_headers(fixture(slug, CONTRACTS[slug].smallest), {"content-type": JSON})
    attempt(slug, replace(request, body=json.dumps(body).encode()))


@pytest.mark.slow
@pytest.mark.parametrize("slug", [slug for slug in SLUGS if FORM in SOURCES[slug].content_types])
@settings(max_examples=trials(300), deadline=None)
@given(
    data=st.data(),
    value=st.text(max_size=12)
    | st.sampled_from(["0", "-1", "9" * 30, "true", "sip:", "+", "[]", "1e9"]),
)
def test_wrong_texts_are_handled(slug: str, data: st.DataObject, value: str) -> None:
    """Any text in any field of a form gives events or a message error."""
    parts = json.loads(fixture_text(slug, CONTRACTS[slug].smallest))
    body = dict(parts.get("body_form") or parts["body_json"])
    body[data.draw(st.sampled_from(paths_of(slug)))[-1]] = value
    request = with_headers(fixture(slug, CONTRACTS[slug].smallest), {"content-type": FORM})
    attempt(slug, replace(request, body=str(httpx.QueryParams(body)).encode()))


@pytest.mark.parametrize("slug", SLUGS)
def test_every_word_of_every_table_has_a_fixture(slug: str) -> None:
    """Each word that a source knows is in one of its fixtures."""
    assert CONTRACTS[slug].words
    for field, values in CONTRACTS[slug].words.items():
        assert set(map(str, values)) - values_of(slug, field) == set(), field


@pytest.mark.parametrize("slug", SLUGS)
def test_unknown_words_are_kept_and_end_nothing(slug: str) -> None:
    """A word in no table gives an unknown event that holds it, and neither a cause nor a result."""
    events = [event for name in fixture_names(slug) for event in read(slug, fixture(slug, name))]
    unknown = [event for event in events if event.event_type is EventType.UNKNOWN]
    assert {(None, None)} == {(event.hangup_cause, event.result) for event in unknown}
    values = {event.vendor_status or "" for event in unknown}
    assert CONTRACTS[slug].unknown_values == {value for value in values if ID_FAULT not in value}


@pytest.mark.parametrize("slug", SLUGS)
def test_source_is_documented_and_has_fixtures(slug: str) -> None:
    """
    Every source has an operator's page with the headings of all others, settings that are
    described, and enough fixtures and calls.
    """
    page = (ROOT / "docs" / "telephony" / f"{slug}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert HEADINGS == tuple(name for name in headings if name != BACKFILL_HEADING)
    assert (slug in LOGGED) == (BACKFILL_HEADING in headings)
    assert [] == [name for name in setting_names(slug) if f"`{name}`" not in page]
    assert f"/webhooks/{slug}" in page
    assert f"buildr-calls trigger {slug} " in page
    assert "made" in (HERE / slug / "README.md").read_text(encoding="utf-8")
    assert len(fixture_names(slug)) >= LEAST_FIXTURES
    assert [source for source, _ in scenarios() if source == slug]
    unread = {path.name for path in (HERE / slug / "fixtures").glob("*.expected.json")} ^ {
        f"{name}.expected.json" for name in fixture_names(slug)
    }
    assert set() == unread


def personal(slug: str, name: str) -> set[str]:
    """The telephone numbers, notes and secrets of a fixture, none of which may ever be logged."""
    numbers = set(NUMBER.findall(fixture_text(slug, name)))
    texts: set[str] = set()
    for event in read(slug, fixture(slug, name)):
        addresses = (event.from_number or "", event.to_number or "")
        numbers |= {address[1:] for address in addresses if address.startswith("+")}
        texts.add(event.note or "")
        if event.voicemail is not None:
            texts.add(event.voicemail.transcript or "")
    return {*numbers, *_at_least(LEAST_TEXT, texts), *_proofs(slug, name)}.union(
        CONTRACTS[slug].secrets
    )


def _proofs(slug: str, name: str) -> set[str]:
    headers = signed(slug, name).headers
    values = itertools.chain.from_iterable(headers[header] for header in CONTRACTS[slug].proofs)
    return _at_least(LEAST_PROOF, values)


def _at_least(length: int, texts: Iterable[str]) -> set[str]:
    return {text for text in texts if len(text) >= length}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged, as in production and at the level that says most."""
    loggers = [
        logging.getLogger(name)
        for name in ("", "uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access", *LIBRARIES)
    ]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    stream = io.StringIO()
    configure_logging(fmt="json", level="debug", stream=stream)
    yield stream
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.slow
async def test_no_log_line_holds_a_number_or_a_secret_and_nothing_kept_a_secret(
    store: Store, log: io.StringIO, receive: Receive
) -> None:
    """
    Every fixture goes through the receiver, genuine and forged, and is then read by a worker: none
    of it gets into a log.
    """
    unsafe: set[str] = set()
    for slug, name in itertools.chain.from_iterable(
        itertools.product([slug], fixture_names(slug)) for slug in SLUGS
    ):
        request = addressed(slug, signed(slug, name))
        assert await receive(request) in {200, 202, 204}, name
        other_secret = CONTRACTS[slug].secrets[1]
        forged = addressed(slug, CONTRACTS[slug].sign(fixture(slug, name), other_secret, NOW))
        assert HTTPStatus.UNAUTHORIZED == await receive(forged), name
        unsafe |= personal(slug, name)
    messages = await stored_messages(store)
    parse_messages(messages, clock=lambda: NOW)
    lines = [line for line in log.getvalue().splitlines() if OUR_LOGGER.search(line)]
    # Of the refused ones only the first have a line each.
    assert len(lines) >= len(ALL)
    assert any('"workers.' in line for line in lines)
    assert [] == [(text, line) for text in unsafe for line in lines if text in line]
    assert [] == [
        (message.source, secret)
        for message, secret in itertools.product(messages, all_secrets())
        if secret in str(message.request)
    ]


async def stored_messages(store: Store) -> list[Message]:
    """All messages in Redis."""
    prefix = store.keys.message("")
    keys = [key.decode() async for key in store.redis.scan_iter(match=f"{prefix}*", count=1000)]
    messages = await store.messages.get_many([key.removeprefix(prefix) for key in keys])
    return list(messages.values())


def all_secrets() -> set[str]:
    """The secrets of all sources and their path tokens."""
    tokens = {path_token(URL_SECRET, slug) for slug in SLUGS}
    return tokens.union(*(CONTRACTS[slug].secrets for slug in SLUGS))
