"""
Who a call was between, for the record by which people search for it.
"""

import re
from functools import lru_cache
from typing import Final

from service.events import Direction
from service.phone_numbers import read_number
from service.store.call_parties import CallParties
from workers.calls.fold import Call

# As most vendors write numbers; reading one costs more than all else here.
E164: Final = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


def parties_of(call: Call, *, region: str) -> CallParties:
    """
    Both ends of a call. `region` (two letters) is that of numbers without a country code. The
    caller counts as the customer where the direction is not known.
    """
    customer = call.from_number
    line = call.to_number
    if call.direction is Direction.OUTBOUND:
        customer = call.to_number
        line = call.from_number
    direction = None
    if call.direction is not None:
        direction = call.direction.value
    return CallParties(
        direction=direction,
        customer=_in_one_form(customer, region),
        line=_in_one_form(line, region),
        agent=call.agent,
        started_at=call.started_at,
    )


def _in_one_form(address: str | None, region: str) -> str | None:
    if not address:
        return None
    if E164.fullmatch(address):
        return address
    return _read(address, region)


@lru_cache(maxsize=4096)
def _read(address: str, region: str) -> str:
    number = read_number(address, region=region)
    if number is None:
        return address
    return number.e164
