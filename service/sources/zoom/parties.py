"""
Who is at the two endpoints of a Zoom Phone call, as its messages describe them, and whether the
call is with somebody outside.

A message is always about one of our own users, on the side that its name says. What is on the other
side says whether the call is with somebody outside; a queue or receptionist there stands in for a
caller whom the message does not name.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from service.sources.common.fields import Fields, child, text
from service.sources.common.phone_numbers import bare_to_e164, to_e164
from service.sources.zoom.endpoints import CallScope, Endpoint, Endpoints
from service.sources.zoom.vocabulary import (
    DISTRIBUTORS,
    LIVE_EXTENSIONS,
    RECORDED_EXTENSIONS,
    EndpointKind,
    Side,
)

# Zoom leaves the plus out of some numbers. Shorter ones may be extensions, or lack their country
# code.
LEAST_DIGITS_WITH_COUNTRY: Final = 11
# `caller_number_type` of the first version, of voicemails and of recordings.
NUMBER_TYPES: Final[Mapping[str, EndpointKind]] = {
    "1": EndpointKind.PERSON,
    "2": EndpointKind.OUTSIDE,
}


class _EndFields(Struct, frozen=True):
    """The names of the fields of one end in a record; of several the first that is there counts."""

    extension_type: str
    ids: tuple[str, ...]
    name: str
    email: str
    number_type: str
    numbers: tuple[str, ...]
    keys: tuple[str, ...]


END_FIELDS: Final[Mapping[Side, _EndFields]] = {
    side: _EndFields(
        extension_type=f"{side}_ext_type",
        ids=(f"{side}_ext_id", f"{side}_user_id"),
        name=f"{side}_name",
        email=f"{side}_email",
        number_type=f"{side}_number_type",
        numbers=(f"{side}_did_number", f"{side}_number", f"{side}_ext_number"),
        keys=(f"{side}_ext_number", f"{side}_number", f"{side}_did_number"),
    )
    for side in Side
}
OURS: Final = frozenset({EndpointKind.PERSON, EndpointKind.GROUP, EndpointKind.ROUTER})


def live_endpoints(side: Side, data: Fields) -> Endpoints:
    """The endpoints of a message that was sent while the call went on."""
    caller = _live_endpoint(child(data, "caller"), is_ours=side is Side.CALLER)
    callee = _live_endpoint(child(data, "callee"), is_ours=side is Side.CALLEE)
    forwarders = (child(data, "forwarded_by"), child(data, "redirect_forwarded_by"))
    return Endpoints(
        side=side,
        caller=caller,
        callee=callee,
        scope=_scope(side, caller, callee),
        is_routed=any(forwarders) and side is Side.CALLEE,
        routed_by=_live_group(forwarders[0]) or _live_group(forwarders[1]),
    )


def recorded_endpoints(
    side: Side,
    record: Fields,
    *,
    is_external: bool = False,
    is_routed: bool = False,
    is_passed_on: bool = False,
) -> Endpoints:
    """
    The endpoints of a record, a voicemail or a recording; `is_external` where it says that somebody
    outside is in it.
    """
    caller = _recorded_endpoint(record, Side.CALLER, is_ours=side is Side.CALLER)
    callee = _recorded_endpoint(record, Side.CALLEE, is_ours=side is Side.CALLEE)
    scope = _scope(side, caller, callee, is_external=is_external)
    return Endpoints(
        side=side,
        caller=caller,
        callee=callee,
        scope=scope,
        is_routed=is_routed and side is Side.CALLEE,
        is_passed_on=is_passed_on and scope is CallScope.OUTBOUND,
        routed_by=_operator_group(record),
    )


def _scope(
    side: Side, caller: Endpoint, callee: Endpoint, *, is_external: bool = False
) -> CallScope:
    # A group or the exchange that is called belongs to us; one that calls passes on a call from
    # outside.
    if side is Side.CALLER:
        is_internal = callee.kind in OURS
        scope = CallScope.OUTBOUND
    else:
        is_internal = caller.kind is EndpointKind.PERSON
        scope = CallScope.INBOUND
    if is_internal and not is_external:
        return CallScope.INTERNAL
    return scope


def _live_endpoint(end: Fields, *, is_ours: bool) -> Endpoint:
    extension_type = text(end, "extension_type")
    extension_id = text(end, "extension_id", "user_id")
    kind = _kind(
        extension_type,
        LIVE_EXTENSIONS,
        is_ours=is_ours or extension_id is not None,
        otherwise=EndpointKind.OUTSIDE,
    )
    number = text(end, "phone_number", "extension_number")
    return Endpoint(
        kind=kind,
        extension_type=extension_type,
        number=_e164(number, may_lack_plus=kind is EndpointKind.OUTSIDE),
        key=_key(extension_id or text(end, "extension_number", "phone_number")),
        group=_live_group(end),
    )


def _live_group(end: Fields) -> str | None:
    """The name of an endpoint that distributes calls; None for any other."""
    if text(end, "extension_type") in DISTRIBUTORS:
        return text(end, "name")
    return None


def _recorded_endpoint(record: Fields, side: Side, *, is_ours: bool) -> Endpoint:
    names = END_FIELDS[side]
    extension_type = text(record, names.extension_type)
    extension_id = text(record, *names.ids)
    group = None
    if extension_type in DISTRIBUTORS:
        group = text(record, names.name)
    name = text(record, names.email)
    # A queue or a shared line is nobody.
    if name is None and group is None:
        name = text(record, names.name)
    number_kind = NUMBER_TYPES.get(text(record, names.number_type) or "", EndpointKind.OUTSIDE)
    number = text(record, *names.numbers)
    return Endpoint(
        kind=_kind(
            extension_type,
            RECORDED_EXTENSIONS,
            is_ours=is_ours or extension_id is not None,
            otherwise=number_kind,
        ),
        extension_type=extension_type,
        number=_e164(number, may_lack_plus=number_kind is EndpointKind.OUTSIDE),
        key=_key(extension_id or text(record, *names.keys)),
        name=name,
        group=group,
    )


def _operator_group(record: Fields) -> str | None:
    """The name of the operator of a record's step, if that distributes calls."""
    if text(record, "operator_ext_type") in DISTRIBUTORS:
        return text(record, "operator_name")
    return None


def _kind(
    extension_type: str | None,
    table: Mapping[str, EndpointKind],
    *,
    is_ours: bool,
    otherwise: EndpointKind,
) -> EndpointKind | None:
    if extension_type is not None:
        return table.get(extension_type)
    if is_ours:
        return EndpointKind.PERSON
    return otherwise


def _e164(number: str | None, *, may_lack_plus: bool) -> str | None:
    if may_lack_plus and number is not None and len(number) >= LEAST_DIGITS_WITH_COUNTRY:
        return bare_to_e164(number)
    return to_e164(number)


def _key(value: str | None) -> str | None:
    # A leg's id must be printable.
    if value is None or not value.isprintable():
        return None
    return value
