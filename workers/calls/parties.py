"""
Leg roles: which leg of a call is the customer's, which are the agents', and who called whom.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from service.events import Direction, Party
from workers.calls.event_order import MIN_UTC
from workers.calls.legs import Leg

SOFTPHONE: Final = "client:"
AGENT_ADDRESSES: Final = (SOFTPHONE, "sip:", "sips:")


class Parties(Struct, frozen=True, kw_only=True):
    """
    The legs of a call by their roles.

    `root` is the first leg of the call. `customer` is the leg of the human at the other company,
    None while it has not been seen. `agents` are the legs of our own people. `agent_root` is the
    first leg of an outbound call where that is an agent's own, from which the customer is dialled.
    """

    direction: Direction | None
    root: Leg | None
    customer: Leg | None
    agents: tuple[Leg, ...]
    agent_root: Leg | None

    @property
    def main(self) -> Leg | None:
        """The customer's leg, or the first leg of the call while the customer's is not known."""
        return self.customer or self.root


def identify_parties(source_call_id: str, legs: Sequence[Leg]) -> Parties:
    """
    Find the role of each leg of a call.

    What a source states as `party` counts first, and it then gives the call's direction too; a
    customer's leg that goes the other way than the call is a part of it that was transferred to one
    of ours. Else:

    - An inbound call's first leg is the customer's, all others are agents'. An inbound leg *from*
      `client:` or `sip:` is an agent's own telephone that calls out through the exchange, so that
      the call is outbound.
    - Of an outbound call, the customer's is a leg on which a machine was looked for; else a dialled
      leg to anything but `client:` or `sip:` (one that was answered before one that was not, then
      the latest); else the first leg, unless that is an agent's own.
    - Until an event of the first leg has come that has a direction, a dialled leg without a stated
      party is nobody's: a caller who is forwarded to a telephone number, and a customer who is
      dialled for a rep, look the same.
    """
    root = _root(source_call_id, legs)
    direction = _direction(root, legs)
    agent_root = None
    if root is not None and _is_agent_root(root, direction):
        agent_root = root
    customer = _customer_leg(legs, root, agent_root, direction)
    agents = [leg for leg in legs if leg is not customer and leg.party is not Party.CUSTOMER]
    return Parties(
        direction=direction,
        root=root,
        customer=customer,
        agents=tuple(agents),
        agent_root=agent_root,
    )


def is_agent_address(address: str | None) -> bool:
    """Whether an address is one of our own telephones: a softphone (`client:`) or a SIP device."""
    return address is not None and address.lower().startswith(AGENT_ADDRESSES)


def _root(source_call_id: str, legs: Sequence[Leg]) -> Leg | None:
    """The leg that has the call's own id, else the earliest that no other leg dialled."""
    for leg in legs:
        if leg.leg_id == source_call_id:
            return leg
    first_legs = [leg for leg in legs if leg.parent_leg_id is None]
    return min(first_legs, key=lambda leg: (leg.started_at or MIN_UTC, leg.leg_id), default=None)


def _direction(root: Leg | None, legs: Iterable[Leg]) -> Direction | None:
    if root is not None and _is_agent_calling_out(root):
        return Direction.OUTBOUND
    if root is not None and root.direction is not None:
        return root.direction
    # The legs with a stated party, the customer's before an agent's.
    stated = sorted(
        (leg for leg in legs if leg.party and leg.direction),
        key=lambda leg: (leg.party is not Party.CUSTOMER, leg.leg_id),
    )
    return next((leg.direction for leg in stated), None)


def _is_agent_calling_out(root: Leg) -> bool:
    """Whether a first leg is an agent's telephone that calls in, to be connected to a customer."""
    is_inbound = root.party is None and root.direction is Direction.INBOUND
    return is_inbound and is_agent_address(root.from_number)


def _is_agent_root(root: Leg, direction: Direction | None) -> bool:
    if _is_agent_calling_out(root):
        return True
    if direction is Direction.INBOUND:
        return False
    if root.party is not None:
        return root.party is Party.AGENT
    # A call that is set up to a softphone rings the agent first. One to a SIP address may well be
    # the customer's.
    return (root.to_number or "").lower().startswith(SOFTPHONE)


def _customer_leg(
    legs: Sequence[Leg], root: Leg | None, agent_root: Leg | None, direction: Direction | None
) -> Leg | None:
    stated = [leg for leg in legs if leg.party is Party.CUSTOMER]
    if stated:
        in_direction = [leg for leg in stated if leg.direction in {None, direction}]
        return _most_advanced(in_direction or stated, root)
    if direction is Direction.OUTBOUND:
        return _outbound_customer_leg(legs, root, agent_root)
    if direction is None or root is None or root.party is not None:
        return None
    return root


def _outbound_customer_leg(
    legs: Sequence[Leg], root: Leg | None, agent_root: Leg | None
) -> Leg | None:
    unstated = [leg for leg in legs if leg.party is None and leg is not agent_root]
    # Machine detection is asked for on the customer's leg.
    detected = [leg for leg in unstated if leg.answered_by]
    dialled = [leg for leg in unstated if leg is not root and _may_be_customer(leg)]
    candidates = detected or dialled
    if candidates:
        return _most_advanced(candidates, root)
    if root is agent_root:
        return None
    return root


def _may_be_customer(leg: Leg) -> bool:
    """Whether a dialled leg of an outbound call may be the customer's."""
    if leg.to_number is not None:
        return not is_agent_address(leg.to_number) and leg.direction is not Direction.INBOUND
    # A dialled leg of which only the end is known. If that says no more than that it was answered,
    # it may be a conference that the customer's own leg was moved into.
    is_unexplained_answer = leg.is_answered and leg.duration_s is None
    return not leg.conference_stays and not is_unexplained_answer


def _most_advanced(legs: Sequence[Leg], root: Leg | None) -> Leg:
    """An answered leg, else one that still rings while the call goes on, else the latest."""
    is_call_over = root is not None and root.is_ended

    def progress(leg: Leg) -> tuple[bool, bool, datetime, datetime, str]:
        return (
            leg.is_answered,
            not (leg.is_ended or is_call_over),
            leg.started_at or MIN_UTC,
            leg.ended_at or MIN_UTC,
            leg.leg_id,
        )

    return max(legs, key=progress)
