"""
Whose leg is whose: which leg of a call is the customer's, and who called whom.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.events import Direction, Party
from workers.calls.legs import MIN_UTC, Leg

SOFTPHONE: Final = "client:"
AGENT_ADDRESSES: Final = (SOFTPHONE, "sip:", "sips:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """
    The legs of a call by their part in it.

    `customer` is the leg of the person at the other company, None while it has not been seen.
    `agents` are the legs of our own people. `agent_root` is the first leg of an outbound call where
    that is an agent's own, from which the customer is dialled.
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
    Find out whose leg is whose.

    What a source states as `party` counts first, and it then means the call's direction too; a
    customer's leg that goes the other way than the call is a part of it that was put through to one
    of ours. Else:

    - An inbound call's first leg is the customer's, all others are agents'. An inbound leg *from* `client:` or `sip:` is an agent's own
      telephone that calls out through the exchange, so that the call is outbound.
    - Of an outbound call, the customer's is a leg on which a machine was looked for; else a dialled leg to anything but `client:` or `sip:`
      (one that was answered before one that was not, then the latest); else the first leg, unless that is an agent's own.
    - While the first leg has not been heard of, a dialled leg to a telephone number counts as the customer's, unless its source leaves open
      in which direction it goes: then the first leg has to tell.
    """
    root = _root(source_call_id, legs)
    dialled = [leg for leg in legs if leg is not root]
    is_own_phone = (
        root is not None
        and root.party is None
        and root.direction is Direction.INBOUND
        and is_agent_address(root.from_number)
    )
    direction = Direction.OUTBOUND if is_own_phone else _direction(root, legs)
    agent_root = (
        root if root is not None and (is_own_phone or _is_agents(root, direction)) else None
    )
    stated = [leg for leg in legs if leg.party is Party.CUSTOMER]
    if stated:
        customer: Leg | None = _pick(
            [leg for leg in stated if leg.direction in {None, direction}] or stated, root
        )
    elif direction is Direction.INBOUND:
        customer = root if root is not None and root.party is None else None
    else:
        customer = _customer_leg(root, dialled, agent_root, direction)
    if direction is None and customer is not None and customer is not root:
        direction = customer.direction
    agents = tuple(leg for leg in legs if leg is not customer and leg.party is not Party.CUSTOMER)
    return Parties(
        direction=direction, root=root, customer=customer, agents=agents, agent_root=agent_root
    )


def is_agent_address(address: str | None) -> bool:
    """Whether an address is one of our own telephones: a softphone (`client:`) or a SIP device."""
    return address is not None and address.lower().startswith(AGENT_ADDRESSES)


def _root(source_call_id: str, legs: Sequence[Leg]) -> Leg | None:
    named = next((leg for leg in legs if leg.leg_id == source_call_id), None)
    if named is not None:
        return named
    tops = [leg for leg in legs if leg.parent_leg_id is None]
    return min(tops, key=lambda leg: (_time(leg.started_at), leg.leg_id), default=None)


def _direction(root: Leg | None, legs: Iterable[Leg]) -> Direction | None:
    if root is not None and root.direction is not None:
        return root.direction
    stated = sorted(
        (leg for leg in legs if leg.party and leg.direction),
        key=lambda leg: (leg.party is not Party.CUSTOMER, leg.leg_id),
    )
    return stated[0].direction if stated else None


def _is_agents(root: Leg, direction: Direction | None) -> bool:
    # A call that is set up to a softphone rings the agent first. One to a SIP address may well be
    # the customer's.
    is_softphone = (root.to_number or "").lower().startswith(SOFTPHONE)
    return direction is not Direction.INBOUND and (
        root.party is Party.AGENT or (root.party is None and is_softphone)
    )


def _customer_leg(
    root: Leg | None, dialled: Sequence[Leg], agent_root: Leg | None, direction: Direction | None
) -> Leg | None:
    probed = [
        leg
        for leg in (root, *dialled)
        if leg is not None and leg.answered_by and leg.party is None and leg is not agent_root
    ]
    candidates = probed or [
        leg for leg in dialled if leg.party is None and _may_be_customer(leg, direction)
    ]
    if candidates:
        return _pick(candidates, root)
    is_clear = direction is not None or not dialled
    return root if is_clear and root is not agent_root else None


def _may_be_customer(leg: Leg, direction: Direction | None) -> bool:
    if direction is None and leg.direction is None:
        return False
    if leg.to_number is not None:
        return not is_agent_address(leg.to_number) and leg.direction is not Direction.INBOUND
    # A dialled leg of which only the end is known. If that says no more than that it was answered,
    # it may be a conference that the customer's own leg was put into.
    return direction is Direction.OUTBOUND and (not leg.is_answered or leg.duration_s is not None)


def _pick(legs: Sequence[Leg], root: Leg | None) -> Leg:
    # One that was answered, else one that still rings while the call goes on, else the latest.
    is_over = root is not None and root.is_ended

    def weigh(leg: Leg) -> tuple[bool, bool, datetime, datetime, str]:
        return (
            leg.is_answered,
            not (leg.is_ended or is_over),
            _time(leg.started_at),
            _time(leg.ended_at),
            leg.leg_id,
        )

    return max(legs, key=weigh)


def _time(moment: datetime | None) -> datetime:
    return MIN_UTC if moment is None else moment
