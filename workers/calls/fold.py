"""
The fold: all events of one call make one `Call`.

A call is a set of events that only ever grows, and all that is known of it is a function of that
set: the order in which events arrived, how often they came and in which messages makes no
difference.

`workers.calls.event_order` puts the events of a leg in order, `workers.calls.legs` folds one leg,
`workers.calls.parties` finds the role of each leg, `workers.calls.results` says how the call ended.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct, field

from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    Party,
    Recording,
    Result,
    Voicemail,
    identity,
    in_utc,
)
from service.plain_values import plain_fields
from workers.calls.agents import read_agents
from workers.calls.basis import Basis, Reason
from workers.calls.call_log import split_logged
from workers.calls.event_order import Timeline, order_events
from workers.calls.latest_values import (
    StatedValues,
    latest_event,
    only_value,
    sorted_values,
    stated_fields,
)
from workers.calls.legs import Leg, Stage, fold_leg, furthest
from workers.calls.parties import Parties, identify_parties
from workers.calls.results import read_result
from workers.calls.talk import Talk, read_answered_at, read_duration_s, read_talks, read_wait_s

__all__ = ["Call", "Leg", "Stage", "as_dict", "fold", "stall_deadline"]


class Call(Struct, frozen=True, kw_only=True):
    """
    What is known of one telephone call.

    `result` is None until a final event has come, and stays None where only unknown events came;
    `basis` says what decided it, or why there is none.
    `duration_s` is how long both sides talked, in seconds: 0 if nobody answered, None if unknown or
    not over. `wait_s` is how long the other side waited before, ring and queue together. Times are
    UTC. `from_number` and `to_number` are those of the customer's leg. `agent` is who talked, or
    who called; `rang_agents` are those whose telephones rang and who did not take the call.
    `buildr_call_ids` are all that the messages named; `buildr_call_id` is set only if they agree on
    one. `unknown_values` are the vendor's values that no table has. `is_transferred`,
    `is_forwarded` and `is_answered_elsewhere` are True where an event says so.
    """

    source: str
    source_call_id: str
    buildr_call_id: str | None
    buildr_call_ids: tuple[str, ...]
    result: Result | None
    is_final: bool
    stage: Stage
    direction: Direction | None
    from_number: str | None
    to_number: str | None
    answered_by: AnsweredBy | None
    duration_s: int | None
    wait_s: int | None
    started_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    recording: Recording | None
    voicemail: Voicemail | None
    agent: str | None
    rang_agents: tuple[str, ...]
    queue: str | None
    team: str | None
    hung_up_by: Party | None
    is_transferred: bool
    is_forwarded: bool
    is_answered_elsewhere: bool
    disposition: str | None
    tags: tuple[str, ...]
    note: str | None
    basis: Basis
    unknown_values: tuple[str, ...] = field(name="unknown_words")
    legs: tuple[Leg, ...]


_CALL: Final = msgspec.json.Decoder(Call)


def fold(events: Iterable[CallEvent]) -> Call:
    """
    Fold the events of one call.

    Commutative and idempotent, a function of the set of events; the ids of messages make no
    difference. A result that an event states outright decides alone, the latest one if there are
    several. Events of the vendor's call log count only as long as the webhooks' own show no end.
    Raises ValueError if there is no event or if they belong to different calls.
    """
    reported, logged = split_logged(events)
    if not logged:
        return _fold(reported)
    if reported:
        call = _fold(reported)
        if call.is_final:
            return call
    return _fold([*reported, *logged])


def _fold(events: Iterable[CallEvent]) -> Call:
    # An event that was sent again in another message is the same event.
    by_identity = {identity(event): event for event in map(in_utc, events)}
    distinct = by_identity.values()
    source, source_call_id = _common_call(distinct)
    timelines = _timelines(distinct)
    types = {event.event_type for event in distinct}
    stated = StatedValues(timelines.values(), types, stated_fields(distinct))
    legs = tuple(_fold_timeline(leg_id, timeline) for leg_id, timeline in timelines.items())
    parties = identify_parties(source_call_id, legs)
    talks = read_talks(parties)
    basis = _basis(stated, parties, talks)
    result = basis.result
    buildr_call_ids = sorted_values(event.buildr_call_id for event in distinct)
    from_number, to_number = _numbers(parties)
    agents = read_agents(timelines, parties, result=result, talks=talks)
    return Call(
        source=source,
        source_call_id=source_call_id,
        buildr_call_id=only_value(buildr_call_ids),
        buildr_call_ids=buildr_call_ids,
        result=result,
        is_final=result is not None,
        stage=_stage(legs, result),
        direction=parties.direction,
        from_number=from_number,
        to_number=to_number,
        answered_by=_answered_by(parties),
        duration_s=read_duration_s(parties, result, talks),
        wait_s=_wait_s(stated, parties, result, talks),
        started_at=_started_at(legs),
        answered_at=read_answered_at(parties, talks),
        ended_at=_ended_at(parties),
        recording=stated.recording,
        voicemail=stated.voicemail,
        agent=agents.agent,
        rang_agents=agents.rang,
        queue=stated.latest("queue"),
        team=stated.latest("team"),
        hung_up_by=stated.latest("hung_up_by"),
        is_transferred=stated.says("is_transferred"),
        is_forwarded=stated.says("is_forwarded"),
        is_answered_elsewhere=stated.says("is_answered_elsewhere"),
        disposition=stated.latest("disposition"),
        tags=sorted_values(tag for event in distinct for tag in event.tags),
        note=stated.latest("note"),
        basis=basis,
        unknown_values=sorted_values(value for leg in legs for value in leg.unknown_values),
        legs=legs,
    )


def as_dict(call: Call) -> dict[str, object]:
    """A call as plain JSON values, every field present."""
    return plain_fields(call)


def stall_deadline(
    call: Call, *, received_at: datetime, ringing_timeout_s: float, in_progress_timeout_s: float
) -> datetime | None:
    """
    When a call counts as stalled (UTC); None if it is final.

    That is the timeout of its stage, in seconds, after its last message came (`received_at`).
    Counted by our own clock: a source's may be wrong, and a message that comes late would make its
    call stall at once.
    """
    if call.is_final:
        return None
    timeout_s = ringing_timeout_s
    if call.stage is Stage.IN_PROGRESS:
        timeout_s = in_progress_timeout_s
    return received_at + timedelta(seconds=timeout_s)


def _common_call(events: Iterable[CallEvent]) -> tuple[str, str]:
    """The source and the source's id of the one call that all events belong to."""
    calls = {(event.source, event.source_call_id) for event in events}
    if not calls:
        raise ValueError("there are no events")
    if len(calls) > 1:
        raise ValueError("the events are of different calls: explain one call at a time")
    return calls.pop()


def _timelines(events: Iterable[CallEvent]) -> dict[str, Timeline]:
    """The events of each leg in their order; the legs in the order of their ids."""
    by_leg: dict[str, list[CallEvent]] = defaultdict(list)
    for event in events:
        by_leg[event.leg_id].append(event)
    return {leg_id: order_events(by_leg[leg_id]) for leg_id in sorted(by_leg)}


def _fold_timeline(leg_id: str, timeline: Timeline) -> Leg:
    return fold_leg(leg_id, [ordered.event for ordered in timeline])


def _wait_s(
    stated: StatedValues, parties: Parties, result: Result | None, talks: Sequence[Talk]
) -> int | None:
    """How long the other side waited, in seconds; what the vendor states counts first."""
    if result is None:
        return None
    stated_s: int | None = stated.latest("wait_s")
    if stated_s is not None:
        return stated_s
    return read_wait_s(parties, talks, voicemail=stated.voicemail)


def _basis(stated: StatedValues, parties: Parties, talks: Sequence[Talk]) -> Basis:
    """What decides the result; one that the source states decides alone."""
    if "result" in stated.names:
        deciding = latest_event(stated.timelines, _states_result)
        if deciding is not None:
            return _basis_of(Reason.RESULT_STATED, deciding, deciding.result)
    voicemail = None
    if EventType.VOICEMAIL in stated.types:
        voicemail = latest_event(stated.timelines, _is_voicemail)
    if voicemail is None:
        return read_result(parties, talks=talks, voicemail=None)
    left = _basis_of(Reason.VOICEMAIL_LEFT, voicemail, Result.VOICEMAIL_RECEIVED)
    return read_result(parties, talks=talks, voicemail=left)


def _basis_of(reason: Reason, event: CallEvent, result: Result | None) -> Basis:
    return Basis(reason, result, event.leg_id, event.vendor_status, event.occurred_at)


def _states_result(event: CallEvent) -> bool:
    return event.result is not None and event.event_type is not EventType.UNKNOWN


def _is_voicemail(event: CallEvent) -> bool:
    return event.event_type is EventType.VOICEMAIL


def _numbers(parties: Parties) -> tuple[str | None, str | None]:
    """From which number to which the call went: those of the customer's leg."""
    main = parties.main
    root = parties.root
    if main is None:
        return None, None
    if root is None or main is root:
        return main.from_number, main.to_number
    from_number = main.from_number or root.from_number
    # An agent's own telephone dials the customer's number; any other first leg was called itself,
    # at a number that is not the customer's.
    is_root_dialler = parties.agent_root is root and root.direction is Direction.INBOUND
    if main.to_number or not is_root_dialler:
        return from_number, main.to_number or None
    return from_number, root.to_number


def _stage(legs: Iterable[Leg], result: Result | None) -> Stage:
    if result is not None:
        return Stage.ENDED
    # A leg that ended beside an open one, as in a transfer, does not end the call.
    return furthest([leg.stage for leg in legs if not leg.is_ended] or [Stage.ENDED])


def _answered_by(parties: Parties) -> AnsweredBy | None:
    if parties.customer is None:
        return None
    return parties.customer.answered_by


def _started_at(legs: Iterable[Leg]) -> datetime | None:
    return min((leg.started_at for leg in legs if leg.started_at is not None), default=None)


def _ended_at(parties: Parties) -> datetime | None:
    if parties.main is None:
        return None
    return parties.main.ended_at
