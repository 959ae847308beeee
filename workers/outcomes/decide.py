"""
From a call's result to the fields that Buildr is sent: the rule that decides, and the PATCH.

`workers.outcomes.notes` writes the notes.
"""

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from service.events import Result
from service.settings.outcome_refs import OutcomeRef
from service.settings.outcomes import DEFAULT_OUTCOMES, OutcomeConfig
from service.store.links import Link
from workers.calls.fold import Call
from workers.outcomes.conditions import applies, comparison_key

OutcomeIds = Mapping[str, str]
RecordedAt = Literal["start", "answer", "end", "never"]


class Decision(Struct, frozen=True, kw_only=True):
    """
    The outcome of a call, None if nothing is to be written for its result.

    `rule` names what decided, for operators, as in `rules[0] "Machines"`, `outcomes.busy` or
    `default.busy`. With `is_explicit` the operator wrote it; without, it is a default.
    """

    result: Result | None
    outcome: OutcomeRef | None
    rule: str
    is_explicit: bool


def decide(call: Call, config: OutcomeConfig) -> Decision:
    """
    Decide about a call: the first rule that applies, else `[outcomes]`, else the default.

    A call that is not final gets no outcome.
    """
    if call.result is None:
        return Decision(result=None, outcome=None, rule="no result yet", is_explicit=False)
    for index, rule in enumerate(config.rules):
        if applies(rule.when, call, config.business_hours):
            return Decision(
                result=call.result,
                outcome=rule.outcome,
                rule=rule.title(index),
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
    """
    A digest of all settings that decide about outcomes: workers with the same one decide alike.

    The notes and the sample calls are left out. 16 hexadecimal digits.
    """
    text = config.model_dump_json(exclude={"notes", "tests"})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def outcome_key(name: str) -> str:
    """The form in which names of outcomes are compared: case and extra spaces do not count."""
    return comparison_key(name)


def resolve(ref: OutcomeRef, ids: OutcomeIds) -> str | None:
    """
    Buildr's id of an outcome, or None if the account has no outcome of that name.

    `ids` go by `outcome_key`.
    """
    if ref.name is None:
        return ref.id
    return ids.get(outcome_key(ref.name))


def unknown_names(
    config: OutcomeConfig, ids: OutcomeIds, *, display_names: Iterable[str] = ()
) -> tuple[str, ...]:
    """
    A line for each outcome that the settings name and the account does not have.

    It gives the place in the settings and the account's names; `display_names` are these as Buildr
    spells them. Sample calls are left out, since they decide nothing.
    """
    return _unknown_names(_configured_outcomes(config), ids, display_names)


def unknown_ids(config: OutcomeConfig, names: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """
    A line for each outcome that the settings name by an id which the account does not have;
    `names` are its outcomes as pairs `(name, id)`.
    """
    pairs = sorted(names)
    ids = {outcome_id for _, outcome_id in pairs}
    listing = ", ".join(f"{name} ({outcome_id})" for name, outcome_id in pairs) or "none"
    return tuple(
        f"{place}: the account has no call outcome with the id {ref.id}. It has: {listing}"
        for place, ref in _configured_outcomes(config)
        if ref is not None and ref.id is not None and ref.id not in ids
    )


def unknown_names_of_tests(
    config: OutcomeConfig, ids: OutcomeIds, *, display_names: Iterable[str] = ()
) -> tuple[str, ...]:
    """The same for the outcomes that the sample calls name."""
    places = ((test.title(index), test.outcome) for index, test in enumerate(config.tests))
    return _unknown_names(places, ids, display_names)


def _unknown_names(
    outcomes: Iterable[tuple[str, OutcomeRef | None]], ids: OutcomeIds, display_names: Iterable[str]
) -> tuple[str, ...]:
    account_names = ", ".join(sorted(display_names or ids)) or "none"
    lines = []
    for place, ref in outcomes:
        if ref is None or ref.name is None or resolve(ref, ids) is not None:
            continue
        lines.append(
            f'{place}: the account has no call outcome "{ref.name}"{_suggestion(ref.name, ids)}'
            f" It has: {account_names}"
        )
    return tuple(lines)


def _suggestion(name: str, ids: OutcomeIds) -> str:
    close_names = difflib.get_close_matches(outcome_key(name), ids, n=1)
    if not close_names:
        return "."
    return f'; did you mean "{close_names[0]}"?'


def build_patch(
    call: Call,
    decision: Decision,
    *,
    outcome_id: str | None,
    link: Link | None,
    recorded_at: RecordedAt,
) -> dict[str, dict[str, str]] | None:
    """
    The body of the PATCH without notes, or None if there is nothing to write.

    `recorded_at` selects the time: `answer` means the start of a call that was not answered, and
    so does `end` of one whose end is not known. The ids of a link are sent only if the link is
    about the Buildr call that the messages name.
    """
    if not call.is_final or decision.outcome is None or outcome_id is None:
        return None
    fields = {"call_outcome_id": outcome_id}
    if link is not None and call.buildr_call_id in (None, link.buildr_call_id):
        fields |= link.association_ids()
    recorded_time = _recorded_time(call, recorded_at)
    if recorded_time is not None:
        fields["recorded_at"] = _utc_seconds(recorded_time)
    return {"call": fields}


def _recorded_time(call: Call, recorded_at: RecordedAt) -> datetime | None:
    if recorded_at == "never":
        return None
    if recorded_at == "answer":
        return call.answered_at or call.started_at
    if recorded_at == "end":
        return call.ended_at or call.started_at
    return call.started_at


def _utc_seconds(moment: datetime) -> str:
    """A time as ISO 8601 in UTC, cut to the second: `2026-11-02T16:00:00Z`."""
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _configured_outcomes(config: OutcomeConfig) -> Iterator[tuple[str, OutcomeRef | None]]:
    """The outcomes of the settings, each with its place there."""
    for result, ref in config.outcomes.items():
        yield f"outcomes.{result.value}", ref
    for index, rule in enumerate(config.rules):
        yield rule.title(index), rule.outcome
