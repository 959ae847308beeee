"""
Putting calls through again by hand: what would come of it now, and then exactly that.

Time has passed since. So nothing is written that Buildr holds from us already, and nothing that a
person has changed there, unless it is forced. A failed message is read anew from its raw form, so
that a mended table takes effect; rules and links are those of today.
"""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from service.errors import (
    BuildrError,
    BuildrRateLimited,
    BuildrRejected,
    IgnoredEvent,
    MalformedPayload,
)
from service.settings import Budget
from service.sources import SOURCES
from service.store.connection import Store
from service.store.delivery_state import ReplayRequest
from service.store.failed import Failed, FailedFilter
from service.store.keys import ref_of
from service.store.rate_limit.grants import Grant, HealthSignal
from service.store.rate_limit.grants import GrantStatus as Permission
from service.store.rate_limit.lanes import Lane
from workers.buildr import BuildrClient
from workers.calls.fold import fold
from workers.delivery.feedback import health_signal_of, release_permits
from workers.jobs.parse_messages import parse_messages
from workers.matching.customer_numbers import MatchingRules, why_internal
from workers.matching.expected_calls import find_expected_call
from workers.replay.verdicts import (
    WRITES,
    BuildrState,
    Refused,
    ReplayAssessment,
    ReplayCandidate,
    ReplayContext,
    Verdict,
    assess,
)

POLL_S: Final = 0.1
PATIENCE_S: Final = 300.0
# With these Buildr says that it cannot read an empty update, which tells nothing about the call.
UNREADABLE: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Replays:
    """
    Judges, and puts through again what is to be put through, in one lane.

    `look` shows what Buildr holds of a call, None not to look there: the worker does so in any case
    before it writes.
    """

    store: Store
    basis: ReplayContext
    clock: Callable[[], datetime]
    lane: Lane = Lane.REPLAY
    is_forced: bool = False
    look: Callable[[str], Awaitable[BuildrState]] | None = None

    @property
    def replay_request(self) -> ReplayRequest:
        """The replay request that is stored for the worker."""
        return ReplayRequest(lane=self.lane, at=self.clock(), is_forced=self.is_forced)

    async def assess(self, case: ReplayCandidate) -> ReplayAssessment:
        """
        The verdict on a case, with a look at Buildr where it matters. Raises `BuildrError` if
        Buildr cannot be asked.
        """
        if case.entry is not None and await self.store.failed.get(case.entry.entry_id) is None:
            return ReplayAssessment(case=case, verdict=Verdict.TAKEN)
        found = assess(case, self.basis, self.replay_request, now=self.clock())
        if found.verdict is not Verdict.UNREAD or self.look is None or found.buildr_call_id is None:
            return found
        return assess(
            case,
            self.basis,
            self.replay_request,
            now=self.clock(),
            held=await self.look(found.buildr_call_id),
        )

    async def apply(self, found: ReplayAssessment) -> ReplayAssessment:
        """
        Do what a verdict says: what is to be written is marked for a worker, and a failed entry
        that is settled leaves the list.

        Returns the verdict, another one if somebody was faster.
        """
        entry = found.case.entry
        ref = found.case.ref
        if not found.is_settled or ref is None:
            return found
        if entry is not None:
            read_anew = await self.store.failed.replay(
                entry,
                ref=ref,
                message_ids=list(found.case.message_ids),
                replay_request=self.replay_request,
            )
            return (
                found
                if read_anew is not None
                else ReplayAssessment(case=found.case, verdict=Verdict.TAKEN)
            )
        if found.verdict in WRITES and not await self.store.calls.request_replay(
            ref, self.replay_request
        ):
            return ReplayAssessment(case=found.case, verdict=Verdict.GONE)
        return found


async def replay(
    replays: Replays, cases: AsyncIterator[ReplayCandidate], *, is_dry_run: bool = False
) -> AsyncIterator[ReplayAssessment]:
    """
    Put cases through again, one after the other; with `is_dry_run` only say what would come of it.
    Raises `BuildrError`.
    """
    async for case in cases:
        found = await replays.assess(case)
        yield found if is_dry_run else await replays.apply(found)


async def failed_cases(
    store: Store, entries: Iterable[Failed], basis: ReplayContext, *, clock: Callable[[], datetime]
) -> AsyncIterator[ReplayCandidate]:
    """What is kept of failed entries, each read when its turn comes."""
    for entry in entries:
        yield await _expecting(store, await _case_of(store, entry, clock=clock), basis.rules)


async def known_cases(
    store: Store, refs: Sequence[str], basis: ReplayContext
) -> AsyncIterator[ReplayCandidate]:
    """What is kept of known calls, which are decided from their events."""
    async for stored, link in store.search.read(refs):
        yield await _expecting(
            store, ReplayCandidate(ref=stored.record.ref, stored=stored, link=link), basis.rules
        )


async def select(
    store: Store, wanted: FailedFilter, *, entry_ids: tuple[str, ...] = (), limit: int | None = None
) -> list[Failed]:
    """
    The failed entries that are meant: those named, else those that the filter holds for, oldest
    first.
    """
    if entry_ids:
        named = [await store.failed.get(entry_id) for entry_id in dict.fromkeys(entry_ids)]
        return [entry for entry in named if entry is not None]
    found: list[Failed] = []
    async for entry in store.failed.select(wanted):
        found.append(entry)
        if limit is not None and len(found) >= limit:
            break
    return found


async def _case_of(
    store: Store, entry: Failed, *, clock: Callable[[], datetime]
) -> ReplayCandidate:
    """What is kept of a failed entry, its raw messages read anew."""
    kept = await store.messages.get_many(list(entry.message_ids))
    ref = entry.entry_id if entry.kind == "call" else await _call_of(store, entry)
    if ref is None:
        return ReplayCandidate(ref=None, entry=entry, message_ids=tuple(kept))
    loaded = await store.calls.load(ref)
    stored = loaded.stored
    unread = await store.messages.get_many([each for each in loaded.pending if each not in kept])
    reading = parse_messages([*kept.values(), *unread.values()], clock=clock)
    return ReplayCandidate(
        ref=ref,
        stored=stored if stored.version else None,
        link=(await store.links.load(ref))[0],
        entry=entry,
        message_ids=tuple(kept),
        received_at=min(
            (each.received_at for each in (*kept.values(), *unread.values())), default=None
        ),
        reading=reading,
    )


async def _expecting(store: Store, case: ReplayCandidate, rules: MatchingRules) -> ReplayCandidate:
    """A case with the expected call that it may be, by the rules of the job; none is claimed."""
    events = case.events
    if (
        not events
        or case.link is not None
        or any(event.buildr_call_id is not None for event in events)
    ):
        return case
    call = fold(events)
    if not call.is_final or why_internal(call, rules) is not None:
        return case
    _, choice = await find_expected_call(
        store.expected, call, rules, first_received_at=case.record.first_received_at
    )
    return replace(case, expected=choice)


async def _call_of(store: Store, entry: Failed) -> str | None:
    """
    The call of a failed message, asked anew of its source: an older version may not have been able
    to say.
    """
    message = await store.messages.get(entry.entry_id)
    source = SOURCES.get(entry.source)
    if message is None or source is None:
        return None
    try:
        return ref_of(entry.source, source.keys(message.request).source_call_id)
    except (MalformedPayload, IgnoredEvent):
        return None


def minutes(requests: int, budgets: Sequence[Budget]) -> float:
    """
    How many minutes of budget so many requests are, at the rate that all budgets together allow for
    long.
    """
    rate = min(budget.requests / budget.window_s for budget in budgets)
    return requests / rate / 60


def in_minutes(requests: int, budgets: Sequence[Budget]) -> str:
    """The same in words."""
    if not requests:
        return "no budget"
    return f"about {math.ceil(minutes(requests, budgets))} min of budget ({requests} request{'s' if requests > 1 else ''})"


async def read_held(
    store: Store,
    client: BuildrClient,
    buildr_call_id: str,
    *,
    hold_s: float,
    clock: Callable[[], datetime],
) -> BuildrState:
    """
    What Buildr holds of a call: an update that changes nothing, within the budget and after
    everything more urgent.

    Raises `BuildrError` if Buildr is away, forbids it, or cannot read such an update.
    """
    name = f"#replay:{secrets.token_hex(4)}"
    while True:
        grant = await _permit(store, name, hold_s=hold_s, clock=clock)
        if not await store.permits.start(grant, request_timeout_s=client.timeout_s):
            await store.permits.release(grant, sent=0)
            continue
        try:
            held: BuildrState = await client.update_call(buildr_call_id, {"call": {}})
        except BuildrRateLimited as err:
            await release_permits(
                store.permits, grant, sent=1, signal=HealthSignal.LIMITED, err=err
            )
            continue
        except BuildrError as err:
            await release_permits(
                store.permits, grant, sent=1, signal=health_signal_of(err), err=err
            )
            if not isinstance(err, BuildrRejected) or err.status_code in UNREADABLE:
                raise
            return Refused(str(err))
        await release_permits(store.permits, grant, sent=1, signal=HealthSignal.FINE)
        return held


async def _permit(
    store: Store, name: str, *, hold_s: float, clock: Callable[[], datetime]
) -> Grant:
    since = clock()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                grant = await store.permits.ask(
                    name, lane=Lane.REPLAY, since=since, cost=1, hold_s=hold_s
                )
                if grant.verdict is Permission.GRANTED:
                    return grant
                await store.permits.pump()
                await asyncio.sleep(POLL_S)
    except TimeoutError as err:
        raise BuildrRateLimited(
            f"no budget for a look at it within {timedelta(seconds=PATIENCE_S)}", retry_after_s=None
        ) from err
    finally:
        await store.permits.leave(name)
