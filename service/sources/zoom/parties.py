"""
The two ends of a Zoom Phone call, as its messages describe them, and which of them is the customer.

A message is always about one of our own people, on the side that its name tells. What is on the
other side says whether the call is with somebody outside, and a queue or receptionist there stands
for a caller whom the message does not name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from service.events import CallEvent, Direction, Party
from service.sources.common.fields import Fields, child, text
from service.sources.common.ids import MAX_ID_LENGTH
from service.sources.common.phone_numbers import bare_to_e164, to_e164
from service.sources.zoom.vocabulary import (
    LIVE_EXTENSIONS,
    RECORDED_EXTENSIONS,
    EndpointKind,
    Side,
)

# Zoom leaves the plus out of some numbers. Shorter ones may be extensions, or lack their country
# code.
LEAST_DIGITS: Final = 11
# `caller_number_type` of the first version, of voicemails and of recordings.
NUMBER_KINDS: Final[Mapping[str, EndpointKind]] = {
    "1": EndpointKind.PERSON,
    "2": EndpointKind.OUTSIDE,
}
OURS: Final = frozenset({EndpointKind.PERSON, EndpointKind.GROUP, EndpointKind.ROUTER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """
    One end of a call.

    `kind` is None where the word for it is `strange`, one that no table knows. `key` tells this end
    from others of its call; `name` is the person there, as records name them.
    """

    kind: EndpointKind | None
    strange: str | None = None
    number: str | None = None
    key: str | None = None
    name: str | None = None


class CallScope(Enum):
    """
    Between whom a call goes; each way has a leg of its own, since one id can stand for a call and
    what it was transferred to.
    """

    OUTBOUND = ""
    INBOUND = ":in"
    INTERNAL = ":internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """
    Both ends of a message, and the way that it is about.

    `is_routed` where the called end is not the one that was dialled, `is_passed_on` where one of
    ours passes a call on to somebody outside: that may be a call of either way, and is no call of
    its own.
    """

    side: Side
    caller: Endpoint
    callee: Endpoint
    way: CallScope
    is_routed: bool = False
    is_passed_on: bool = False

    @property
    def own(self) -> Endpoint:
        """The end of ours that the message is about."""
        return self.caller if self.side is Side.CALLER else self.callee

    @property
    def strange(self) -> tuple[str, ...]:
        """The words for either end that no table knows."""
        return tuple(end.strange for end in (self.caller, self.callee) if end.strange is not None)

    @property
    def is_person(self) -> bool:
        """
        Whether the end of ours is a person's telephone, or one of several people's, or one outside
        that a call was passed on to.
        """
        return self.side is Side.CALLER or self.callee.kind in {
            EndpointKind.PERSON,
            EndpointKind.GROUP,
            EndpointKind.OUTSIDE,
        }

    @property
    def is_exchange(self) -> bool:
        """
        Whether the end of ours is the exchange itself, which picks up every call, so that the time
        spent there is no talk.
        """
        return self.side is Side.CALLEE and self.callee.kind is EndpointKind.ROUTER

    def call_leg(self, common: CallEvent) -> CallEvent:
        """
        An event of the leg that the call as a whole is: the customer's, or that of a call between
        our own people.

        Whom a call is passed on to stands for one of ours, with a leg of their own.
        """
        if self.is_passed_on:
            own = common.source_call_id
            leg_id = f"{own}:on:{self.callee.key}"[:MAX_ID_LENGTH]
            leg = replace(common, leg_id=leg_id, parent_leg_id=own, party=Party.AGENT)
            return replace(leg, from_number=self.caller.number, to_number=self.callee.number)
        is_hidden = self.way is CallScope.INBOUND and self.caller.kind in {
            EndpointKind.GROUP,
            EndpointKind.ROUTER,
        }
        return replace(
            common,
            leg_id=common.source_call_id + self.way.value,
            direction={
                CallScope.OUTBOUND: Direction.OUTBOUND,
                CallScope.INBOUND: Direction.INBOUND,
            }.get(self.way),
            party=None if self.way is CallScope.INTERNAL else Party.CUSTOMER,
            from_number=None if is_hidden else self.caller.number,
            to_number=None if is_hidden or self.is_routed else self.callee.number,
        )

    def agent_leg(self, call_leg: CallEvent) -> CallEvent | None:
        """An event of the telephone of ours that rang; None where no such leg is told apart."""
        if self.way is not CallScope.INBOUND or self.callee.key is None or not self.is_person:
            return None
        leg_id = f"{call_leg.leg_id}:{self.callee.key}"[:MAX_ID_LENGTH]
        return replace(
            call_leg,
            leg_id=leg_id,
            parent_leg_id=call_leg.leg_id,
            party=Party.AGENT,
            to_number=self.callee.number,
        )


def live_ends(side: Side, told: Fields) -> Endpoints:
    """The ends of a message that came while the call went on."""
    caller = _live_end(child(told, "caller"), is_own=side is Side.CALLER)
    callee = _live_end(child(told, "callee"), is_own=side is Side.CALLEE)
    is_routed = side is Side.CALLEE and bool(
        child(told, "forwarded_by") or child(told, "redirect_forwarded_by")
    )
    return Endpoints(
        side=side, caller=caller, callee=callee, way=_way(side, caller, callee), is_routed=is_routed
    )


def recorded_ends(
    side: Side,
    record: Fields,
    *,
    is_external: bool = False,
    is_routed: bool = False,
    is_passed_on: bool = False,
) -> Endpoints:
    """
    The ends of a record, a voicemail or a recording; `is_external` where it says that somebody
    outside is in it.
    """
    caller, callee = (_recorded_end(record, each, is_own=side is each) for each in Side)
    way = _way(side, caller, callee, is_external=is_external)
    is_outbound = way is CallScope.OUTBOUND
    return Endpoints(
        side=side,
        caller=caller,
        callee=callee,
        way=way,
        is_routed=is_routed and side is Side.CALLEE,
        is_passed_on=is_passed_on and is_outbound,
    )


def _way(side: Side, caller: Endpoint, callee: Endpoint, *, is_external: bool = False) -> CallScope:
    # A group or the exchange that is called belongs to us; where it is the caller, it passes on a
    # call from outside.
    is_own = callee.kind in OURS if side is Side.CALLER else caller.kind is EndpointKind.PERSON
    if is_own and not is_external:
        return CallScope.INTERNAL
    return CallScope.OUTBOUND if side is Side.CALLER else CallScope.INBOUND


def _live_end(told: Fields, *, is_own: bool) -> Endpoint:
    word = text(told, "extension_type")
    named = text(told, "extension_id", "user_id")
    kind = (
        LIVE_EXTENSIONS.get(word)
        if word is not None
        else EndpointKind.PERSON
        if named or is_own
        else EndpointKind.OUTSIDE
    )
    return Endpoint(
        kind=kind,
        strange=None if kind is not None else word,
        number=_number(
            text(told, "phone_number", "extension_number"), is_full=kind is EndpointKind.OUTSIDE
        ),
        key=_key(named or text(told, "extension_number", "phone_number")),
    )


def _recorded_end(told: Fields, side: Side, *, is_own: bool) -> Endpoint:
    def read(*names: str) -> str | None:
        return text(told, *(f"{side.value}_{name}" for name in names))

    word, named = read("ext_type"), read("ext_id", "user_id")
    by_number = NUMBER_KINDS.get(read("number_type") or "", EndpointKind.OUTSIDE)
    kind = (
        RECORDED_EXTENSIONS.get(word)
        if word is not None
        else EndpointKind.PERSON
        if named or is_own
        else by_number
    )
    return Endpoint(
        kind=kind,
        strange=None if kind is not None else word,
        number=_number(
            read("did_number", "number", "ext_number"), is_full=by_number is EndpointKind.OUTSIDE
        ),
        key=_key(named or read("ext_number", "number", "did_number")),
        name=read("email", "name"),
    )


def _number(value: str | None, *, is_full: bool) -> str | None:
    return (
        bare_to_e164(value)
        if is_full and value is not None and len(value) >= LEAST_DIGITS
        else to_e164(value)
    )


def _key(value: str | None) -> str | None:
    return value if value is not None and value.isprintable() else None
