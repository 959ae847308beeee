"""
The search for calls, by whatever an operator knows of them.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.buildr_ids import is_buildr_call_id
from service.clock import utc_now
from service.errors import MalformedPayload
from service.events import Result
from service.logs.phone_masking import mask_number
from service.phone_numbers import read_number
from service.sources import SOURCES
from service.store.call_listing import UNREAD, CallPage, CallQuery
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.keys import ref_of
from workers.console.pages import redirect
from workers.console.parts import Visit

PAGE: Final = 50
# A shorter text would be part of too many names.
LEAST_TEXT: Final = 2
SPANS: Final[Mapping[str, tuple[str, timedelta]]] = {
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", timedelta(days=1)),
    "7d": ("last 7 days", timedelta(days=7)),
    "30d": ("last 30 days", timedelta(days=30)),
}
FILTERS: Final = ("source", "result", "state", "outcome")


class Search(Struct, frozen=True):
    """A page of calls, and by what it was found, in words."""

    page: CallPage
    how: str = ""


async def show(visit: Visit) -> Response:
    """`GET calls`: the newest first; a text that names one call leads to its page."""
    text = visit.query("q")
    values = {name: visit.query(name) for name in FILTERS}
    span = visit.query("span")
    query = CallQuery(
        source=values["source"] or None,
        result=values["result"] or None,
        state=values["state"] or None,
        outcome=values["outcome"] or None,
    )
    if span in SPANS:
        query = replace(query, since=utc_now() - SPANS[span][1])
    refs = await _named(visit.store, text)
    if len(refs) == 1:
        return redirect(visit.url("call", ref=refs[0]))
    search = await _search(visit, query, text)
    parameters = {"q": text, "span": span, **values}
    next_url = ""
    if search.page.after is not None:
        next_url = visit.url("calls", **parameters, after=search.page.after)
    return visit.page(
        "calls",
        "Calls",
        text=text,
        span=span,
        values=values,
        calls=search.page.calls,
        looked_at=search.page.looked_at,
        how=search.how,
        next_url=next_url,
        is_later=bool(visit.query("after")),
        first_url=visit.url("calls", **parameters),
        is_complete=await visit.store.listing.is_complete(),
        number=mask_number,
        spans={name: label for name, (label, _) in SPANS.items()},
        sources=sorted(SOURCES),
        results=[result.value for result in Result],
        states=[*(state.value for state in DeliveryState), UNREAD],
    )


async def _named(store: Store, text: str) -> list[str]:
    """The calls whose id at their source, or whose full name, a text is."""
    if not text:
        return []
    refs = [ref_of(slug, text) for slug in SOURCES]
    if text.partition(":")[0] in SOURCES:
        refs = [text]
    checks = await asyncio.gather(*(_is_known(store, ref) for ref in refs))
    return [ref for ref, is_known in zip(refs, checks, strict=True) if is_known]


async def _is_known(store: Store, ref: str) -> bool:
    try:
        return (await store.calls.load(ref)).is_known
    except ValueError:
        return False
    # Its page says what is wrong with it.
    except MalformedPayload:
        return True


async def _search(visit: Visit, query: CallQuery, text: str) -> Search:
    after = visit.query("after") or None
    try:
        if not text:
            return Search(await visit.store.listing.page(query, limit=PAGE, after=after))
        return await _search_text(visit, query, text, after)
    except ValueError as err:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "There is no such page of the list.") from err


async def _search_text(visit: Visit, query: CallQuery, text: str, after: str | None) -> Search:
    """By Buildr id, number or agent, whichever the text is."""
    listing = visit.store.listing
    if is_buildr_call_id(text):
        by_id = replace(query, buildr_call_id=text)
        page = await listing.page(by_id, limit=PAGE, after=after)
        if page.calls:
            return Search(page, f"with Buildr call {text}")
    number = read_number(text, region=visit.settings.default_region)
    if number is not None:
        by_number = replace(query, number=number.e164)
        page = await listing.page(by_number, limit=PAGE, after=after)
        return Search(page, f"with the number {mask_number(number.e164)}")
    # What no agent is called must not cost the reading of thousands of calls.
    if len(text) < LEAST_TEXT or not any(map(str.isalpha, text)):
        return Search(CallPage(calls=(), after=None, looked_at=0))
    by_agent = replace(query, agent=text)
    return Search(await listing.page(by_agent, limit=PAGE, after=after), f"of agent “{text}”")
