"""
What the tests of back-fills share: an account with a stand-in of a vendor, webhooks, and a worker's
run of what is due.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from msgspec.structs import replace

from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import Settings
from service.sources import SOURCES, WebhookRequest
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.messages import Message, message_id
from tests.doubles.vendors.serving import StandIn
from workers.backfill import LOGS
from workers.backfill.assessment import Assessor, Verdict
from workers.backfill.run import Backfiller, BackfillReport
from workers.backfill.types import CallLog
from workers.buildr import BuildrClient, ReadyToken
from workers.jobs.deliver import deliver
from workers.process.assembly import build_worker

NOW = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
SINCE = datetime(2026, 11, 27, 0, 0, tzinfo=UTC)


def at(clock_time: str) -> datetime:
    """A time of the day that is read."""
    hour, _, minute = clock_time.partition(":")
    return SINCE + timedelta(hours=int(hour), minutes=int(minute))


@dataclass
class Bench:
    """One account, one vendor's stand-in; `pauses` are how long a run has waited, in seconds."""

    slug: str
    standin: StandIn
    settings: Settings
    store: Store
    now: datetime = NOW
    pauses: list[float] = field(default_factory=list)

    def clock(self) -> datetime:
        """The present."""
        return self.now

    async def pause(self, seconds: float) -> None:
        """Note how long a run would wait, and go on at once."""
        self.pauses.append(seconds)

    def log(self) -> CallLog:
        """The vendor's call log."""
        return LOGS[self.slug].connect(self.settings, pause=self.pause)

    async def backfill(
        self,
        *,
        since: datetime = SINCE,
        until: datetime = NOW,
        done_until: datetime | None = None,
        is_dry_run: bool = False,
        compares_all: bool = False,
    ) -> BackfillReport:
        """One run."""
        call_log = self.log()
        assessor = Assessor(
            slug=self.slug,
            log=call_log,
            store=self.store,
            settings=self.settings,
            clock=self.clock,
            compares_all=compares_all,
        )
        backfiller = Backfiller(
            assessor=assessor, clock=self.clock, pause=self.pause, is_dry_run=is_dry_run
        )
        try:
            return await backfiller.run(since, until, done_until=done_until)
        finally:
            await call_log.close()

    async def webhook(self, body: bytes, content_type: str, *, query: str = "") -> str:
        """Accept a webhook, and have its call run; gives the call's name."""
        url = f"https://hooks.example.test/webhooks/{self.slug}{query}"
        request = WebhookRequest(
            method="POST", url=url, headers={"content-type": (content_type,)}, body=body
        )
        keys = SOURCES[self.slug].keys(request)
        inbox = Inbox(
            self.store,
            InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=1000, accept_timeout_s=5),
        )
        await inbox.accept(
            Message(
                message_id=message_id(self.slug, keys.message_key),
                source=self.slug,
                source_call_id=keys.source_call_id,
                received_at=self.now,
                request=request,
            )
        )
        await inbox.close()
        ref = f"{self.slug}:{keys.source_call_id}"
        await self.run(ref)
        return ref

    async def form(self, fields: Mapping[str, str], *, query: str = "") -> str:
        """Accept a webhook that is a form."""
        body = urlencode(fields).encode()
        return await self.webhook(body, "application/x-www-form-urlencoded", query=query)

    async def run(self, ref: str) -> DeliveryRecord:
        """A worker's run of one call, by the bench's clock."""
        async with BuildrClient(self.settings, tokens=ReadyToken("token-of-the-tests")) as client:
            runner = build_worker(self.settings, self.store, client).runner
            end_requests = replace(runner.planner.end_requests, clock=self.clock)
            planner = replace(runner.planner, clock=self.clock, end_requests=end_requests)
            runner = replace(runner, clock=self.clock, planner=planner)
            await deliver({"runner": runner, "job_id": ref}, "default", ref)
        return await self.record(ref)

    async def record(self, ref: str) -> DeliveryRecord:
        """What is stored of a call's delivery."""
        return (await self.store.calls.load(ref)).stored.record

    async def result(self, ref: str) -> str | None:
        """How a call ended, by a worker's run."""
        return (await self.run(ref)).result


def verdicts(report: BackfillReport) -> dict[str, str]:
    """The verdict of each listed call, by the call's name."""
    return {call.ref.partition(":")[2]: call.verdict.value for call in report.calls}


def counts(report: BackfillReport) -> dict[Verdict, int]:
    """How many calls there are of each verdict."""
    return dict(report.counts)
