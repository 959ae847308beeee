"""
Values that cannot be read count as absent, and what is beside them is read.
"""

from datetime import UTC, date, datetime
from typing import Final

import pytest

from service.store.connection import Store
from service.store.figures import Figures
from service.store.phone_book import PhoneBookEntry
from service.store.stored_values import read_integer, read_iso, read_ms, read_number

DAMAGED: Final = b"\xff\x00damaged:\xfe"
NUMBER: Final = "+15005550001"
AT: Final = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize("stored", [None, b"", b"x", DAMAGED, b"nan", b"1e999", b"9" * 400])
def test_what_is_no_value_is_absent(stored: bytes | None) -> None:
    """Neither is it an error."""
    assert read_number(stored) is None or stored == b"9" * 400
    assert read_ms(stored) is None
    assert read_iso(stored) is None


@pytest.mark.parametrize("stored", [b"2026-11-02T10:00:00", b"0001-01-01T00:00:00+14:00"])
def test_a_moment_without_an_offset_or_beyond_all_time_is_absent(stored: bytes) -> None:
    """As it would have been taken for another one."""
    assert read_iso(stored) is None


def test_values_are_read() -> None:
    """As they are written."""
    assert 12 == read_integer(b"12")
    assert read_integer(b"1.5") is None
    assert 1.5 == read_number(b"1.5")
    assert AT == read_ms(str(int(AT.timestamp() * 1000)).encode())
    assert AT == read_iso(b"2026-11-02T12:00:00+02:00")


async def damage(store: Store, name: str, *, also: dict[str, str]) -> None:
    """Put fields into a hash of which one cannot be read."""
    pipe = store.pool.pipeline(transaction=False)
    pipe.hset(store.keys.named(name), mapping={DAMAGED: DAMAGED})
    pipe.hset(store.keys.named(name), mapping=also)
    await pipe.execute()


async def test_figures_are_read_beside_what_is_damaged(store: Store) -> None:
    """Metrics go on."""
    figures = Figures(store.redis, store.keys)
    await damage(store, "figures", also={"delivery_seconds:a:0": "x"})
    await damage(store, "outcome_days", also={"2026-11-02:Busy": "3", "2026-11-02:Odd": "x"})
    await damage(store, "unknown_values", also={"twilio:new": "1793613600000", "twilio:odd": "x"})
    await damage(store, "counts", also={"ignored:twilio": "2"})
    await figures.histograms()
    assert {date(2026, 11, 2): {"Busy": 3}} == await figures.outcome_days()
    assert [("twilio", "new")] == list(await figures.unknown_values())
    await figures.forget_old(AT)
    assert 2 == (await store.counters.all())["ignored:twilio"]


async def test_a_damaged_entry_of_the_phone_book_is_nobody(store: Store) -> None:
    """Whom it was about could be anybody; another entry of the number counts."""
    await store.phone_book.put([PhoneBookEntry(number=NUMBER, contact_id="418")])
    (key,) = [key async for key in store.redis.scan_iter(match="*phonebook:*", count=100)]
    ((digits, text),) = (await store.redis.hgetall(key.decode())).items()
    await store.redis.hset(key.decode(), digits.decode(), b"\xff419,,,i1;" + text + b";42")
    assert ["418"] == [entry.contact_id for entry in await store.phone_book.find(NUMBER)]
