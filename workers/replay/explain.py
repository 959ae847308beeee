"""
A call explained: its events, what they make, which rule decided, and what Buildr is sent.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from service.clock import utc_now
from service.events import CallEvent
from service.events import as_dict as event_as_dict
from service.plain_values import plain_fields
from service.settings.outcomes import OutcomeConfig
from service.sources import SOURCES, WebhookRequest
from service.store.calls import StoredCall
from service.store.connection import Store
from service.store.failed import Failed
from service.store.failed import as_dict as failed_as_dict
from service.store.keys import split_ref
from service.store.links import Link, StoredLink, UnreadableLink
from service.store.messages import message_id
from workers.calls.fold import Call, fold
from workers.calls.fold import as_dict as call_as_dict
from workers.calls.unknown_end import with_unknown_end
from workers.delivery.desired import desired_state, outcome_ids_of
from workers.matching.callers import CallerMatch, find_caller
from workers.matching.continued_calls import load_whole
from workers.matching.customer_numbers import MatchingRules, why_internal
from workers.matching.expected_calls import find_expected_call
from workers.matching.match import Match
from workers.matching.selection import ExpectedCallMatch


class CallExplanation(Struct, frozen=True, kw_only=True):
    """
    One call explained.

    `rule` and `outcome` are None of a call that is not final, `outcome` also where the result is
    left alone. `patch` is the body of the PATCH, or None where nothing would be sent. `caller` is
    who called by the phone book, None where it was not asked.
    """

    events: tuple[CallEvent, ...]
    call: Call
    match: Match
    rule: str | None
    outcome: str | None
    patch: Mapping[str, Mapping[str, str]] | None
    caller: CallerMatch | None = None

    def as_dict(self) -> dict[str, object]:
        """
        The explanation as plain JSON values.

        Keys: events (a list), call, match, rule, outcome, patch, caller.
        """
        caller = None
        if self.caller is not None:
            caller = {"reason": self.caller.reason, "ids": dict(self.caller.ids)}
        return {
            "events": [event_as_dict(event) for event in self.events],
            "call": call_as_dict(self.call),
            "match": plain_fields(self.match),
            "rule": self.rule,
            "outcome": self.outcome,
            "patch": self.patch,
            "caller": caller,
        }


class DeliveryExplanation(Struct, frozen=True, kw_only=True):
    """
    How far a call is on its way to Buildr, and what failed. `link` is None too where it cannot be
    read, which the match says.
    """

    stored: StoredCall
    pending_messages: tuple[str, ...]
    link: Link | None
    failed: Failed | None
    failed_messages: tuple[Failed, ...]

    def as_dict(self) -> dict[str, object]:
        """
        The delivery as plain JSON values; times are ISO 8601 in UTC.

        Keys: state, reason, buildr_call_id, outcome, written (fields), written_to, written_at,
        attempts, due_at, answers (a list), history (a list), pending_messages (ids), link, failed,
        failed_messages (a list).
        """
        record = self.stored.record
        return {
            "state": record.state.value,
            "reason": record.reason,
            "buildr_call_id": record.buildr_call_id,
            "outcome": record.outcome,
            "written": record.written,
            "written_to": record.written_to,
            "written_at": _iso(record.written_at),
            "attempts": record.attempts,
            "due_at": _iso(record.due_at),
            "answers": [
                {
                    "at": _iso(answer.at),
                    "cause": answer.cause,
                    "status_code": answer.status_code,
                    "text": answer.text,
                }
                for answer in record.answers
            ],
            "history": [
                {"at": _iso(entry.at), "what": entry.summary, "detail": entry.detail}
                for entry in record.history
            ],
            "pending_messages": list(self.pending_messages),
            "link": self.link and plain_fields(self.link),
            "failed": self.failed and failed_as_dict(self.failed),
            "failed_messages": [failed_as_dict(entry) for entry in self.failed_messages],
        }


class StoredCallExplanation(Struct, frozen=True, kw_only=True):
    """A stored call explained; `call` is None while no event of it could be read."""

    call: CallExplanation | None
    delivery: DeliveryExplanation


def parse(source: str, request: WebhookRequest) -> list[CallEvent]:
    """
    Parse a request as the worker would, without verifying its signature.

    Raises `MalformedPayload` and `IgnoredEvent`.
    """
    adapter = SOURCES[source]
    return adapter.read(request, message_id(source, adapter.keys(request).message_key))


def explain_events(
    events: Iterable[CallEvent],
    config: OutcomeConfig,
    *,
    link: StoredLink | None = None,
    expected: ExpectedCallMatch | None = None,
    caller: CallerMatch | None = None,
    outcome_ids: Mapping[str, str] | None = None,
    received_at: datetime | None = None,
    rules: MatchingRules | None = None,
    part_reason: str | None = None,
) -> CallExplanation:
    """
    Fold events and decide, without changing anything.

    `received_at` (UTC) is when the last message came, None if it is not known. `part_reason` is set
    of a call that another one takes in; `rules` tell calls among ourselves. An outcome whose id is
    not known shows as `<id of Connected>`. Raises ValueError if there are no events or they are
    of several calls.
    """
    ordered = tuple(sorted(events, key=_by_time))
    # The present by this machine's clock, since nothing of this is stored.
    call = with_unknown_end(fold(ordered), config, received_at=received_at, now=utc_now())
    internal_reason = part_reason
    if internal_reason is None and rules is not None:
        internal_reason = why_internal(call, rules)
    desired = desired_state(
        call,
        config,
        outcome_ids=outcome_ids,
        link=link,
        expected=expected,
        caller=caller,
        internal_reason=internal_reason,
        for_display=True,
    )
    call_match = desired.match
    if internal_reason is not None and call_match.how == "none":
        # Not "set a link": nothing is missing.
        call_match = replace(call_match, reason=internal_reason)
    rule = None
    outcome = None
    if desired.outcome is not None:
        rule = desired.outcome.decision.rule
        outcome = desired.outcome.name
    patch = None
    if desired.fields:
        patch = {"call": desired.fields}
    return CallExplanation(
        events=ordered,
        call=call,
        match=call_match,
        rule=rule,
        outcome=outcome,
        patch=patch,
        caller=desired.caller,
    )


async def explain_call(
    store: Store, ref: str, config: OutcomeConfig, *, rules: MatchingRules | None = None
) -> StoredCallExplanation | None:
    """
    Explain a call that the service knows; None if nothing is known of it.

    With `rules` it says which expected call it may be, and who called, as the job would; none is
    claimed.
    """
    loaded = await store.calls.load(ref)
    if not loaded.is_known:
        return None
    stored = loaded.stored
    whole = await load_whole(store, ref, stored.all_events, is_registered=False)
    events = whole.events
    link = await store.links.get(*split_ref(ref))
    explanation = None
    if events:
        explanation = explain_events(
            events,
            config,
            link=link,
            expected=await _expected(store, stored, rules),
            caller=await _caller(store, stored, rules),
            outcome_ids=outcome_ids_of(await store.outcomes.load()),
            received_at=stored.record.last_received_at,
            rules=rules,
            part_reason=whole.part_reason,
        )
    failed_messages = [await store.failed.get(message) for message in stored.events]
    delivery = DeliveryExplanation(
        stored=stored,
        pending_messages=tuple(loaded.pending),
        link=None if isinstance(link, UnreadableLink) else link,
        failed=await store.failed.get(ref),
        failed_messages=tuple(entry for entry in failed_messages if entry is not None),
    )
    return StoredCallExplanation(call=explanation, delivery=delivery)


async def _expected(
    store: Store, stored: StoredCall, rules: MatchingRules | None
) -> ExpectedCallMatch | None:
    if rules is None:
        return None
    _, expected = await find_expected_call(
        store.expected,
        fold(stored.all_events),
        rules,
        first_received_at=stored.record.first_received_at,
    )
    return expected


async def _caller(
    store: Store, stored: StoredCall, rules: MatchingRules | None
) -> CallerMatch | None:
    if rules is None:
        return None
    return await find_caller(store.phone_book, fold(stored.all_events), rules)


def _iso(at: datetime | None) -> str | None:
    if at is None:
        return None
    return at.isoformat()


def _by_time(event: CallEvent) -> tuple[float, int]:
    """Events without a time come first, those without a sequence number before numbered ones."""
    seconds = 0.0
    if event.occurred_at is not None:
        seconds = event.occurred_at.timestamp()
    sequence = -1
    if event.sequence is not None:
        sequence = event.sequence
    return seconds, sequence
