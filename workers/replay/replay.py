"""
Replay by hand: what a replay would do now, and then exactly that.

Time has passed since the first attempt. So nothing is written that Buildr holds from us already,
and nothing over an outcome that was edited by hand, unless it is forced. Rules, links and outcomes
are those of today.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

from msgspec import Struct

from service.store.connection import Store
from service.store.delivery_state import ReplayRequest
from service.store.rate_limit.lanes import Lane
from workers.replay.assessment import BuildrState, ReplayAssessment, ReplayContext, assess
from workers.replay.candidates import ReplayCandidate
from workers.replay.verdicts import WRITES, Verdict


class Replayer(Struct, frozen=True, kw_only=True):
    """
    Assesses candidates, and requests the replay of those that are to be written, in one lane.

    `read_buildr` returns what Buildr holds of a call; None to leave that to the worker, which reads
    it in any case before it writes.
    """

    store: Store
    context: ReplayContext
    clock: Callable[[], datetime]
    lane: Lane = Lane.REPLAY
    is_forced: bool = False
    read_buildr: Callable[[str], Awaitable[BuildrState]] | None = None

    @property
    def replay_request(self) -> ReplayRequest:
        """The replay request that is stored for the worker."""
        return ReplayRequest(lane=self.lane, at=self.clock(), is_forced=self.is_forced)

    async def assess(self, candidate: ReplayCandidate) -> ReplayAssessment:
        """
        The verdict on a candidate; reads Buildr where the verdict depends on it.

        Raises `BuildrError` if Buildr cannot be read.
        """
        entry = candidate.entry
        # The list was read at the start, and reads in Buildr take their time before its last entry.
        if entry is not None and await self.store.failed.get(entry.entry_id) is None:
            return ReplayAssessment(candidate=candidate, verdict=Verdict.TAKEN)
        assessment = assess(candidate, self.context, self.replay_request, now=self.clock())
        buildr_call_id = assessment.buildr_call_id
        if assessment.verdict is not Verdict.UNCHECKED or buildr_call_id is None:
            return assessment
        if self.read_buildr is None:
            return assessment
        in_buildr = await self.read_buildr(buildr_call_id)
        # From the beginning, not only checked: a read waits for its permit, and the time may
        # matter.
        return assess(
            candidate, self.context, self.replay_request, now=self.clock(), in_buildr=in_buildr
        )

    async def apply(self, assessment: ReplayAssessment) -> ReplayAssessment:
        """
        Do what a verdict announces: request the replay, and take a settled entry off the list.

        Returns the assessment, with another verdict if another command or worker was faster.
        """
        ref = assessment.candidate.ref
        if not assessment.is_settled or ref is None:
            return assessment
        if assessment.candidate.entry is not None:
            return await self._apply_to_entry(assessment, ref)
        # Of a call without an entry there is nothing to take off a list.
        if assessment.verdict not in WRITES:
            return assessment
        if await self.store.calls.request_replay(ref, self.replay_request):
            return assessment
        return ReplayAssessment(candidate=assessment.candidate, verdict=Verdict.GONE)

    async def _apply_to_entry(self, assessment: ReplayAssessment, ref: str) -> ReplayAssessment:
        candidate = assessment.candidate
        if candidate.entry is None:
            return assessment
        parsed_again = await self.store.failed.replay(
            candidate.entry,
            ref=ref,
            message_ids=list(candidate.message_ids),
            replay_request=self.replay_request,
        )
        # The script removes the entry, so that of several commands one goes on.
        if parsed_again is None:
            return ReplayAssessment(candidate=candidate, verdict=Verdict.TAKEN)
        return assessment


async def replay(
    replayer: Replayer, candidates: AsyncIterator[ReplayCandidate], *, is_dry_run: bool = False
) -> AsyncIterator[ReplayAssessment]:
    """
    Replay candidates one after the other; with `is_dry_run` only assess them.

    Raises `BuildrError` if Buildr cannot be read.
    """
    async for candidate in candidates:
        assessment = await replayer.assess(candidate)
        if not is_dry_run:
            assessment = await replayer.apply(assessment)
        yield assessment
