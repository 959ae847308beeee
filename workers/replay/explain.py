"""
The story of a call, told from its events: what they are, what they make, which rule decided, what
Buildr is sent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from service.events import CallEvent
from service.events import as_dict as event_as_dict
from service.settings.outcomes import OutcomeConfig
from service.sources import SOURCES, WebhookRequest
from service.store.calls import StoredCall
from service.store.connection import Store
from service.store.expected_calls import ExpectedCalls
from service.store.failed import as_dict as failed_as_dict
from service.store.keys import ref_of, split_ref
from service.store.links import Link
from service.store.messages import message_id
from workers.calls.fold import Call, fold
from workers.calls.fold import as_dict as call_as_dict
from workers.matching.customer_numbers import MatchingRules
from workers.matching.expected_calls import find_expected_call
from workers.matching.match import Match, link_for_patch, match
from workers.matching.selection import ExpectedCallMatch
from workers.outcomes.decide import (
    build_patch,
    decide,
    outcome_key,
    resolve,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallExplanation:
    """One call explained; `patch` is the body of the PATCH, or None where nothing would be sent."""

    events: tuple[CallEvent, ...]
    call: Call
    match: Match
    rule: str | None
    outcome: str | None
    patch: Mapping[str, Mapping[str, str]] | None

    def as_dict(self) -> dict[str, object]:
        """The story as plain JSON values."""
        return {
            "events": [event_as_dict(event) for event in self.events],
            "call": call_as_dict(self.call),
            "match": asdict(self.match),
            "rule": self.rule,
            "outcome": self.outcome,
            "patch": self.patch,
        }


def parse(source: str, request: WebhookRequest) -> list[CallEvent]:
    """
    Read a request as the worker would, without asking for a signature.

    Raises `MalformedPayload` and `IgnoredEvent`.
    """
    adapter = SOURCES[source]
    return adapter.read(request, message_id(source, adapter.keys(request).message_key))


def explain_events(
    events: Iterable[CallEvent],
    config: OutcomeConfig,
    *,
    link: Link | None = None,
    expected: ExpectedCallMatch | None = None,
    outcome_ids: Mapping[str, str] | None = None,
) -> CallExplanation:
    """
    Fold events and decide, without touching anything.

    An outcome whose id is not known shows as `<id of Connected>`. Raises ValueError if there are no
    events or they are of several calls.
    """
    events = tuple(sorted(events, key=_by_time))
    call = fold(events)
    found = match(call, link, expected)
    if not call.is_final:
        return CallExplanation(
            events=events, call=call, match=found, rule=None, outcome=None, patch=None
        )
    decision = decide(call, config)
    outcome_id = (
        None
        if decision.outcome is None
        else resolve(decision.outcome, outcome_ids or {}) or f"<id of {decision.outcome}>"
    )
    patch = None
    if outcome_id is not None:
        along = link_for_patch(found, link, expected)
        patch = build_patch(
            call, decision, outcome_id=outcome_id, link=along, recorded_at=config.recorded_at
        )
    outcome = None if decision.outcome is None else str(decision.outcome)
    return CallExplanation(
        events=events, call=call, match=found, rule=decision.rule, outcome=outcome, patch=patch
    )


async def explain_call(
    store: Store,
    ref: str,
    config: OutcomeConfig,
    *,
    expected: ExpectedCalls | None = None,
    rules: MatchingRules | None = None,
) -> tuple[CallExplanation | None, dict[str, object]] | None:
    """
    The whole story of a call that the service knows: with where it stands, what was written, and
    what failed.

    With `expected` it is told which expected calls it may be, by the same rules as the job's; none
    is claimed. The first part is None while no event of the call could be read. Returns None for a
    call that nothing is known of.
    """
    loaded = await store.calls.load(ref)
    if not loaded.is_known:
        return None
    stored = loaded.stored
    link = await store.links.get(*split_ref(ref))
    names = await store.outcomes.load()
    ids = (
        {outcome_key(name): outcome_id for name, outcome_id in names.names}
        if names is not None
        else None
    )
    choice = None
    if expected is not None and stored.all_events:
        first = stored.record.first_received_at
        _, choice = await find_expected_call(
            expected, fold(stored.all_events), rules or MatchingRules(), first_received_at=first
        )
    story = (
        explain_events(stored.all_events, config, link=link, expected=choice, outcome_ids=ids)
        if stored.all_events
        else None
    )
    entry = await store.failed.get(ref)
    unread = [await store.failed.get(message) for message in stored.events]
    delivery: dict[str, object] = {
        **_record(stored),
        "pending_messages": list(loaded.pending),
        "link": None if link is None else asdict(link),
        "failed": None if entry is None else failed_as_dict(entry),
        "failed_messages": [failed_as_dict(each) for each in unread if each is not None],
    }
    return story, delivery


async def find(store: Store, text: str) -> list[str]:
    """The calls that a person may mean: by full name, by id alone, or by a part of it."""
    source, _, source_call_id = text.partition(":")
    if source and source_call_id and (await store.calls.load(text)).stored.version:
        return [text]
    for source in SOURCES:
        if (await store.calls.load(ref_of(source, text))).is_known:
            return [ref_of(source, text)]
    return await store.calls.find(text)


def _record(stored: StoredCall) -> dict[str, object]:
    record = stored.record
    return {
        "state": record.state.value,
        "reason": record.reason,
        "buildr_call_id": record.buildr_call_id,
        "outcome": record.outcome,
        "written": record.written,
        "written_to": record.written_to,
        "written_at": None if record.written_at is None else record.written_at.isoformat(),
        "attempts": record.attempts,
        "due_at": None if record.due_at is None else record.due_at.isoformat(),
        "answers": [
            {
                "at": answer.at.isoformat(),
                "cause": answer.cause,
                "status_code": answer.status_code,
                "text": answer.text,
            }
            for answer in record.answers
        ],
        "history": [
            {"at": step.at.isoformat(), "what": step.summary, "detail": step.detail}
            for step in record.history
        ],
    }


def _by_time(event: CallEvent) -> tuple[float, int]:
    return (
        0 if event.occurred_at is None else event.occurred_at.timestamp(),
        -1 if event.sequence is None else event.sequence,
    )
