"""
One call from the dial page: what is filled in, the expected call, and the dialler.
"""

from datetime import timedelta
from http import HTTPStatus
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.buildr_ids import is_buildr_call_id
from service.events import Direction
from service.logs.events import LogEvent
from service.phone_numbers import read_number
from service.store.expectations import Expectation
from workers.dial.bookmark import bookmark_of
from workers.dial.pages import PREFIX
from workers.dial.visits import DialVisit

# The clocks of telephony systems differ by seconds. Not longer: a call of just before with the same
# number is another one.
BEFORE: Final = timedelta(minutes=1)
# As long as a rep may need to press the dialler's own button.
AFTER: Final = timedelta(minutes=15)
NO_CALL: Final = (
    "There is no id of a Buildr call in this. Fill in its number, like 110, or the address of its "
    "page in Buildr."
)
NO_NUMBER: Final = "This is no telephone number. Write it with its country code, like +15005550006."
TOO_MANY: Final = "Too many calls within a minute. Wait a moment."

log = structlog.get_logger(__name__)


async def show(visit: DialVisit) -> Response:
    """`GET /dial`: the form, filled in with what the address holds; nothing is registered."""
    query = visit.request.query_params
    number = query.get("to", "")
    # A plus that was not encoded.
    if number.startswith(" "):
        number = f"+{number.strip()}"
    return _form(visit, buildr_call=query.get("buildr_call_id", ""), number=number)


async def call(visit: DialVisit) -> Response:
    """`POST /dial/call`: register the expected call, and open the dialler."""
    buildr_call = visit.sent("buildr_call_id")
    number_text = visit.sent("to")
    settings = visit.account.settings
    buildr_call_id = buildr_call
    if not is_buildr_call_id(buildr_call):
        buildr_call_id = settings.buildr_call_id_in(buildr_call) or ""
    if not is_buildr_call_id(buildr_call_id):
        return _form(visit, buildr_call=buildr_call, number=number_text, fault=NO_CALL)
    number = read_number(number_text, region=settings.default_region)
    if number is None:
        return _form(visit, buildr_call=buildr_call, number=number_text, fault=NO_NUMBER)
    store = visit.account.store
    if not await store.dial_tokens.may_call(visit.person):
        raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, TOO_MANY, headers={"Retry-After": "60"})
    now = await store.time()
    registered = await store.expected.put(
        Expectation(
            buildr_call_id=buildr_call_id,
            numbers=(number,),
            agent=visit.person.agent,
            direction=Direction.OUTBOUND,
            not_before=now - BEFORE,
            not_after=now + AFTER,
        )
    )
    log.info(
        LogEvent.DIAL_CALL,
        account=settings.account,
        buildr_call_id=buildr_call_id,
        token=visit.person.token_id,
        is_new=registered.is_new,
        woken=registered.woken,
    )
    return visit.page(
        "called.html",
        "Calling",
        buildr_call_id=buildr_call_id,
        number=number.e164,
        extension=number.extension,
        dialler=settings.dialler_address(number),
        earlier_call=registered.expected.claimed_by,
    )


async def bookmark(visit: DialVisit) -> Response:
    """`GET /dial/bookmark`: the bookmark, and how to install it."""
    settings = visit.account.settings
    address = bookmark_of(f"{settings.base_url}{PREFIX}", settings.dial_id_pattern)
    return visit.page("bookmark.html", "Bookmark", bookmark=address)


def _form(visit: DialVisit, *, buildr_call: str, number: str, fault: str = "") -> Response:
    status = HTTPStatus.OK
    if fault:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    return visit.page(
        "dial.html", "Call", status=status, buildr_call=buildr_call, number=number, fault=fault
    )
