"""
The calls that an operator may mean: by name, by an id, or by a telephone number.
"""

from typing import Final

from service.phone_numbers import read_number
from service.sources import SOURCES
from service.store.call_ids import MOST_COMPARED
from service.store.call_listing import CallPage, CallQuery
from service.store.connection import Store
from service.store.keys import ref_of

# Calls of a number or a Buildr call that are listed.
MOST: Final = 20
PARTLY_COMPARED: Final = (
    "A part from the middle of an id was looked for among the newest "
    f"{MOST_COMPARED:,} calls only: give the beginning or the end of an older one's."
)
# A shorter part of an id would fit calls at random.
LEAST_PART: Final = 3


async def find(store: Store, text: str) -> list[str]:
    """The same by full name, by id alone, or by a part of it."""
    # In this order: a full name is certain, an id of a source is likely, a part of one is a guess.
    # The first two cost some reads, the last one up to 50,000 comparisons.
    return await find_by_name(store, text) or await _find_by_part(store, text, least=1)


async def find_calls(store: Store, text: str, *, region: str) -> list[str]:
    """
    The names of the calls, those of a number the newest first. `region` (two letters) is that of
    numbers without a country code.

    In this order, the first that finds any: the full name, the id of a source, a Buildr call or a
    telephone number, the beginning or the end of an id, a part of one.
    """
    names = await find_by_name(store, text)
    if names:
        return names
    refs: dict[str, None] = {}
    number = read_number(text, region=region)
    if number is not None:
        page = await store.listing.page(CallQuery(number=number.e164), limit=MOST)
        refs.update(_names(page))
    if text.isascii() and text.isdigit():
        page = await store.listing.page(CallQuery(buildr_call_id=text), limit=MOST)
        refs.update(_names(page))
    if refs or number is not None:
        return list(refs)
    return await _find_by_part(store, text, least=LEAST_PART)


async def find_by_name(store: Store, text: str) -> list[str]:
    """The call of a full name, or of an id alone; empty for none."""
    names = [ref_of(slug, text) for slug in SOURCES]
    if text.partition(":")[0] in SOURCES:
        names.insert(0, text)
    return (await store.listing.stored(names))[:1]


async def _find_by_part(store: Store, text: str, *, least: int) -> list[str]:
    source, _, part = text.partition(":")
    if source not in SOURCES:
        part = text
    # Behind a source alone there is nothing that any of its calls would not fit.
    if len(part.strip()) < least:
        return []
    return await store.listing.find(text, sources=SOURCES)


def _names(page: CallPage) -> dict[str, None]:
    return {call.ref: None for call in page.calls}
