"""
What every source must do, over every one of its fixtures.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import InvalidSignature, MalformedPayload, MessageError
from service.events import AnsweredBy, Direction, EventType, HangupCause, Party, Result, as_dict, from_json, to_json
from service.secrets import Secrets
from service.sources import SOURCES, Incoming, standard_message, twilio
from service.sources.request_file import read_request
from tests.sources.signing import PROOFS, SECRETS, SIGN, with_headers

HERE: Final = Path(__file__).parent
NOW: Final = datetime(2026, 11, 2, 10, 5, tzinfo=UTC)
MESSAGE_ID: Final = "m000000000000000000000000"
BASE_URL: Final = "https://hooks.example.test"
SMALLEST: Final = {"twilio": "status__only-required-fields", "standard": "ended__only-required-fields"}
TIMED: Final = frozenset({"standard"})


def _names(slug: str) -> list[str]:
    return sorted(path.stem for path in (HERE / slug).glob("*.json") if not path.name.endswith(".expected.json"))


@cache
def fixture(slug: str, name: str) -> Incoming:
    return read_request((HERE / slug / f"{name}.json").read_text(encoding="utf-8"), base_url=BASE_URL)


@cache
def signed(slug: str, name: str) -> Incoming:
    return SIGN[slug](fixture(slug, name), SECRETS[slug][0], NOW)


STANDARD_WORDS: Final[Mapping[str, set[str]]] = {
    "type": set(standard_message.EVENT_TYPES),
    "answered_by": set(AnsweredBy),
    "hangup_cause": set(HangupCause),
    "result": set(Result),
    "direction": set(Direction),
    "party": set(Party),
}
ALL: Final = [pytest.param(slug, name, id=f"{slug}-{name}") for slug in SOURCES for name in _names(slug)]
SLUGS: Final = list(SOURCES)


def verify(slug: str, incoming: Incoming, *secrets: str, now: datetime = NOW) -> None:
    SOURCES[slug].verify(incoming, Secrets(secrets or SECRETS[slug][:1]), now)


def is_genuine(slug: str, incoming: Incoming) -> bool:
    try:
        verify(slug, incoming)
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_signed_fixture_gives_exactly_the_expected_events(slug: str, name: str) -> None:
    """What the vendor's library signed is genuine and means what is written beside it."""
    incoming = signed(slug, name)
    verify(slug, incoming)
    expected = json.loads((HERE / slug / f"{name}.expected.json").read_text(encoding="utf-8"))
    try:
        found: object = [as_dict(event) for event in SOURCES[slug].parse(incoming, MESSAGE_ID)]
    except MessageError as err:
        found = {"raises": type(err).__name__}
    assert expected == found


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_own_signature_is_accepted_by_own_check(slug: str, name: str) -> None:
    """What `trigger` signs is genuine."""
    verify(slug, SOURCES[slug].sign(fixture(slug, name), Secrets(SECRETS[slug]), NOW))


@pytest.mark.parametrize("slug", SLUGS)
def test_signing_without_a_secret_is_refused(slug: str) -> None:
    """Without a secret there is nothing to sign with, and the error says what to set."""
    with pytest.raises(ValueError, match=f"set {slug.upper()}"):
        SOURCES[slug].sign(fixture(slug, SMALLEST[slug]), Secrets(), NOW)


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_changed_body_is_refused(slug: str, name: str) -> None:
    """A body of which some byte differs is not genuine; of the smallest fixture every byte is tried, of the others one in 37."""
    incoming = signed(slug, name)
    for place in range(0, len(incoming.body), 1 if name == SMALLEST[slug] else 37):
        changed = bytearray(incoming.body)
        changed[place] ^= 1
        assert not is_genuine(slug, replace(incoming, body=bytes(changed))), place
    assert not is_genuine(slug, replace(incoming, body=incoming.body + b"&x=1"))
    assert not is_genuine(slug, replace(incoming, body=b""))


@pytest.mark.parametrize("name", _names("twilio"))
def test_changed_url_is_refused_where_it_is_signed(name: str) -> None:
    """Twilio signs the URL: another host, path, query or scheme is not genuine."""
    incoming = signed("twilio", name)
    for place in range(len("https://"), len(incoming.url), 1 if name == SMALLEST["twilio"] else 11):
        changed = incoming.url[:place] + ("x" if incoming.url[place] != "x" else "y") + incoming.url[place + 1 :]
        assert not is_genuine("twilio", replace(incoming, url=changed)), changed
    mark = "&" if incoming.query else "?"
    assert not is_genuine("twilio", replace(incoming, url=f"{incoming.url}{mark}buildr_call_id=1"))
    assert not is_genuine("twilio", replace(incoming, url=incoming.url.replace("https://", "http://")))


@pytest.mark.parametrize(("slug", "header"), [(slug, header) for slug in SLUGS for header in PROOFS[slug]])
def test_proof_must_be_there_once_and_unchanged(slug: str, header: str) -> None:
    """Each header that proves something must come exactly once; missing, empty, doubled or changed in any byte it is refused."""
    incoming = signed(slug, SMALLEST[slug])
    value = incoming.headers[header][0]
    for values in ((), ("",), (value, value), (value, ""), (f"x{value}",), (f"{value}é",), ("é",), ("=",), (",",), ("\udcff",)):
        assert not is_genuine(slug, replace(incoming, headers={**incoming.headers, header: values})), values
    assert not is_genuine(slug, replace(incoming, headers={name: held for name, held in incoming.headers.items() if name != header}))
    for place, character in enumerate(value):
        changed = value[:place] + chr(ord(character) ^ 1) + value[place + 1 :]
        assert not is_genuine(slug, with_headers(incoming, {header: changed})), changed


@pytest.mark.parametrize("slug", SLUGS)
def test_every_secret_of_a_list_counts(slug: str) -> None:
    """While secrets rotate, a message signed with any of them is genuine; with another, or none, it is not."""
    old, new = SECRETS[slug]
    for secret in (old, new):
        incoming = SIGN[slug](fixture(slug, SMALLEST[slug]), secret, NOW)
        verify(slug, incoming, old, new)
        verify(slug, incoming, new, old)
        verify(slug, incoming, "whsec_not base64!", "", "é", secret)
        other = new if secret == old else old
        with pytest.raises(InvalidSignature):
            verify(slug, incoming, other)
        with pytest.raises(InvalidSignature):
            SOURCES[slug].verify(incoming, Secrets(), NOW)


@pytest.mark.parametrize("slug", sorted(TIMED))
def test_stale_and_future_messages_are_refused(slug: str) -> None:
    """Where a time is signed, 300 seconds either way are tolerated and one more is not."""
    incoming = signed(slug, SMALLEST[slug])
    for offset_s in (-300, -299, 0, 299, 300):
        verify(slug, incoming, now=NOW + timedelta(seconds=offset_s))
    for offset_s in (-301, 301, 86_400, -86_400):
        with pytest.raises(InvalidSignature):
            verify(slug, incoming, now=NOW + timedelta(seconds=offset_s))


@pytest.mark.parametrize("slug", SLUGS)
def test_other_methods_and_content_types_are_refused(slug: str) -> None:
    """Only what the source sends gets as far as its signature; all else is refused without being read."""
    incoming = signed(slug, SMALLEST[slug])
    for changed in (
        replace(incoming, method="GET"),
        with_headers(incoming, {"content-type": "text/plain"}),
        with_headers(incoming, {"content-type": ""}),
        with_headers(incoming, {"content-type": "multipart/form-data; boundary=x"}),
    ):
        with pytest.raises(MessageError):
            verify(slug, changed)


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_same_message_twice_has_the_same_key(slug: str, name: str) -> None:
    """A retry, which may carry other unsigned headers, is named as the first time, and after the same call as its events."""
    source = SOURCES[slug]
    incoming = signed(slug, name)
    again = with_headers(incoming, {"i-twilio-idempotency-token": "another", "user-agent": "another", "x-request-id": "another"})
    try:
        keys = source.keys(incoming)
    except MessageError as err:
        with pytest.raises(type(err)):
            source.keys(again)
        with pytest.raises(MessageError):
            source.parse(incoming, MESSAGE_ID)
        return
    assert keys == source.keys(again)
    try:
        events = source.parse(incoming, MESSAGE_ID)
    except MalformedPayload:
        return
    assert {keys.source_call_id} == {event.source_call_id for event in events}


@pytest.mark.parametrize("slug", SLUGS)
def test_different_messages_have_different_keys(slug: str) -> None:
    """No two fixtures share a key."""
    found: dict[str, str] = {}
    for name in _names(slug):
        try:
            key = SOURCES[slug].keys(signed(slug, name)).message_key
        except MessageError:
            continue
        assert key not in found, (name, found[key])
        found[key] = name


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_event_survives_json(slug: str, name: str) -> None:
    """Event, JSON, event is the identity."""
    try:
        events = tuple(SOURCES[slug].parse(fixture(slug, name), MESSAGE_ID))
    except MessageError:
        return
    assert events == from_json(to_json(events))


def attempt(slug: str, incoming: Incoming) -> None:
    """Take a message through all that the receiver and the worker do; anything but a `MessageError` fails the test."""
    source = SOURCES[slug]
    for step in (
        lambda: verify(slug, incoming),
        lambda: source.keys(incoming),
        lambda: to_json(source.parse(incoming, MESSAGE_ID)),
        lambda: source.handshake(incoming, Secrets(SECRETS[slug])),
    ):
        try:
            step()
        except MessageError:
            continue
    # By then the message is kept, so that no answer but a good one will do.
    assert source.reply(incoming).status in {200, 202, 204}


@pytest.mark.parametrize(("slug", "name"), ALL)
def test_every_prefix_of_a_body_is_handled(slug: str, name: str) -> None:
    """A body that breaks off anywhere gives a message error at most."""
    incoming = fixture(slug, name)
    for end in range(0, len(incoming.body), 1 if name == SMALLEST[slug] else 13):
        attempt(slug, replace(incoming, body=incoming.body[:end]))


@settings(max_examples=300, deadline=None)
@given(data=st.data(), noise=st.binary(max_size=12))
def test_every_mutation_of_a_message_is_handled(data: st.DataObject, noise: bytes) -> None:
    """Whatever bytes are put into a body, a query or the headers, a message error is the worst that comes of it."""
    slug, name = data.draw(st.sampled_from([(slug, name) for slug in SLUGS for name in _names(slug)]))
    incoming = signed(slug, name)
    start = data.draw(st.integers(0, len(incoming.body)))
    end = data.draw(st.integers(start, min(len(incoming.body), start + 20)))
    body = incoming.body[:start] + noise + incoming.body[end:]
    attempt(slug, replace(incoming, body=body))
    text = noise.decode("latin-1")
    attempt(slug, replace(incoming, url=incoming.url + text))
    attempt(slug, with_headers(incoming, dict.fromkeys(incoming.headers, text)))


JSON_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(field=st.sampled_from(sorted(standard_message.StandardMessage.model_fields)), value=JSON_VALUES)
def test_wrong_types_in_standard_are_handled(field: str, value: object) -> None:
    """Any JSON value in any field of a `standard` message gives an event or a message error."""
    body = {"version": "1", "type": "call.ended", "call_id": "1", "hangup_cause": "busy", field.rstrip("_"): value}
    attempt("standard", replace(fixture("standard", SMALLEST["standard"]), body=json.dumps(body).encode()))


@settings(max_examples=300, deadline=None)
@given(
    field=st.sampled_from(sorted({*twilio.KNOWN_WORDS, "DialCallStatus", "Timestamp", "SequenceNumber", "CallDuration", "From"})),
    value=JSON_VALUES,
)
def test_wrong_types_in_twilio_are_handled(field: str, value: object) -> None:
    """Any JSON value in any field of a JSON message of Twilio's gives events or a message error."""
    body = {"CallSid": "CA1", "CallStatus": "completed", field: value}
    incoming = with_headers(fixture("twilio", SMALLEST["twilio"]), {"content-type": "application/json"})
    attempt("twilio", replace(incoming, body=json.dumps(body).encode()))


def test_every_word_of_every_table_has_a_fixture() -> None:
    """Each word that a table knows is in a fixture, and each word in a fixture that gave no unknown event is in a table."""
    forms = [json.loads((HERE / "twilio" / f"{name}.json").read_text(encoding="utf-8")).get("body_form", {}) for name in _names("twilio")]
    for field, known in {
        **twilio.KNOWN_WORDS,
        "RecordingStatus": twilio.RECORDING_STATUSES | twilio.IGNORED_RECORDING_STATUSES,
        "DialCallStatus": twilio.HANGUP_CAUSES,
        "SipResponseCode": {*twilio.SIP_CAUSES, *twilio.SIP_NOT_REACHED},
    }.items():
        assert set(known) - {form.get(field) for form in forms} == set(), field
    bodies = [
        json.loads((HERE / "standard" / f"{name}.json").read_text(encoding="utf-8")).get("body_json", {}) for name in _names("standard")
    ]
    for field, words in STANDARD_WORDS.items():
        assert words - {body.get(field) for body in bodies} == set(), field


def test_unknown_words_are_kept_and_end_nothing() -> None:
    """A word in no table gives an unknown event that holds it, and neither a cause nor a result."""
    found = set()
    for slug in SLUGS:
        for name in _names(slug):
            try:
                events = SOURCES[slug].parse(fixture(slug, name), MESSAGE_ID)
            except MessageError:
                continue
            for event in events:
                if event.event_type is EventType.UNKNOWN:
                    assert event.word
                    assert event.hangup_cause is None
                    assert event.result is None
                    found.add(event.word)
    faults = {word for word in found if "buildr_call_id" in word}
    assert found - faults == {"teleported", "parrot", "sideways", "pending", "call.teleported", "vanished", "sold"}
    assert len(faults) == 2


@pytest.mark.parametrize("slug", SLUGS)
def test_source_is_documented_and_has_fixtures(slug: str) -> None:
    """Every source has an operator's page and a word on where its fixtures come from."""
    root = HERE.parent.parent
    assert (root / "docs" / "telephony" / f"{slug}.md").is_file()
    assert "made" in (HERE / slug / "README.md").read_text(encoding="utf-8")
    assert len(_names(slug)) >= (25 if slug == "twilio" else 15)
