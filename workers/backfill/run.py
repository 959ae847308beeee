"""
One back-fill, or one comparison: the log's calls are read, assessed, and, unless nothing is to be
written, fed in.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from service.store.backfill import Checkpoint, WriteResult
from service.store.delivery_state import ReplayRequest
from service.store.rate_limit.lanes import Lane
from workers.backfill.api import Pause
from workers.backfill.assessment import FEEDS, Assessor, CallAssessment, Verdict
from workers.backfill.reader import LogFault, read_calls
from workers.subscriptions.errors import UpkeepError

# More calls than this are counted and not listed.
MOST_LISTED: Final = 1000
# A call that changes so often gets its webhooks.
MOST_CHANGES: Final = 5
FULL_PAUSE_S: Final = 0.5
# Workers read hundreds of messages in a second.
LONGEST_FULL_S: Final = 60.0
NOBODY_READS: Final = (
    "too many messages wait to be read, and none was within a minute: is a worker running?"
)
LISTED: Final = FEEDS | {Verdict.UNTOLD}


def is_listed(assessment: CallAssessment) -> bool:
    """Whether an operator wants to see a call, and not only how many there are."""
    return assessment.verdict in LISTED


class BackfillReport(Struct, kw_only=True):
    """
    What a back-fill found between `since` and `until` (UTC).

    `calls` are those that are not simply known, at most `MOST_LISTED`. `entries` is how many
    entries of the log were read, `done_until` how far it came, `fault` why no further.
    """

    slug: str
    since: datetime
    until: datetime
    done_until: datetime
    counts: Counter[Verdict] = field(default_factory=Counter)
    calls: list[CallAssessment] = field(default_factory=list)
    unlisted: int = 0
    entries: int = 0
    fault: str | None = None

    @property
    def total(self) -> int:
        """How many calls of the log were looked at."""
        return self.counts.total()

    @property
    def fed(self) -> int:
        """How many calls were fed in, or would be."""
        return sum(count for verdict, count in self.counts.items() if verdict in FEEDS)

    def add(self, assessment: CallAssessment, *, is_listed: bool) -> None:
        """One more call."""
        self.counts[assessment.verdict] += 1
        if not is_listed:
            return
        if len(self.calls) >= MOST_LISTED:
            self.unlisted += 1
            return
        # Without what was only needed to write it.
        self.calls.append(replace(assessment, messages=(), loaded=None))


class Backfiller(Struct, frozen=True, kw_only=True):
    """
    Back-fills one source; with `is_dry_run` it only assesses.

    `lists` says which assessments are kept for the report, `on_progress` is called after each call
    and each span of time.
    """

    assessor: Assessor
    clock: Callable[[], datetime]
    pause: Pause
    is_dry_run: bool = False
    lists: Callable[[CallAssessment], bool] = is_listed
    on_progress: Callable[[BackfillReport], None] | None = None

    async def run(
        self, since: datetime, until: datetime, *, done_until: datetime | None = None
    ) -> BackfillReport:
        """
        All calls that began in a span of time (UTC), or those of them after `done_until`.

        What goes wrong at the vendor is the report's `fault`. Raises redis-py's errors.
        """
        slug = self.assessor.slug
        start = done_until or since
        report = BackfillReport(slug=slug, since=since, until=until, done_until=start)
        now = self.clock()

        def on_page(count: int) -> None:
            report.entries += count
            self._show(report)

        try:
            async for batch in read_calls(
                self.assessor.log, start, until, now=now, on_page=on_page
            ):
                for call in batch.calls:
                    assessment = await self.assessor.assess(call)
                    assessment = await self._feed(assessment)
                    report.add(assessment, is_listed=self.lists(assessment))
                    self._show(report)
                report.done_until = batch.done_until
                self._show(report)
                await self._save(report)
        except UpkeepError as err:
            report.fault = str(err)
        else:
            if not self.is_dry_run:
                await self.assessor.store.backfill.save_checkpoint(slug, None)
        return report

    def _show(self, report: BackfillReport) -> None:
        if self.on_progress is not None:
            self.on_progress(report)

    async def _feed(self, assessment: CallAssessment) -> CallAssessment:
        if self.is_dry_run:
            return assessment
        request = ReplayRequest(lane=Lane.BACKFILL, at=self.clock())
        return await feed(self.assessor, assessment, replay_request=request, pause=self.pause)

    async def _save(self, report: BackfillReport) -> None:
        if self.is_dry_run:
            return
        checkpoint = Checkpoint(
            since=report.since, until=report.until, done_until=report.done_until
        )
        await self.assessor.store.backfill.save_checkpoint(report.slug, checkpoint)


async def feed(
    assessor: Assessor,
    assessment: CallAssessment,
    *,
    replay_request: ReplayRequest | None,
    pause: Pause,
) -> CallAssessment:
    """
    Write the messages of a call, if its verdict says so; what changes here meanwhile is assessed
    anew.

    Raises `LogFault` if nobody reads what was written before.
    """
    changes = 0
    waited_s = 0.0
    while assessment.verdict in FEEDS and assessment.loaded is not None:
        written = await assessor.store.backfill.write(
            assessment.ref,
            assessment.loaded,
            assessment.messages,
            replay_request=replay_request,
        )
        if written is WriteResult.WRITTEN:
            return assessment
        if written is WriteResult.KNOWN:
            return replace(assessment, verdict=Verdict.FILLED)
        if written is WriteResult.FULL:
            if waited_s >= LONGEST_FULL_S:
                raise LogFault(NOBODY_READS)
            await pause(FULL_PAUSE_S)
            waited_s += FULL_PAUSE_S
            continue
        changes += 1
        if changes >= MOST_CHANGES:
            return replace(assessment, verdict=Verdict.IN_PROGRESS)
        assessment = await assessor.again(assessment)
    return assessment
