"""
The parties of a RingCentral session: who is who, and which of them makes which leg.

A message holds the parties that changed, each with its own view. What is known of them, from the
recorded calls that RingCentral's guide leads to (https://github.com/dibyenduroy/csn-data): people,
menus and queues of our account have an `extensionId`; the other company's party has none, and may
not be told of at all. The party that calls is `Outbound` and those called are `Inbound`, whoever
they belong to. On an outbound call both of the first two parties show how the customer's telephone
does. On an inbound one the caller's party is answered at once, by the exchange.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from service.events import Direction
from service.sources.common.fields import Fields, child, text
from service.sources.ringcentral.vocabulary import CLICK_TO_CALL, DIRECTIONS, find

# A shorter number is that of an extension, or a service code.
LEAST_DIGITS: Final = 7
SHORT: Final = re.compile(rf"[*#0-9]{{1,{LEAST_DIGITS - 1}}}", re.ASCII)
# The place of a party in its session, as the end of its id.
PLACE: Final = re.compile(r"-([0-9]{1,4})$", re.ASCII)
FIRST_TWO: Final = 2


class Role(Enum):
    """
    Which leg a party tells of: the talk with a customer whom we called, the line of a customer who
    called us, or one of our own.
    """

    TALK = auto()
    LINE = auto()
    AGENT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """
    A party of a session. `direction` is the call's own, None where the party does not show it.
    `agent` is an extension of ours.
    """

    fields: Fields
    role: Role
    direction: Direction | None
    agent: str | None


def read_member(party: Fields, origin: str | None) -> Member | None:
    """
    Who a party is; None if it does not say whether it calls or is called.

    - One of the first two parties that calls is ours on an outbound call, and shows how the customer's telephone does, unless the rep's
      own telephone is rung first.
    - The first that is called without being ours is the customer of an outbound call, if one of ours called it.
    - One that calls without being ours is the customer of an inbound call.
    - Any other is one of ours, or stands for one: a call can be transferred or forwarded to a number outside.
    """
    found = find(text(party, "direction") or "", DIRECTIONS)
    if found is None:
        return None
    extension, is_caller = text(party, "extensionId"), found[1] is Direction.OUTBOUND
    caller = text(child(party, "from"), "extensionId")
    rings_rep_first = origin in CLICK_TO_CALL
    if extension is None:
        if is_caller:
            return Member(fields=party, role=Role.LINE, direction=Direction.INBOUND, agent=None)
        if rings_rep_first or (caller is not None and not _came_later(party)):
            return Member(fields=party, role=Role.TALK, direction=Direction.OUTBOUND, agent=caller)
        return Member(fields=party, role=Role.AGENT, direction=None, agent=None)
    if is_caller and not rings_rep_first and not _came_later(party):
        return Member(fields=party, role=Role.TALK, direction=Direction.OUTBOUND, agent=extension)
    direction = Direction.OUTBOUND if rings_rep_first else None if is_caller else Direction.INBOUND
    return Member(fields=party, role=Role.AGENT, direction=direction, agent=extension)


def is_internal(party: Fields, origin: str | None) -> bool:
    """
    Whether both ends of a party's call are our own; of a rep who is rung first, who calls whom says
    nothing.

    A short number that is dialled is an extension's. One that calls need not be: a customer's
    exchange may show its own extension. Who is called by a colleague is told the colleague's
    extension from the first message on.
    """
    found = find(text(party, "direction") or "", DIRECTIONS)
    if found is None or origin in CLICK_TO_CALL:
        return False
    is_ours, is_caller = text(party, "extensionId") is not None, found[1] is Direction.OUTBOUND
    if not is_caller and is_ours:
        return text(child(party, "from"), "extensionId") is not None
    if not is_ours and is_caller:
        return False
    dialled = child(party, "to")
    is_short = SHORT.fullmatch(text(dialled, "phoneNumber") or "") is not None
    return is_short or (is_ours and text(dialled, "extensionId") is not None)


def _came_later(party: Fields) -> bool:
    # Whoever comes third or later was put through to the call, or took it over.
    found = PLACE.search(text(party, "id") or "")
    return found is not None and int(found[1]) > FIRST_TWO
