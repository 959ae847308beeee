"""
The fold: all events of one call make one `Call`.

A call is a set of events that only ever grows, and everything said of it is a function of that set:
the order in which events arrived, how often they came and in which messages makes no difference.
`service.legs` folds one leg, `service.parties` finds the customer's, `service.results` says how the
call ended.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

from pydantic import Field, TypeAdapter

from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    Recording,
    Result,
    Voicemail,
)
from workers.calls.legs import (
    Leg,
    Stage,
    fold_leg,
    furthest,
    in_order,
    rank,
)
from workers.calls.parties import Parties, identify_parties
from workers.calls.results import (
    MACHINES,
    read_answered_at,
    read_duration_s,
    read_result,
)

__all__ = ["Call", "Leg", "Stage", "as_dict", "fold", "stall_deadline"]

T = TypeVar("T")
R = TypeVar("R", Recording, Voicemail)
Ordered = Sequence[tuple[datetime, CallEvent]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """
    What is known of one telephone call.

    `result` is None until a final event has come, and stays None where only an unknown word was
    seen. `duration_s` is in seconds, from answer to hang-up on the customer's leg: 0 if it was
    never answered, None if unknown or not over. `from_number` and `to_number` are those of the
    customer's leg. `buildr_call_ids` are all that the messages named; `buildr_call_id` is set only
    if they agree on one. `unknown_values` are the source's words that no table knows.
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
    started_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    recording: Recording | None
    voicemail: Voicemail | None
    agent: str | None
    disposition: str | None
    tags: tuple[str, ...]
    note: str | None
    unknown_values: Annotated[tuple[str, ...], Field(alias="unknown_words")]
    legs: tuple[Leg, ...]


_CALL: Final = TypeAdapter(Call)


def fold(events: Iterable[CallEvent]) -> Call:
    """
    Fold the events of one call; raises ValueError if there is none or if they belong to different
    calls.

    Commutative, associative over unions of sets, and idempotent; the ids of messages make no
    difference. A result that an event states outright decides alone, the latest one if there are
    several.
    """
    known = {_normal(event) for event in events}
    names = {(event.source, event.source_call_id) for event in known}
    if len(names) != 1:
        raise ValueError(
            "there are no events"
            if not names
            else "the events are of different calls: explain one call at a time"
        )
    ((source, source_call_id),) = names
    by_leg = _by_leg(known)
    legs = tuple(
        fold_leg(leg_id, [event for _, event in ordered]) for leg_id, ordered in by_leg.items()
    )
    parties = identify_parties(source_call_id, legs)
    ordered_legs = tuple(by_leg.values())
    stated = _latest(
        ordered_legs, lambda event: None if event.event_type is EventType.UNKNOWN else event.result
    )
    has_voicemail = any(event.event_type is EventType.VOICEMAIL for event in known)
    result = stated or read_result(parties, has_voicemail=has_voicemail)
    ids = tuple(
        sorted({event.buildr_call_id for event in known if event.buildr_call_id is not None})
    )
    from_number, to_number = _numbers(parties)
    main = parties.main
    return Call(
        source=source,
        source_call_id=source_call_id,
        buildr_call_id=ids[0] if len(ids) == 1 else None,
        buildr_call_ids=ids,
        result=result,
        is_final=result is not None,
        stage=Stage.ENDED if result is not None else _stage(legs),
        direction=parties.direction,
        from_number=from_number,
        to_number=to_number,
        answered_by=None if parties.customer is None else parties.customer.answered_by,
        duration_s=read_duration_s(parties, result),
        started_at=min(
            (leg.started_at for leg in legs if leg.started_at is not None), default=None
        ),
        answered_at=read_answered_at(parties),
        ended_at=None if main is None else main.ended_at,
        recording=_with_url(ordered_legs, lambda event: event.recording),
        voicemail=_voicemail(ordered_legs),
        agent=_agent(by_leg, legs),
        disposition=_latest(ordered_legs, lambda event: event.disposition),
        tags=tuple(sorted({tag for event in known for tag in event.tags})),
        note=_latest(ordered_legs, lambda event: event.note),
        unknown_values=tuple(sorted({word for leg in legs for word in leg.unknown_values})),
        legs=legs,
    )


def as_dict(call: Call) -> dict[str, object]:
    """A call as plain JSON values, every field present."""
    plain: dict[str, object] = json.loads(_CALL.dump_json(call, by_alias=True))
    return plain


def stall_deadline(
    call: Call, *, received_at: datetime, ringing_timeout_s: float, in_progress_timeout_s: float
) -> datetime | None:
    """
    When a call counts as stalled (UTC): so many seconds after its last message, `received_at`, by
    how far it has come; None if it is final.

    Counted by our own clock: a source's may be wrong, and a message that comes late would make its
    call stall at once.
    """
    if call.is_final:
        return None
    timeout_s = in_progress_timeout_s if call.stage is Stage.IN_PROGRESS else ringing_timeout_s
    return received_at + timedelta(seconds=timeout_s)


def _normal(event: CallEvent) -> CallEvent:
    # A message that was sent again under another id, or names its time in another zone, says the
    # same.
    occurred_at = None if event.occurred_at is None else event.occurred_at.astimezone(UTC)
    return replace(event, message_id="", occurred_at=occurred_at)


def _by_leg(events: Iterable[CallEvent]) -> dict[str, Ordered]:
    found: dict[str, list[CallEvent]] = defaultdict(list)
    for event in events:
        found[event.leg_id].append(event)
    return {leg_id: in_order(found[leg_id]) for leg_id in sorted(found)}


def _latest(legs: Collection[Ordered], read: Callable[[CallEvent], T | None]) -> T | None:
    """
    The latest value that is not None: within a leg by the leg's own order, between legs by time.
    """
    candidates: list[tuple[datetime, CallEvent, T]] = []
    for ordered in legs:
        for counts_at, event in reversed(ordered):
            value = read(event)
            if value is not None:
                candidates.append((counts_at, event, value))
                break
    return max(candidates, key=lambda each: (each[0], rank(each[1])))[2] if candidates else None


def _with_url(legs: Collection[Ordered], read: Callable[[CallEvent], R | None]) -> R | None:
    def read_url(event: CallEvent) -> R | None:
        found = read(event)
        return found if found is not None and found.url else None

    return _latest(legs, read_url) or _latest(legs, read)


def _voicemail(legs: Collection[Ordered]) -> Voicemail | None:
    # A transcript often comes later than the recording, in a message of its own.
    found = _with_url(legs, lambda event: event.voicemail)
    if found is None:
        return None
    transcript = _latest(
        legs, lambda event: None if event.voicemail is None else event.voicemail.transcript
    )
    return found if found.transcript else replace(found, transcript=transcript)


def _agent(by_leg: dict[str, Ordered], legs: Sequence[Leg]) -> str | None:
    # Of several telephones that rang, the one that was picked up tells who took the call; a mailbox
    # took it for nobody.
    answered = [
        by_leg[leg.leg_id] for leg in legs if leg.is_answered and leg.answered_by not in MACHINES
    ]
    return _latest(answered, lambda event: event.agent) or _latest(
        by_leg.values(), lambda event: event.agent
    )


def _numbers(parties: Parties) -> tuple[str | None, str | None]:
    main, root = parties.main, parties.root
    if main is None:
        return None, None
    if root is None or main is root:
        return main.from_number, main.to_number
    # An agent's own telephone dials the customer's number; any other first leg was called itself,
    # at a number that is not the customer's.
    is_dialler = parties.agent_root is root and root.direction is Direction.INBOUND
    return main.from_number or root.from_number, main.to_number or (
        root.to_number if is_dialler else None
    )


def _stage(legs: Iterable[Leg]) -> Stage:
    open_stages = [leg.stage for leg in legs if not leg.is_ended]
    has_ended = any(leg.is_ended for leg in legs)
    return furthest(open_stages or ([Stage.ENDED] if has_ended else []))
