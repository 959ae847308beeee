"""
The two endpoints of a Zoom Phone call, and the legs that they make.

Which endpoint is what is read in `parties`.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from service.events import CallEvent, Direction, Party
from service.sources.common.ids import MAX_ID_LENGTH
from service.sources.zoom.vocabulary import EndpointKind, Side

# Endpoints at which a person can pick up; a router is the exchange itself.
ANSWERABLE: Final = frozenset({EndpointKind.PERSON, EndpointKind.GROUP, EndpointKind.OUTSIDE})


class Endpoint(Struct, frozen=True, kw_only=True):
    """
    One end of a call.

    `kind` is None where no table knows the `extension_type`. `key` distinguishes this endpoint from
    others of its call; `name` is email or name of the user there, in records only; `group` is the
    name of the queue, receptionist or shared line there.
    """

    kind: EndpointKind | None
    extension_type: str | None = None
    number: str | None = None
    key: str | None = None
    name: str | None = None
    group: str | None = None


class CallScope(Enum):
    """
    Between whom a call goes; the value is the end of the leg's id.

    Each scope has a leg of its own, since one id can be that of a call and of what it was
    transferred to.
    """

    OUTBOUND = ""
    INBOUND = ":in"
    INTERNAL = ":internal"


DIRECTIONS_BY_SCOPE: Final[Mapping[CallScope, Direction]] = {
    CallScope.OUTBOUND: Direction.OUTBOUND,
    CallScope.INBOUND: Direction.INBOUND,
}
# None of the parties of an internal call is a customer.
PARTIES_BY_SCOPE: Final[Mapping[CallScope, Party]] = {
    CallScope.OUTBOUND: Party.CUSTOMER,
    CallScope.INBOUND: Party.CUSTOMER,
}


class Endpoints(Struct, frozen=True, kw_only=True):
    """
    Both endpoints of a message, and the scope of the call that it is about.

    `is_routed` where the called endpoint is not the one that was dialled, `is_passed_on` where one
    of ours passes a call on to somebody outside: that may belong to a call of either direction, and
    is no call of its own. `routed_by` is the name of the queue, receptionist or shared line that
    brought the call there, where neither endpoint is it.
    """

    side: Side
    caller: Endpoint
    callee: Endpoint
    scope: CallScope
    is_routed: bool = False
    is_passed_on: bool = False
    routed_by: str | None = None

    @property
    def queue(self) -> str | None:
        """The name under which an inbound call was distributed."""
        if self.scope is not CallScope.INBOUND:
            return None
        return self.callee.group or self.caller.group or self.routed_by

    @property
    def ours(self) -> Endpoint:
        """The endpoint of ours that the message is about."""
        if self.side is Side.CALLER:
            return self.caller
        return self.callee

    @property
    def unrecognised(self) -> tuple[str, ...]:
        """The extension types of either endpoint that no table knows."""
        return tuple(
            endpoint.extension_type or ""
            for endpoint in (self.caller, self.callee)
            if endpoint.kind is None
        )

    @property
    def is_person(self) -> bool:
        """
        Whether the endpoint of ours is a person's telephone, or one of several people's, or one
        outside that a call was passed on to.
        """
        return self.side is Side.CALLER or self.callee.kind in ANSWERABLE

    @property
    def is_exchange(self) -> bool:
        """
        Whether the endpoint of ours is the exchange itself, which picks up every call, so that the
        time there is no talk.
        """
        return self.side is Side.CALLEE and self.callee.kind is EndpointKind.ROUTER

    def call_leg(self, common: CallEvent) -> CallEvent:
        """
        An event of the leg of the call as a whole: the customer's, or that of a call between our
        own users.
        """
        if self.is_passed_on:
            return self._passed_on_leg(common)
        from_number, to_number = self._call_numbers()
        return replace(
            common,
            leg_id=common.source_call_id + self.scope.value,
            direction=DIRECTIONS_BY_SCOPE.get(self.scope),
            party=PARTIES_BY_SCOPE.get(self.scope),
            from_number=from_number,
            to_number=to_number,
            queue=self.queue,
        )

    def _call_numbers(self) -> tuple[str | None, str | None]:
        """The numbers that called and that was dialled, as far as the message names them."""
        is_passed_to_us = self.caller.kind in {EndpointKind.GROUP, EndpointKind.ROUTER}
        if self.scope is CallScope.INBOUND and is_passed_to_us:
            # Both numbers are of our own exchange; the caller behind it is not named.
            return None, None
        if self.is_routed:
            return self.caller.number, None
        return self.caller.number, self.callee.number

    def _passed_on_leg(self, common: CallEvent) -> CallEvent:
        # Whoever a call is passed on to takes the place of an agent, with a leg of their own.
        leg_id = f"{common.source_call_id}:on:{self.callee.key}"
        return replace(
            common,
            leg_id=leg_id[:MAX_ID_LENGTH],
            parent_leg_id=common.source_call_id,
            party=Party.AGENT,
            from_number=self.caller.number,
            to_number=self.callee.number,
        )

    def agent_leg(self, call_leg: CallEvent) -> CallEvent | None:
        """
        An event of the telephone of ours that rang, with whose it is; None where it has no leg
        below that of the call.
        """
        is_inbound = self.scope is CallScope.INBOUND
        if not is_inbound or self.callee.key is None or not self.is_person:
            return None
        leg_id = f"{call_leg.leg_id}:{self.callee.key}"
        return replace(
            call_leg,
            leg_id=leg_id[:MAX_ID_LENGTH],
            parent_leg_id=call_leg.leg_id,
            party=Party.AGENT,
            to_number=self.callee.number,
            agent=self.callee.name,
        )
