"""
The parties of a RingCentral session: who is who, and which of them makes which leg.

A message holds the parties that changed, each with its own view. This is how they behave in the
recorded calls that RingCentral's guide links to (https://github.com/dibyenduroy/csn-data): people,
menus and queues of our account have an `extensionId`; the other company's party has none, and may
be missing. The party that calls is `Outbound` and those called are `Inbound`, whoever they belong
to. On an outbound call both of the first two parties show the state of the customer's telephone. On
an inbound one the caller's party is answered at once, by the exchange.
"""

import re
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from service.events import Direction
from service.sources.common.fields import Fields, child, text
from service.sources.ringcentral.vocabulary import CLICK_TO_CALL, DIRECTIONS, find

# A shorter number is that of an extension, or a service code.
LEAST_OUTSIDE_DIGITS: Final = 7
SHORT_NUMBER: Final = re.compile(rf"[*#0-9]{{1,{LEAST_OUTSIDE_DIGITS - 1}}}", re.ASCII)
# The number of a party in its session, counted from 1, is the end of its id.
PARTY_NUMBER: Final = re.compile(r"-([0-9]{1,4})$", re.ASCII)
FIRST_TWO: Final = 2


class Role(Enum):
    """
    Which leg a party is about: the talk with a customer whom we called, the line of a customer who
    called us, or an agent's.
    """

    TALK = auto()
    LINE = auto()
    AGENT = auto()


class Member(Struct, frozen=True, kw_only=True):
    """
    A party of a session and its role in the call.

    `direction` is that of the whole call, None where the party does not show it. `agent` is the id
    of an extension of ours.
    """

    fields: Fields
    role: Role
    direction: Direction | None
    agent: str | None


def read_member(party: Fields, origin: str | None) -> Member | None:
    """
    The role of a party; None if its direction is missing or unknown.

    - One of the first two parties that calls and is ours is the rep of an outbound call, and shows
      the state of the customer's telephone, unless the rep's own telephone is rung first.
    - The first that is called and is not ours is the customer of an outbound call, if one of ours
      called it.
    - One that calls and is not ours is the customer of an inbound call.
    - Any other is one of ours, or takes the place of one: a call can be transferred or forwarded to
      a number outside.
    """
    entry = find(text(party, "direction"), DIRECTIONS)
    if entry is None:
        return None
    is_caller = entry[1] is Direction.OUTBOUND
    is_rep_rung_first = origin in CLICK_TO_CALL
    extension_id = text(party, "extensionId")
    if extension_id is None:
        return _outside_member(party, is_caller=is_caller, is_rep_rung_first=is_rep_rung_first)
    if is_rep_rung_first:
        direction: Direction | None = Direction.OUTBOUND
    elif not is_caller:
        direction = Direction.INBOUND
    elif _joined_later(party):
        direction = None
    else:
        return Member(
            fields=party, role=Role.TALK, direction=Direction.OUTBOUND, agent=extension_id
        )
    return Member(fields=party, role=Role.AGENT, direction=direction, agent=extension_id)


def _outside_member(party: Fields, *, is_caller: bool, is_rep_rung_first: bool) -> Member:
    """The role of a party that is no extension of ours."""
    if is_caller:
        return Member(fields=party, role=Role.LINE, direction=Direction.INBOUND, agent=None)
    calling_extension_id = text(child(party, "from"), "extensionId")
    is_called_by_us = calling_extension_id is not None and not _joined_later(party)
    if is_rep_rung_first or is_called_by_us:
        return Member(
            fields=party,
            role=Role.TALK,
            direction=Direction.OUTBOUND,
            agent=calling_extension_id,
        )
    return Member(fields=party, role=Role.AGENT, direction=None, agent=None)


def is_internal(party: Fields, origin: str | None) -> bool:
    """
    Whether both ends of a party's call are our own; of a rep who is rung first, who calls whom says
    nothing.

    A short number that is dialled is an extension's. One that calls need not be: a customer's
    exchange may show its own extension. The party of somebody who is called by a colleague holds
    the colleague's extension from the first message on.
    """
    entry = find(text(party, "direction"), DIRECTIONS)
    if entry is None or origin in CLICK_TO_CALL:
        return False
    is_ours = text(party, "extensionId") is not None
    is_caller = entry[1] is Direction.OUTBOUND
    if is_ours and not is_caller:
        return text(child(party, "from"), "extensionId") is not None
    if is_caller and not is_ours:
        return False
    dialled = child(party, "to")
    is_short = SHORT_NUMBER.fullmatch(text(dialled, "phoneNumber") or "") is not None
    return is_short or (is_ours and text(dialled, "extensionId") is not None)


def _joined_later(party: Fields) -> bool:
    # Parties after the first two were transferred to the call, or took it over.
    match = PARTY_NUMBER.search(text(party, "id") or "")
    return match is not None and int(match[1]) > FIRST_TWO
