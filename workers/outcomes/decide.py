"""
From a call's result to what Buildr is told: the rule that decides and the body of the PATCH.
`workers.outcomes.notes` writes the notes.
"""

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from service.events import Result
from service.settings.outcomes import (
    DEFAULT_OUTCOMES,
    BusinessHours,
    OutcomeConfig,
    OutcomeRef,
    When,
)
from service.store.links import Link
from workers.calls.fold import Call

OutcomeIds = Mapping[str, str]
RecordedAt = Literal["start", "answer", "end", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    The outcome of a call, None if its result is to be left alone.

    `rule` names what decided, for people; `is_explicit` says whether the operator wrote it, or it
    is a default.
    """

    result: Result | None
    outcome: OutcomeRef | None
    rule: str
    is_explicit: bool


def decide(call: Call, config: OutcomeConfig) -> Decision:
    """
    Decide about a call: the first rule that holds, else `[outcomes]`, else the default. A call that
    is not final is left alone.
    """
    if call.result is None:
        return Decision(result=None, outcome=None, rule="no result yet", is_explicit=False)
    for place, rule in enumerate(config.rules):
        if _holds(rule.when, call, config.business_hours):
            return Decision(
                result=call.result,
                outcome=rule.outcome,
                rule=_rule_name(place, rule.name),
                is_explicit=True,
            )
    if call.result in config.outcomes:
        return Decision(
            result=call.result,
            outcome=config.outcomes[call.result],
            rule=f"outcomes.{call.result.value}",
            is_explicit=True,
        )
    return Decision(
        result=call.result,
        outcome=DEFAULT_OUTCOMES[call.result],
        rule=f"default.{call.result.value}",
        is_explicit=False,
    )


def map_digest(config: OutcomeConfig) -> str:
    """A name for all that decides about outcomes: two workers with the same one decide alike."""
    return hashlib.sha256(config.model_dump_json(exclude={"notes"}).encode()).hexdigest()[:16]


def outcome_key(name: str) -> str:
    """
    What two names of the same outcome have in common: upper and lower case and outer spaces do not
    count.
    """
    return " ".join(name.split()).casefold()


def resolve(ref: OutcomeRef, ids: OutcomeIds) -> str | None:
    """
    Buildr's id of an outcome; `ids` goes by `outcome_key`. None if the account has no outcome of
    that name.
    """
    return ref.id if ref.name is None else ids.get(outcome_key(ref.name))


def unknown_names(
    config: OutcomeConfig, ids: OutcomeIds, *, display_names: Iterable[str] = ()
) -> tuple[str, ...]:
    """
    A line for each outcome that the operator named and the account does not have: where it stands,
    and which names there are.

    `display_names` are the account's names as Buildr spells them.
    """
    known = ", ".join(sorted(display_names or ids)) or "none"
    lines = []
    for place, ref in _named(config):
        if ref is None or ref.name is None or resolve(ref, ids) is not None:
            continue
        near = difflib.get_close_matches(outcome_key(ref.name), ids, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else "."
        lines.append(f'{place}: the account has no call outcome "{ref.name}"{hint} It has: {known}')
    return tuple(lines)


def build_patch(
    call: Call,
    decision: Decision,
    *,
    outcome_id: str | None,
    link: Link | None,
    recorded_at: RecordedAt,
) -> dict[str, dict[str, str]] | None:
    """
    The body of the PATCH without notes, or None if there is nothing to say.

    `recorded_at` chooses the moment: of an unanswered call `answer` means its start. The ids of a
    link go along only if the link is about the same Buildr call as the messages.
    """
    if not call.is_final or decision.outcome is None or outcome_id is None:
        return None
    fields = {"call_outcome_id": outcome_id}
    if link is not None and call.buildr_call_id in (None, link.buildr_call_id):
        fields |= link.filed_under()
    moment = _moment(call, recorded_at)
    if moment is not None:
        fields["recorded_at"] = (
            moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
        )
    return {"call": fields}


def _rule_name(place: int, name: str | None) -> str:
    return f"rules[{place}]" if name is None else f'rules[{place}] "{name}"'


def _named(config: OutcomeConfig) -> Iterator[tuple[str, OutcomeRef | None]]:
    yield from ((f"outcomes.{result.value}", ref) for result, ref in config.outcomes.items())
    yield from (
        (_rule_name(place, rule.name), rule.outcome) for place, rule in enumerate(config.rules)
    )


def _moment(call: Call, mode: RecordedAt) -> datetime | None:
    if mode == "never":
        return None
    if mode == "answer":
        return call.answered_at or call.started_at
    return call.ended_at or call.started_at if mode == "end" else call.started_at


def _holds(when: When, call: Call, hours: BusinessHours | None) -> bool:
    checks = {
        "result": lambda: call.result in when.result,
        "source": lambda: _is_one_of((call.source,), when.source),
        "direction": lambda: call.direction is when.direction,
        "answered_by": lambda: call.answered_by is when.answered_by,
        "duration_at_least_s": lambda: (
            call.duration_s is not None and call.duration_s >= (when.duration_at_least_s or 0)
        ),
        "duration_below_s": lambda: (
            call.duration_s is not None and call.duration_s < (when.duration_below_s or 0)
        ),
        "disposition": lambda: _is_one_of((call.disposition,), when.disposition),
        "tag": lambda: _is_one_of(call.tags, when.tag),
        "agent": lambda: _is_one_of((call.agent,), when.agent),
        "business_hours": lambda: _is_open(call.started_at, hours) is when.business_hours,
    }
    return all(checks[name]() for name in when.model_fields_set)


def _is_one_of(found: Iterable[str | None], words: Iterable[str]) -> bool:
    wanted = {outcome_key(word) for word in words}
    return any(value is not None and outcome_key(value) in wanted for value in found)


def _is_open(started_at: datetime | None, hours: BusinessHours | None) -> bool | None:
    """
    Whether a call started within the opening hours; None if its start is not known. The moment of
    closing is outside.
    """
    if started_at is None or hours is None:
        return None
    try:
        local = started_at.astimezone(ZoneInfo(hours.timezone))
    except OverflowError:
        return None
    span = hours.span(local.weekday())
    return span is not None and span[0] <= local.time() < span[1]
