"""
Which expected call a telephone call is, and why it is none of the others: a pure decision. What is
ambiguous is never guessed.

Looking is all that is done with Redis here; claiming what was chosen is the job's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Self

from service.events import Direction
from service.phone_numbers import Number, OwnNumbers, read_number
from service.settings import Settings
from service.store.expected_calls import (
    MOST_CANDIDATES,
    CandidateSnapshot,
    ExpectedCall,
    ExpectedCalls,
)
from service.store.keys import ref_of
from workers.calls.fold import Call

Policy = Literal["nearest", "oldest", "leave_unmatched"]
SECONDS: Final = timedelta(seconds=90)
MINUTES: Final = timedelta(minutes=90)
HOURS: Final = timedelta(hours=36)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchingRules:
    """
    How calls are compared: one's own numbers, the country of numbers without a country code, and
    what to do where several calls fit.
    """

    own_numbers: tuple[str, ...] = ()
    default_region: str = "US"
    policy: Policy = "leave_unmatched"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        return cls(
            own_numbers=settings.own_numbers,
            default_region=settings.default_region,
            policy=settings.ambiguous_match,
        )

    @property
    def own(self) -> OwnNumbers:
        """The numbers of one's own company."""
        return OwnNumbers(self.own_numbers, self.default_region)


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedCandidate:
    """
    An expected call that was looked at and not chosen; `why` goes on from "Buildr call 110 ...".
    """

    buildr_call_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCallMatch:
    """
    The expected call that a telephone call is, or None; `reason` is a sentence for the operator.

    `number` is the one (E.164) that both have.
    """

    chosen: ExpectedCall | None = None
    number: str = ""
    reason: str = ""
    considered: tuple[RejectedCandidate, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    expected: ExpectedCall
    number: str
    names_agent: bool
    distance: timedelta


def why_internal(call: Call, rules: MatchingRules) -> str | None:
    """
    Why a call is one between our own people, which no Buildr call is; None if it is not.

    Both ends have to be ours: own numbers, extensions, softphones (`client:`), or SIP addresses.
    Without own numbers there is no telling.
    """
    if not rules.own_numbers or not call.from_number or not call.to_number:
        return None
    if not (rules.own.is_ours(call.from_number) and rules.own.is_ours(call.to_number)):
        return None
    return "internal call: both ends are your own (OWN_NUMBERS)"


def customer_numbers(call: Call, rules: MatchingRules) -> tuple[Number, ...]:
    """
    The numbers at the customer's end: the one called outbound, the caller's inbound, either where
    the direction is not known.

    An own number is never a customer's. Empty if there is no telephone number.
    """
    ends = {
        Direction.OUTBOUND: (call.to_number,),
        Direction.INBOUND: (call.from_number,),
        None: (call.from_number, call.to_number),
    }
    found: dict[Number, None] = {}
    for address in ends[call.direction]:
        number = read_number(address or "", region=rules.default_region)
        if number is not None and not rules.own.has(number.e164):
            found[number] = None
    return tuple(found)


def start_of(call: Call, first_received_at: datetime | None) -> datetime | None:
    """When a call began: as its source says, else when its first webhook came."""
    return call.started_at or first_received_at


async def find_expected_call(
    expected: ExpectedCalls, call: Call, rules: MatchingRules, *, first_received_at: datetime | None
) -> tuple[CandidateSnapshot, ExpectedCallMatch]:
    """
    Look which expected calls a telephone call may be, and choose; claims nothing. Raises redis-py's
    errors.
    """
    numbers = sorted({number.e164 for number in customer_numbers(call, rules)})
    started_at = start_of(call, first_received_at)
    look = await expected.look(ref_of(call.source, call.source_call_id), numbers, at=started_at)
    return look, choose(call, look, rules, started_at=started_at)


def choose(
    call: Call, look: CandidateSnapshot, rules: MatchingRules, *, started_at: datetime | None
) -> ExpectedCallMatch:
    """
    Choose among the candidates; their order makes no difference, and one that does not fit changes
    nothing.

    What the call has claimed before it keeps, as long as its number is still the customer's. Else
    an entry that names the call's agent beats one that names nobody, and between several that fit
    equally well the policy decides, or nobody.
    """
    ref, numbers = ref_of(call.source, call.source_call_id), customer_numbers(call, rules)
    fits: list[_Candidate] = []
    losers: list[tuple[ExpectedCall, str]] = []
    for each in sorted(set(look.candidates), key=_order):
        number = _common(each, numbers)
        faults = _faults(each, call, numbers, started_at)
        if each.claimed_by not in (None, ref):
            faults.append(f"is taken by another call, {each.claimed_by}")
        if faults or number is None or started_at is None:
            losers.append((each, "; it ".join(faults)))
        else:
            fits.append(
                _Candidate(
                    each, number.e164, _names_agent(each, call), abs(each.expected_at - started_at)
                )
            )
    if look.is_cut:
        losers += [(fit.expected, "fits, but there are more than can be compared") for fit in fits]
        reason = f"More than {MOST_CANDIDATES} calls are expected with this number at this time: too many to choose."
        found = ExpectedCallMatch(reason=reason, considered=_losers(losers))
    else:
        found = _select(fits, losers, rules.policy)
    return _kept(found, look, ref, numbers)


def _kept(
    found: ExpectedCallMatch, look: CandidateSnapshot, ref: str, numbers: Sequence[Number]
) -> ExpectedCallMatch:
    """
    The choice, or what the call has claimed before if that is another one and has its number still.
    """
    held = next((each for each in look.candidates if each.claimed_by == ref), None)
    number = None if held is None else _common(held, numbers)
    # What an id or a link had said does not outlive them.
    if held is None or number is None or held.is_certain or found.chosen == held:
        return found
    others = tuple(each for each in found.considered if each.buildr_call_id != held.buildr_call_id)
    if found.chosen is not None:
        others += (
            RejectedCandidate(
                buildr_call_id=found.chosen.buildr_call_id,
                why="fits too, but this call has its Buildr call already",
            ),
        )
    reason = f"Buildr call {held.buildr_call_id} was expected with this number, and this call has turned out to be it."
    return ExpectedCallMatch(chosen=held, number=number.e164, reason=reason, considered=others)


def _select(
    fits: Sequence[_Candidate], losers: list[tuple[ExpectedCall, str]], policy: Policy
) -> ExpectedCallMatch:
    named = [fit for fit in fits if fit.names_agent]
    if named and len(named) < len(fits):
        ids = _join(named)
        losers += [
            (fit.expected, f"names no agent, and Buildr call {ids} names the right one")
            for fit in fits
            if not fit.names_agent
        ]
    best = named or list(fits)
    if not best:
        reason = "No call that fits is expected with this number." if losers else ""
        return ExpectedCallMatch(reason=reason, considered=_losers(losers))
    if len(best) > 1 and policy != "leave_unmatched":
        best = _by_policy(best, losers, policy)
    if len(best) > 1:
        for fit in best:
            losers.append(
                (
                    fit.expected,
                    f"fits as well as Buildr call {_join([other for other in best if other is not fit])}",
                )
            )
        return ExpectedCallMatch(
            reason=f"{len(best)} expected calls fit equally well: Buildr calls {_join(best)}.",
            considered=_losers(losers),
        )
    return _selected(best[0], losers, policy, is_only=len(fits) == 1)


def _by_policy(
    fits: Sequence[_Candidate], losers: list[tuple[ExpectedCall, str]], policy: Policy
) -> list[_Candidate]:
    """Those that the policy puts first: several if they are exactly even."""
    if policy == "nearest":
        least = min(fit.distance for fit in fits)
        best = [fit for fit in fits if fit.distance == least]
        said = f"is expected {{}} from the start of the call, and Buildr call {_join(best)} {_span(least)}"
    else:
        first = min(_order(fit.expected)[:2] for fit in fits)
        best = [fit for fit in fits if _order(fit.expected)[:2] == first]
        said = f"was registered after Buildr call {_join(best)}"
    losers += [(fit.expected, said.format(_span(fit.distance))) for fit in fits if fit not in best]
    return best


def _selected(
    fit: _Candidate, losers: Sequence[tuple[ExpectedCall, str]], policy: Policy, *, is_only: bool
) -> ExpectedCallMatch:
    why = (
        "names its agent"
        if fit.names_agent
        else "is the only one that fits"
        if is_only
        else f"is the {policy} of those that fit"
    )
    at = f"{fit.expected.registered_at:%Y-%m-%d %H:%M:%S} UTC"
    reason = f"Buildr call {fit.expected.buildr_call_id} was registered for this number at {at} and {why}."
    return ExpectedCallMatch(
        chosen=fit.expected, number=fit.number, reason=reason, considered=_losers(losers)
    )


def _faults(
    each: ExpectedCall, call: Call, numbers: Sequence[Number], started_at: datetime | None
) -> list[str]:
    """Everything that speaks against a candidate."""
    faults: list[str] = []
    if not any(mine.e164 == theirs.e164 for mine in numbers for theirs in each.numbers):
        faults.append("is expected with another number")
    elif _common(each, numbers) is None:
        faults.append("is expected at another extension of the number")
    if (
        each.direction is not None
        and call.direction is not None
        and each.direction is not call.direction
    ):
        faults.append(
            f"is expected {each.direction.value}, and this call is {call.direction.value}"
        )
    if each.agent and call.agent and not _names_agent(each, call):
        faults.append(f"is expected from {each.agent}, and this call is {call.agent}'s")
    if started_at is None:
        faults.append("cannot be compared, since it is not known when this call started")
    elif started_at < each.opens_at:
        faults.append(
            f"is expected from {_clock(each.opens_at)} on, {_span(each.opens_at - started_at)} after this call started"
        )
    elif started_at > each.closes_at:
        faults.append(
            f"was expected until {_clock(each.closes_at)}, {_span(started_at - each.closes_at)} before this call started"
        )
    return faults


def _common(each: ExpectedCall, numbers: Sequence[Number]) -> Number | None:
    """The call's number that an entry names too; extensions count where both have one."""
    for mine in numbers:
        for theirs in each.numbers:
            if mine.e164 == theirs.e164 and (
                None in (mine.extension, theirs.extension) or mine.extension == theirs.extension
            ):
                return mine
    return None


def _names_agent(each: ExpectedCall, call: Call) -> bool:
    return bool(each.agent and call.agent) and _name(each.agent) == _name(call.agent)


def _name(agent: str | None) -> str:
    return " ".join((agent or "").split()).casefold()


def _order(each: ExpectedCall) -> tuple[datetime, int, str]:
    return each.registered_at, each.revision, each.buildr_call_id


def _losers(found: Sequence[tuple[ExpectedCall, str]]) -> tuple[RejectedCandidate, ...]:
    ordered = sorted(found, key=lambda pair: _order(pair[0]))
    return tuple(
        RejectedCandidate(buildr_call_id=each.buildr_call_id, why=why) for each, why in ordered
    )


def _join(fits: Sequence[_Candidate]) -> str:
    return " and ".join(fit.expected.buildr_call_id for fit in fits)


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _span(length: timedelta) -> str:
    if length < SECONDS:
        return f"{length.total_seconds():.0f} seconds"
    if length < MINUTES:
        return f"{length.total_seconds() / 60:.0f} minutes"
    return (
        f"{length.total_seconds() / 3600:.0f} hours"
        if length < HOURS
        else f"{length.total_seconds() / 86400:.0f} days"
    )
