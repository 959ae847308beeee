"""
The two ends of a telephone call: which numbers are the customer's, and whether both are our own.
"""

from datetime import datetime
from typing import Literal, Self

from msgspec import Struct

from service.events import Direction
from service.phone_numbers import Number, OwnNumbers, read_number
from service.settings import Settings
from workers.calls.fold import Call

Policy = Literal["nearest", "oldest", "leave_unmatched"]


class MatchingRules(Struct, frozen=True, kw_only=True):
    """
    How calls are compared: our own numbers, the country of numbers without a country code, and what
    to do where several expected calls fit.
    """

    own_numbers: tuple[str, ...] = ()
    default_region: str = "US"
    policy: Policy = "leave_unmatched"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The rules that the settings define."""
        return cls(
            own_numbers=settings.own_numbers,
            default_region=settings.default_region,
            policy=settings.ambiguous_match,
        )

    @property
    def own(self) -> OwnNumbers:
        """The numbers of our own company."""
        return OwnNumbers(self.own_numbers, self.default_region)


def why_internal(call: Call, rules: MatchingRules) -> str | None:
    """
    Why a call is one between our own people, which no Buildr call is; None if it is not.

    Both ends have to be ours: own numbers, extensions, softphones (`client:`), or SIP addresses.
    Without own numbers in the settings no call is internal.
    """
    # A withheld number is not ours: whoever hides it is a customer until the opposite is known.
    if not rules.own_numbers or not call.from_number or not call.to_number:
        return None
    if not (rules.own.is_ours(call.from_number) and rules.own.is_ours(call.to_number)):
        return None
    return "internal call: both ends are your own (OWN_NUMBERS)"


def customer_numbers(call: Call, rules: MatchingRules) -> tuple[Number, ...]:
    """
    The numbers at the customer's end: the one called outbound, the caller's inbound, both where the
    direction is not known.

    An own number is never a customer's. Empty if there is no telephone number.
    """
    addresses = {
        Direction.OUTBOUND: (call.to_number,),
        Direction.INBOUND: (call.from_number,),
        None: (call.from_number, call.to_number),
    }
    # A dictionary, since it keeps the order and drops the second of two equal numbers.
    numbers: dict[Number, None] = {}
    for address in addresses[call.direction]:
        number = read_number(address or "", region=rules.default_region)
        # Also with a known direction: a call from one of our numbers to another would be matched to
        # what is expected with the number of the second.
        if number is not None and not rules.own.has(number.e164):
            numbers[number] = None
    return tuple(numbers)


def start_of(call: Call, first_received_at: datetime | None) -> datetime | None:
    """When a call began (UTC): as its source reports, else when its first webhook came."""
    # The webhook's time comes from our clock and is late by as much as the first message was.
    # Windows of expected calls are minutes long, so that this is near enough.
    return call.started_at or first_received_at
