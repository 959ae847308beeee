"""
What lies in Redis, made small and read back.
"""

import hashlib
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.errors import FailureCause, MalformedPayload
from service.events import CallEvent, EventType, to_json
from service.receiver.inbox import DEFAULT_RETRY_POLICY, Inbox
from service.receiver.inbox_messages import InboxLimits
from service.sources.request import WebhookRequest
from service.store.call_update import CallUpdate
from service.store.calls import LoadedCall
from service.store.compression import (
    DICTIONARY,
    FORM,
    HEAD_LENGTH,
    MOST_STORED,
    WINDOW_BITS,
    compress,
    decompress,
    frame,
    is_framed,
    make_small,
)
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.messages import Message, frame_message, pack_message, read_unread

AT = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
LIMITS = InboxLimits(
    dedupe_h=96, keep_messages_d=7, keep_failed_d=30, max_pending=100, accept_timeout_s=5
)
REF = "twilio:CA5f3c9e1b7d2a4f60b8c1d2e3f4a5b6c7"
SID = REF.partition(":")[2]
# What zlib keeps free of its window, and room for what is put beside the words.
FROM_WINDOW = 262 + 300
WORDS_CHECKSUM = 1600795840
PACKED = "0181f73060c3181030c43222500b00"
ANY = st.one_of(
    st.binary(max_size=3000),
    st.text().map(str.encode),
    st.sampled_from([DICTIONARY, DICTIONARY * 5, b"a" * 100_000]),
)


@given(text=ANY, context=st.one_of(st.just(b""), st.binary(max_size=300)))
@example(text=b"", context=b"")
@example(text=b"{}", context=b"{}")
def test_what_is_packed_is_read_back(text: bytes, context: bytes) -> None:
    """Any bytes come back as they were, whatever lies beside them."""
    assert text == decompress(compress(text, context=context), context=context)


@given(text=ANY)
@example(text=b"")
@example(text=b"a" * MOST_STORED)
@example(text=b"a" * (MOST_STORED + 1))
def test_what_is_framed_is_read_back_and_made_small(text: bytes) -> None:
    """As the first form is read, since a version before may read it."""
    framed = frame(text)
    assert is_framed(framed) == (len(text) <= MOST_STORED)
    first_version = zlib.decompressobj(-WINDOW_BITS, zdict=DICTIONARY)
    assert text == decompress(framed) == first_version.decompress(framed[HEAD_LENGTH:])
    small = make_small(framed)
    assert text == decompress(small)
    assert small == compress(text, is_fast=True)


@pytest.mark.parametrize(
    "stored", [b"", b"{}", b"never\x01packed", compress(b"a" * 100), b"\x02damaged"]
)
def test_what_is_not_framed_stays_as_it_is(stored: bytes) -> None:
    """A message that was packed by a version before, or never."""
    assert stored == make_small(stored)


@given(
    text=st.one_of(
        st.just(b""), st.text(min_size=1).filter(lambda text: ord(text[0]) > 8).map(str.encode)
    )
)
def test_what_was_never_packed_is_read_as_it_is(text: bytes) -> None:
    """JSON that lies in Redis as such is read as before."""
    assert text == decompress(text)


@pytest.mark.parametrize("pack", [compress, frame])
@given(
    text=st.binary(min_size=1, max_size=300), place=st.integers(1, 10_000), bits=st.integers(1, 255)
)
def test_damage_is_never_read_as_something_else(
    pack: Callable[[bytes], bytes], text: bytes, place: int, bits: int
) -> None:
    """
    A byte that is not what it was ends in a clear error; only bits that mean nothing may differ.
    """
    packed = bytearray(pack(text))
    packed[1 + place % (len(packed) - 1)] ^= bits
    unpacked: bytes | None = None
    fault = ""
    try:
        unpacked = decompress(bytes(packed))
    except MalformedPayload as err:
        fault = str(err)
    assert text == unpacked or "damaged" in fault


@pytest.mark.parametrize("pack", [compress, frame])
@given(
    text=st.binary(max_size=300),
    place=st.integers(0, 10_000),
    more=st.binary(min_size=1, max_size=9),
)
def test_what_is_cut_or_goes_on_is_damaged(
    pack: Callable[[bytes], bytes], text: bytes, place: int, more: bytes
) -> None:
    """A part of what was packed is nothing, and so is more than that."""
    packed = pack(text)
    for damaged in (packed[: 1 + place % (len(packed) - 1)], packed + more):
        with pytest.raises(MalformedPayload, match="damaged"):
            decompress(damaged)


def test_what_lies_beside_must_be_the_same() -> None:
    """A record that is read under another name is not taken for that one's."""
    with pytest.raises(MalformedPayload, match="damaged"):
        decompress(compress(b"of CA0123456789", context=b"CA0123456789"), context=b"CA9876543210")


@pytest.mark.parametrize("form", [form for form in range(9) if form != FORM])
def test_form_of_a_newer_version_is_named(form: int) -> None:
    """A worker that is too old says so."""
    with pytest.raises(MalformedPayload, match="upgrade the workers first"):
        decompress(bytes((form, 1, 2, 3)))


def test_what_the_first_form_has_written_is_read_for_ever() -> None:
    """
    The words of a form are what its bytes are made of: to change them is to lose what lies in
    Redis, and needs a new form.
    """
    assert (FORM, WORDS_CHECKSUM) == (1, zlib.crc32(DICTIONARY))
    assert b'{"ref":"twilio:CA1","state":"waiting"}' == decompress(
        bytes.fromhex(PACKED), context=b"twilio:CA1"
    )


def test_dictionary_of_the_first_form_is_byte_identical() -> None:
    """Every packed record in Redis needs exactly these bytes to be unpacked."""
    digest = "220a3cd0661ef5ba1dfb718d506c817641b809541aa8fa1bc38fe4fe7a98dfb0"
    assert (1, digest) == (FORM, hashlib.sha256(DICTIONARY).hexdigest())


def test_words_fit_into_the_window() -> None:
    """Words that are out of reach would never be used."""
    assert len(DICTIONARY) <= 2**WINDOW_BITS - FROM_WINDOW


def _twilio(number: int) -> Message:
    """A status callback as long as Twilio's are."""
    place = {"City": "GRAND+RAPIDS", "State": "MI", "Zip": "49503", "Country": "US"}
    ends = {
        f"{end}{name}": value
        for end in ("From", "To", "Caller", "Called")
        for name, value in place.items()
    }
    form = {
        "CallSid": SID,
        "AccountSid": "AC9d0c1b2a3f4e5d6c7b8a99887766f5e4",
        "CallStatus": "completed",
        "CallbackSource": "call-progress-events",
        "SequenceNumber": str(number),
        "Timestamp": "Mon, 02 Nov 2026 10:00:49 +0000",
        "ApiVersion": "2010-04-01",
        "Direction": "outbound-api",
        **dict.fromkeys(("From", "Caller"), "+15005550006"),
        **dict.fromkeys(("To", "Called"), "+15005550001"),
        **ends,
    }
    request = WebhookRequest(
        method="POST",
        url="https://hooks.example.test/webhooks/twilio?buildr_call_id=110",
        headers={"content-type": ("application/x-www-form-urlencoded; charset=UTF-8",)},
        body=urlencode(form).encode(),
    )
    return Message(
        message_id=f"m{number:024x}",
        source="twilio",
        source_call_id=SID,
        received_at=AT,
        request=request,
    )


def _event(message_id: str) -> CallEvent:
    return CallEvent(
        source="twilio",
        message_id=message_id,
        source_call_id=SID,
        leg_id=SID,
        event_type=EventType.ENDED,
        occurred_at=AT,
        from_number="+15005550006",
        to_number="+15005550001",
        buildr_call_id="110",
        vendor_status="completed",
    )


def test_vendors_message_takes_less_than_half_of_its_size() -> None:
    """A message of Twilio, whose names are known, takes little more than its ids and numbers."""
    message = _twilio(1)
    assert len(pack_message(message)) * 2 < len(message.request.body)


async def test_call_of_five_messages_takes_little_of_redis(store: Store) -> None:
    """
    A hundred thousand waiting calls of five webhooks each need less than 512 MB, their raw messages
    included.
    """
    inbox = Inbox(store, LIMITS)
    messages = [_twilio(number) for number in range(5)]
    for message in messages:
        assert await inbox.accept(message)
    await inbox.close()
    record = DeliveryRecord(
        ref=REF,
        buildr_call_id="110",
        result="connected",
        outcome="Connected",
        rule="default.connected",
        last_received_at=AT,
    )
    for number, message in enumerate(messages):
        record = record.with_history(
            AT + timedelta(seconds=number), "received", f"completed ({message.message_id})"
        )
    ids = [message.message_id for message in messages]
    events = {id_: to_json((_event(id_),)) for id_ in ids}
    framed = (await store.calls.begin(REF, worker_id="w")).unread.framed
    assert list(framed) == ids
    assert await store.calls.commit(
        CallUpdate(record=record, version=0, events=events, done=tuple(events), framed=framed)
    )
    keys = [key async for key in store.redis.scan_iter(match="bc:default:*", count=1000)]
    pipe = store.redis.pipeline(transaction=False)
    for key in keys:
        pipe.memory_usage(key, samples=0)
    assert sum(await pipe.execute()) < 4500


async def _begun(store: Store, message: Message) -> LoadedCall:
    """The call of a message that has just been accepted, as a job reads it."""
    inbox = Inbox(store, LIMITS)
    assert await inbox.accept(message)
    await inbox.close()
    return await store.calls.begin(REF, worker_id="w")


def _update(loaded: LoadedCall) -> CallUpdate:
    return CallUpdate(
        record=DeliveryRecord(ref=REF),
        version=loaded.stored.version,
        done=loaded.pending,
        framed=loaded.unread.framed,
    )


async def test_a_message_is_made_small_once_it_is_read(store: Store) -> None:
    """The receiver keeps it framed; it stays the same message, and gets its time to live."""
    message = _twilio(1)
    key = store.keys.message(message.message_id)
    loaded = await _begun(store, message)
    framed = await store.redis.get(key)
    assert framed is not None
    assert await store.calls.commit(_update(loaded))
    small = await store.redis.get(key)
    assert small is not None
    assert len(small) * 2 < len(framed)
    assert message == await store.messages.get(message.message_id)
    assert await store.pool.pttl(key) > 0
    # A message without events, such as one that is ignored, leaves no trace in its call.
    call = await store.calls.get(REF)
    assert call is not None
    assert {} == call.events


def test_only_what_is_framed_has_to_be_made_small() -> None:
    """Nothing else is written once more by a commit."""
    message = _twilio(1)
    framed = b"\n" + frame_message(message)
    small = b"\n" + pack_message(message)
    unread = read_unread(("m1", "m2"), (framed, small), (b"", b""))
    assert {"m1": framed} == unread.framed


async def test_a_message_that_was_erased_meanwhile_stays_so(store: Store) -> None:
    """Whoever asked for that must not find it again."""
    message = _twilio(1)
    loaded = await _begun(store, message)
    await store.redis.delete(store.keys.message(message.message_id))
    assert await store.calls.commit(_update(loaded))
    assert await store.messages.get(message.message_id) is None


async def test_a_message_that_cannot_be_read_is_small_from_the_start(store: Store) -> None:
    """No job reads it."""
    message = replace(_twilio(1), source_call_id=None)
    inbox = Inbox(store, LIMITS)
    cause = FailureCause.MALFORMED_PAYLOAD
    assert await inbox.keep_failed(message, DEFAULT_RETRY_POLICY, cause=cause, detail="")
    await inbox.close()
    stored = await store.redis.get(store.keys.message(message.message_id))
    assert stored is not None
    assert not is_framed(stored.partition(b"\n")[2])


async def test_damaged_call_and_message_say_so(store: Store) -> None:
    """
    What Redis holds of a call or a message and cannot be read is an error that names the cause,
    never an empty call.
    """
    assert await store.calls.commit(
        CallUpdate(
            record=DeliveryRecord(ref=REF), version=0, events={"m1": to_json((_event("m1"),))}
        )
    )
    for name in ("rec", "e:m1"):
        packed = (await store.redis.hgetall(store.keys.call(REF)))[name.encode()]
        await store.redis.hset(store.keys.call(REF), name, packed[:-1])
        with pytest.raises(MalformedPayload, match="damaged"):
            await store.calls.get(REF)
        await store.redis.hset(store.keys.call(REF), name, "{")
        with pytest.raises(MalformedPayload, match="cannot be read"):
            await store.calls.get(REF)
        await store.redis.hset(store.keys.call(REF), name, packed)
    assert await store.calls.get(REF) is not None
    for stored, cause in (
        (b"twilio:CA1\n\x01damaged", "damaged"),
        (b"twilio:CA1\n{}\nbody", "cannot be read"),
    ):
        await store.redis.set(store.keys.message("m1"), stored)
        with pytest.raises(MalformedPayload, match=cause):
            await store.messages.get("m1")


async def test_record_that_was_never_packed_is_read(store: Store) -> None:
    """A call whose record and events lie in Redis as JSON is read as before."""
    event = _event("m1")
    for name, text in (
        ("v", "3"),
        ("rec", f'{{"ref":"{REF}","result":"busy"}}'),
        ("e:m1", to_json((event,))),
    ):
        await store.redis.hset(store.keys.call(REF), name, text)
    stored = await store.calls.get(REF)
    assert stored is not None
    assert (3, DeliveryRecord(ref=REF, result="busy"), {"m1": (event,)}) == (
        stored.version,
        stored.record,
        stored.events,
    )
