"""
What is stored of the calls and failed messages that a replay may be about.

A failed message is parsed again from its raw form, so that corrected tables take effect.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from service.errors import IgnoredEvent, MalformedPayload
from service.events import CallEvent
from service.sources import SOURCES
from service.store.calls import StoredCall
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from service.store.failed import Failed
from service.store.keys import ref_of
from service.store.links import StoredLink
from workers.calls.fold import fold
from workers.jobs.parse_messages import ParsedMessages, parse_messages
from workers.matching.callers import CallerMatch, find_caller
from workers.matching.continued_calls import WholeCall, load_whole
from workers.matching.customer_numbers import MatchingRules, why_internal
from workers.matching.expected_calls import find_expected_call
from workers.matching.selection import ExpectedCallMatch


class ReplayCandidate(Struct, frozen=True, kw_only=True):
    """
    All that is stored of what is to be replayed: a call, or a failed `entry` with its messages.

    `ref` is the call's name, None if no message names one. `parsed` is what the raw messages of an
    entry mean to the present code. `expected` is the expected call that it may be, where neither a
    message nor a link names one. `caller` is who called by the phone book, of a final call.
    """

    ref: str | None
    stored: StoredCall | None = None
    link: StoredLink | None = None
    expected: ExpectedCallMatch | None = None
    caller: CallerMatch | None = None
    entry: Failed | None = None
    message_ids: tuple[str, ...] = ()
    received_at: datetime | None = None
    parsed: ParsedMessages = field(default_factory=ParsedMessages)
    whole: WholeCall | None = None

    @property
    def record(self) -> DeliveryRecord:
        """The record of the call, a new one for a call that is not known."""
        record = DeliveryRecord(ref=self.ref or "")
        if self.stored is not None:
            record = self.stored.record
        # A call whose only messages could not be read has no record yet, and its start matters for
        # what is expected with its number.
        times = [at for at in (record.first_received_at, self.received_at) if at is not None]
        return replace(record, first_received_at=min(times, default=None))

    @property
    def events(self) -> frozenset[CallEvent]:
        """
        The events of all messages; those parsed again replace what was stored of them. Of a call
        that goes on under another id the events there are among them, once `whole` is loaded.
        """
        if self.whole is not None:
            return self.whole.events
        stored_events: Mapping[str, tuple[CallEvent, ...]] = {}
        if self.stored is not None:
            stored_events = self.stored.events
        # The same rule as in a job, see `JobRun.events`.
        by_message = {**stored_events, **self.parsed.events}
        return frozenset(event for events in by_message.values() for event in events)

    @property
    def part_reason(self) -> str | None:
        """Why the call is no call of its own, None if it is one."""
        if self.whole is None:
            return None
        return self.whole.part_reason

    @property
    def is_queued(self) -> bool:
        """Whether the call waits to be written, or an earlier replay of it has not ended."""
        if self.record.replay_request is not None:
            return True
        # A request that no job has read yet is beside the record, and not in it.
        if self.stored is not None and self.stored.replay_request is not None:
            return True
        return self.record.state in (DeliveryState.WAITING, DeliveryState.SETTLING)


async def failed_candidates(
    store: Store, entries: Iterable[Failed], rules: MatchingRules, *, clock: Callable[[], datetime]
) -> AsyncIterator[ReplayCandidate]:
    """The candidates of failed entries, each loaded when its turn comes."""
    for entry in entries:
        candidate = await _load_entry(store, entry, clock=clock)
        yield await _with_matches(store, candidate, rules)


async def call_candidates(
    store: Store, refs: Sequence[str], rules: MatchingRules
) -> AsyncIterator[ReplayCandidate]:
    """The candidates of known calls, which are decided from their stored events."""
    async for stored, link in store.search.read(refs):
        candidate = ReplayCandidate(ref=stored.record.ref, stored=stored, link=link)
        yield await _with_matches(store, candidate, rules)


async def _load_entry(
    store: Store, entry: Failed, *, clock: Callable[[], datetime]
) -> ReplayCandidate:
    messages = await store.messages.get_many(list(entry.message_ids))
    ref = await _ref_of_entry(store, entry)
    if ref is None:
        return ReplayCandidate(ref=None, entry=entry, message_ids=tuple(messages))
    loaded = await store.calls.load(ref)
    # Unread messages of the call too: the job will read them together with these.
    pending = [message_id for message_id in loaded.pending if message_id not in messages]
    unparsed = [*messages.values(), *(await store.messages.get_many(pending)).values()]
    stored = None
    if loaded.stored.version:
        stored = loaded.stored
    return ReplayCandidate(
        ref=ref,
        stored=stored,
        link=await store.links.load(ref),
        entry=entry,
        message_ids=tuple(messages),
        received_at=min((message.received_at for message in unparsed), default=None),
        parsed=parse_messages(unparsed, clock=clock),
    )


async def _ref_of_entry(store: Store, entry: Failed) -> str | None:
    """
    The call of a failed entry; None if none is named.

    Of a message the source is asked again: an older version may not have found the call's id.
    """
    if entry.kind == "call":
        return entry.entry_id
    message = (await store.messages.get_many([entry.entry_id])).get(entry.entry_id)
    source = SOURCES.get(entry.source)
    if message is None or source is None:
        return None
    try:
        return ref_of(entry.source, source.keys(message.request).source_call_id)
    except (MalformedPayload, IgnoredEvent):
        return None


async def _with_matches(
    store: Store, candidate: ReplayCandidate, rules: MatchingRules
) -> ReplayCandidate:
    """
    The candidate with who called, and with the expected call that it may be, by the rules of the
    job; claims none.
    """
    if candidate.ref is None or not candidate.events:
        return candidate
    whole = await load_whole(store, candidate.ref, candidate.events, is_registered=False)
    candidate = replace(candidate, whole=whole)
    events = candidate.events
    call = fold(events)
    # Also of a call without a result: `unknown_end` may give it one by the time of the decision.
    if why_internal(call, rules) is not None:
        return candidate
    candidate = replace(candidate, caller=await find_caller(store.phone_book, call, rules))
    # As in a job: what names the Buildr call itself leaves no question for a number.
    if candidate.link is not None or any(event.buildr_call_id for event in events):
        return candidate
    _, expected = await find_expected_call(
        store.expected, call, rules, first_received_at=candidate.record.first_received_at
    )
    return replace(candidate, expected=expected)
