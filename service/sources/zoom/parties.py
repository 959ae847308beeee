"""
The two ends of a Zoom Phone call, as its messages describe them, and which of them is the customer.

A message is always about one of our own people, on the side that its name tells. What is on the other side says whether the call is with
somebody outside, and a queue or receptionist there stands for a caller whom the message does not name.
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
    Kind,
    Side,
)

# Zoom leaves the plus out of some numbers. Shorter ones may be extensions, or lack their country code.
LEAST_DIGITS: Final = 11
# `caller_number_type` of the first version, of voicemails and of recordings.
NUMBER_KINDS: Final[Mapping[str, Kind]] = {"1": Kind.PERSON, "2": Kind.OUTSIDE}
OURS: Final = frozenset({Kind.PERSON, Kind.GROUP, Kind.ROUTER})


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """
    One end of a call.

    `kind` is None where the word for it is `strange`, one that no table knows. `key` tells this end from others of its call; `name` is the
    person there, as records name them.
    """

    kind: Kind | None
    strange: str | None = None
    number: str | None = None
    key: str | None = None
    name: str | None = None


class Way(Enum):
    """Between whom a call goes; each way has a leg of its own, since one id can stand for a call and what it was transferred to."""

    OUTBOUND = ""
    INBOUND = ":in"
    INTERNAL = ":internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """
    Both ends of a message, and the way that it is about.

    `is_routed` where the called end is not the one that was dialled, `is_passed_on` where one of ours passes a call on to somebody outside:
    that may be a call of either way, and is no call of its own.
    """

    side: Side
    caller: End
    callee: End
    way: Way
    is_routed: bool = False
    is_passed_on: bool = False

    @property
    def own(self) -> End:
        """The end of ours that the message is about."""
        return self.caller if self.side is Side.CALLER else self.callee

    @property
    def strange(self) -> tuple[str, ...]:
        """The words for either end that no table knows."""
        return tuple(end.strange for end in (self.caller, self.callee) if end.strange is not None)

    @property
    def is_person(self) -> bool:
        """Whether the end of ours is a person's telephone, or one of several people's, or one outside that a call was passed on to."""
        return self.side is Side.CALLER or self.callee.kind in {Kind.PERSON, Kind.GROUP, Kind.OUTSIDE}

    @property
    def is_exchange(self) -> bool:
        """Whether the end of ours is the exchange itself, which picks up every call, so that the time spent there is no talk."""
        return self.side is Side.CALLEE and self.callee.kind is Kind.ROUTER

    def line(self, common: CallEvent) -> CallEvent:
        """
        An event of the leg that the call as a whole is: the customer's, or that of a call between our own people.

        Whom a call is passed on to stands for one of ours, with a leg of their own.
        """
        if self.is_passed_on:
            own = common.source_call_id
            leg_id = f"{own}:on:{self.callee.key}"[:MAX_ID_LENGTH]
            leg = replace(common, leg_id=leg_id, parent_leg_id=own, party=Party.AGENT)
            return replace(leg, from_number=self.caller.number, to_number=self.callee.number)
        is_hidden = self.way is Way.INBOUND and self.caller.kind in {Kind.GROUP, Kind.ROUTER}
        return replace(
            common,
            leg_id=common.source_call_id + self.way.value,
            direction={Way.OUTBOUND: Direction.OUTBOUND, Way.INBOUND: Direction.INBOUND}.get(self.way),
            party=None if self.way is Way.INTERNAL else Party.CUSTOMER,
            from_number=None if is_hidden else self.caller.number,
            to_number=None if is_hidden or self.is_routed else self.callee.number,
        )

    def telephone(self, line: CallEvent) -> CallEvent | None:
        """An event of the telephone of ours that rang; None where no such leg is told apart."""
        if self.way is not Way.INBOUND or self.callee.key is None or not self.is_person:
            return None
        leg_id = f"{line.leg_id}:{self.callee.key}"[:MAX_ID_LENGTH]
        return replace(line, leg_id=leg_id, parent_leg_id=line.leg_id, party=Party.AGENT, to_number=self.callee.number)


def live_ends(side: Side, told: Fields) -> Ends:
    """The ends of a message that came while the call went on."""
    caller = _live_end(child(told, "caller"), is_own=side is Side.CALLER)
    callee = _live_end(child(told, "callee"), is_own=side is Side.CALLEE)
    is_routed = side is Side.CALLEE and bool(child(told, "forwarded_by") or child(told, "redirect_forwarded_by"))
    return Ends(side=side, caller=caller, callee=callee, way=_way(side, caller, callee), is_routed=is_routed)


def recorded_ends(side: Side, record: Fields, *, is_external: bool = False, is_routed: bool = False, is_passed_on: bool = False) -> Ends:
    """The ends of a record, a voicemail or a recording; `is_external` where it says that somebody outside is in it."""
    caller, callee = (_recorded_end(record, each, is_own=side is each) for each in Side)
    way = _way(side, caller, callee, is_external=is_external)
    is_outbound = way is Way.OUTBOUND
    return Ends(
        side=side,
        caller=caller,
        callee=callee,
        way=way,
        is_routed=is_routed and side is Side.CALLEE,
        is_passed_on=is_passed_on and is_outbound,
    )


def _way(side: Side, caller: End, callee: End, *, is_external: bool = False) -> Way:
    # A group or the exchange that is called belongs to us; where it is the caller, it passes on a call from outside.
    is_own = callee.kind in OURS if side is Side.CALLER else caller.kind is Kind.PERSON
    if is_own and not is_external:
        return Way.INTERNAL
    return Way.OUTBOUND if side is Side.CALLER else Way.INBOUND


def _live_end(told: Fields, *, is_own: bool) -> End:
    word = text(told, "extension_type")
    named = text(told, "extension_id", "user_id")
    kind = LIVE_EXTENSIONS.get(word) if word is not None else Kind.PERSON if named or is_own else Kind.OUTSIDE
    return End(
        kind=kind,
        strange=None if kind is not None else word,
        number=_number(text(told, "phone_number", "extension_number"), is_full=kind is Kind.OUTSIDE),
        key=_key(named or text(told, "extension_number", "phone_number")),
    )


def _recorded_end(told: Fields, side: Side, *, is_own: bool) -> End:
    def read(*names: str) -> str | None:
        return text(told, *(f"{side.value}_{name}" for name in names))

    word, named = read("ext_type"), read("ext_id", "user_id")
    by_number = NUMBER_KINDS.get(read("number_type") or "", Kind.OUTSIDE)
    kind = RECORDED_EXTENSIONS.get(word) if word is not None else Kind.PERSON if named or is_own else by_number
    return End(
        kind=kind,
        strange=None if kind is not None else word,
        number=_number(read("did_number", "number", "ext_number"), is_full=by_number is Kind.OUTSIDE),
        key=_key(named or read("ext_number", "number", "did_number")),
        name=read("email", "name"),
    )


def _number(value: str | None, *, is_full: bool) -> str | None:
    return bare_to_e164(value) if is_full and value is not None and len(value) >= LEAST_DIGITS else to_e164(value)


def _key(value: str | None) -> str | None:
    return value if value is not None and value.isprintable() else None
