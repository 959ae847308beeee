"""
Whether an expected call may be a telephone call, and all that speaks against it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from service.phone_numbers import Number
from service.store.expectations import ExpectedCall
from service.store.keys import ref_of
from workers.calls.fold import Call

# Below these limits a time span is written in seconds, minutes or hours.
# Well above the unit itself, so that no span is shown as "1 minutes" or "1 hours".
SECONDS: Final = timedelta(seconds=90)
MINUTES: Final = timedelta(minutes=90)
HOURS: Final = timedelta(hours=36)


class Candidate(Struct, frozen=True):
    """
    An expected call that fits.

    `number` is the call's number (E.164) that it names too, `distance` the time between the
    expected start and the call's. With `names_agent` it is expected from the call's agent; without,
    it names no agent, or the call's is not known.
    """

    expected: ExpectedCall
    number: str
    names_agent: bool
    distance: timedelta


class Rejection(Struct, frozen=True):
    """An expected call that is not chosen; `why` continues a sentence that begins with its id."""

    expected: ExpectedCall
    why: str


class RejectedCandidate(Struct, frozen=True, kw_only=True):
    """
    An expected call that was considered and not chosen; `why` continues "Buildr call 110 ...".
    """

    buildr_call_id: str
    why: str


def assess(
    expected: ExpectedCall, call: Call, numbers: Sequence[Number], *, started_at: datetime | None
) -> Candidate | Rejection:
    """
    Compare an expected call with a telephone call; `numbers` are those at the customer's end.

    A rejection names every fault, not only the first.
    """
    # All of them: an operator who corrects one fault must not find the next one only then.
    faults = [
        _number_fault(expected, numbers),
        _direction_fault(expected, call),
        _agent_fault(expected, call),
        _time_fault(expected, started_at),
        _claim_fault(expected, call),
    ]
    number = common_number(expected, numbers)
    # Both have a fault of their own already; they are repeated for mypy.
    if number is None or started_at is None or any(faults):
        return Rejection(expected, "; it ".join(fault for fault in faults if fault is not None))
    return Candidate(
        expected=expected,
        number=number.e164,
        names_agent=_names_agent(expected, call),
        distance=abs(expected.expected_at - started_at),
    )


def common_number(expected: ExpectedCall, numbers: Sequence[Number]) -> Number | None:
    """The call's number that an expected call names too; extensions count where both have one."""
    for number in numbers:
        if any(_is_same(number, other) for other in expected.numbers):
            return number
    return None


def registration_order(expected: ExpectedCall) -> tuple[datetime, int, str]:
    """Sorts expected calls from the oldest registration to the newest."""
    return expected.registered_at, expected.revision, expected.buildr_call_id


def reported(rejections: Iterable[Rejection]) -> tuple[RejectedCandidate, ...]:
    """The rejected candidates as the operator is shown them, the oldest registration first."""
    ordered = sorted(rejections, key=lambda rejection: registration_order(rejection.expected))
    return tuple(
        RejectedCandidate(buildr_call_id=rejection.expected.buildr_call_id, why=rejection.why)
        for rejection in ordered
    )


def span_text(span: timedelta) -> str:
    """A time span in the largest unit that is exact enough: `80 seconds`, `5 hours`."""
    seconds = span.total_seconds()
    if span < SECONDS:
        return f"{seconds:.0f} seconds"
    if span < MINUTES:
        return f"{seconds / 60:.0f} minutes"
    if span < HOURS:
        return f"{seconds / 3600:.0f} hours"
    return f"{seconds / 86400:.0f} days"


def _is_same(number: Number, other: Number) -> bool:
    if number.e164 != other.e164:
        return False
    # A source or a registration without an extension knows nothing about it, which is no
    # difference.
    has_both_extensions = number.extension is not None and other.extension is not None
    return not has_both_extensions or number.extension == other.extension


def _number_fault(expected: ExpectedCall, numbers: Sequence[Number]) -> str | None:
    if common_number(expected, numbers) is not None:
        return None
    expected_e164 = {number.e164 for number in expected.numbers}
    if any(number.e164 in expected_e164 for number in numbers):
        return "is expected at another extension of the number"
    return "is expected with another number"


def _direction_fault(expected: ExpectedCall, call: Call) -> str | None:
    # What one of the two does not know cannot contradict the other.
    if expected.direction in (None, call.direction) or call.direction is None:
        return None
    return f"is expected {expected.direction.value}, and this call is {call.direction.value}"


def _agent_fault(expected: ExpectedCall, call: Call) -> str | None:
    # Likewise: many sources name no agent, or only after the call.
    if not expected.agent or not call.agent or _names_agent(expected, call):
        return None
    return f"is expected from {expected.agent}, and this call is {call.agent}'s"


def _time_fault(expected: ExpectedCall, started_at: datetime | None) -> str | None:
    if started_at is None:
        return "cannot be compared, since it is not known when this call started"
    # Bounds included: a registration for exactly this moment fits.
    if started_at < expected.opens_at:
        wait = span_text(expected.opens_at - started_at)
        return f"is expected from {_clock(expected.opens_at)} on, {wait} after this call started"
    if started_at > expected.closes_at:
        delay = span_text(started_at - expected.closes_at)
        closed_at = _clock(expected.closes_at)
        return f"was expected until {closed_at}, {delay} before this call started"
    return None


def _claim_fault(expected: ExpectedCall, call: Call) -> str | None:
    if expected.claimed_by in (None, ref_of(call.source, call.source_call_id)):
        return None
    return f"is taken by another call, {expected.claimed_by}"


def _names_agent(expected: ExpectedCall, call: Call) -> bool:
    if not expected.agent or not call.agent:
        return False
    return _agent_key(expected.agent) == _agent_key(call.agent)


def _agent_key(agent: str) -> str:
    """The form in which agents are compared: case and extra spaces do not count."""
    # Names are typed by hand in both systems; ids and addresses of agents are no worse for it.
    return " ".join(agent.split()).casefold()


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
