"""
A fleet of workers over a real Redis, a Buildr that holds to its limit in both readings, and time
that a test advances.

What runs is the service's own: jobs, scripts, pump, sweep. Only arq's polling is simulated, by
running what is due.
"""

import asyncio
import dataclasses
import json
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import httpx
from msgspec.structs import replace

from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import Budget, Settings
from service.sources import SOURCES, WebhookRequest
from service.store.calls import StoredCall
from service.store.connection import Store, open_store
from service.store.delivery_state import DeliveryState
from service.store.messages import Message, message_id
from service.store.outcomes import StoredOutcomes
from tests.doubles.clock import Skew
from workers.buildr import BuildrClient, ReadyToken
from workers.clock import SharedClock
from workers.jobs.deliver import deliver
from workers.process.assembly import WorkerComponents, build_worker
from workers.sandbox.rate_limit import Limiter

LIMITS = InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=1_000_000, accept_timeout_s=5)
NAMES = (("Connected", "786"), ("Left Voicemail", "787"), ("No Answer", "789"), ("Busy", "790"))
OUTCOMES = {"completed": "786", "no-answer": "789", "busy": "790"}
# Keys whose time must pass with the simulation's.
REQUEST_S = 8.0
AGING = ("permit:*", "worker:*", "blocked", "strikes")


class SimClock(SharedClock):
    """The workers' clock, ahead by as much as that of Redis."""

    def __init__(self, skew: Skew) -> None:
        super().__init__()
        self.skew = skew

    def __call__(self) -> datetime:
        """The simulation's present."""
        return datetime.now(UTC) + timedelta(milliseconds=self.skew.ms)


@dataclass
class Buildr:
    """
    The account: what it holds, and whether anybody asked more of it than it allows.

    `fault` decides what is answered: a status, or "" to do what is asked; `late 40` gives no answer
    and does what is asked 40 s later. With `is_held_back` requests wait until `answer` lets one go.
    """

    clock: SimClock
    budgets: tuple[Budget, ...]
    fault: str = ""
    faults: list[str] = field(default_factory=list)
    is_held_back: bool = False
    calls: dict[str, dict[str, str]] = field(default_factory=dict)
    written: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    arrivals: list[tuple[datetime, str, str]] = field(default_factory=list)
    over_limit: int = 0
    in_flight: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_in_flight: int = 0
    waiting: list["asyncio.Future[None]"] = field(default_factory=list)
    orphans: list[tuple[str, datetime]] = field(default_factory=list)
    late: list[tuple[datetime, str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limiter = Limiter(self.budgets, "both")

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Take one request."""
        call_id = request.url.path.rpartition("/")[2]
        now = self.clock()
        if self.limiter.admit(int(now.timestamp() * 1_000_000_000)) is not None:
            self.over_limit += 1
            return httpx.Response(
                429, headers={"X-Rate-Limited-For": "10"}, json={"error": "rate_limit_exceeded"}
            )
        self.in_flight[call_id] += 1
        orphans = sum(id_ == call_id and now < until for id_, until in self.orphans)
        self.most_in_flight = max(self.most_in_flight, self.in_flight[call_id] + orphans)
        fault = self.fault
        if self.faults:
            fault = self.faults.pop(0)
        self.arrivals.append((now, call_id, fault))
        fields = json.loads(request.content)["call"]
        if fault in ("", "lost answer"):
            self._apply(call_id, fields)
        if fault.startswith("late"):
            carried_out_at = now + timedelta(seconds=float(fault.split()[1]))
            self.late.append((carried_out_at, call_id, fields))
            fault = "lost answer"
        try:
            if self.is_held_back:
                await self._wait_for_answer()
        except asyncio.CancelledError:
            # Its worker has died; Buildr may still be at it.
            self.orphans.append((call_id, now + timedelta(seconds=REQUEST_S)))
            raise
        finally:
            self.in_flight[call_id] -= 1
        if fault == "lost answer":
            raise httpx.ReadTimeout("no answer", request=request)
        if fault == "429":
            return httpx.Response(429, headers={"X-Rate-Limited-For": "3"})
        if fault not in ("", "not taken"):
            return httpx.Response(int(fault), json={"error": "fault of the test"})
        return self._call(call_id)

    def carry_out_late(self) -> None:
        """Do what was asked by requests whose connections were cut, as far as it is time."""
        now = self.clock()
        for item in sorted(self.late, key=lambda item: item[0]):
            carried_out_at, call_id, fields = item
            if carried_out_at <= now:
                self.late.remove(item)
                self._apply(call_id, fields)

    async def _wait_for_answer(self) -> None:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        await gate

    def _call(self, call_id: str) -> httpx.Response:
        outcome = None
        outcome_id = self.calls.get(call_id, {}).get("call_outcome_id")
        if outcome_id is not None:
            outcome = {"id": outcome_id, "name": outcome_id}
        body = {"id": call_id, "notes": None, "call_outcome": outcome}
        return httpx.Response(200, json={"call": body})

    def _apply(self, call_id: str, fields: dict[str, str]) -> None:
        self.calls.setdefault(call_id, {}).update(fields)
        outcome_id = fields.get("call_outcome_id")
        if outcome_id is not None and self.written[call_id][-1:] != [outcome_id]:
            self.written[call_id].append(outcome_id)

    def answer(self, place: int) -> None:
        """Let one of the requests that are held back have its answer."""
        self.waiting = [gate for gate in self.waiting if not gate.done()]
        if self.waiting:
            self.waiting.pop(place % len(self.waiting)).set_result(None)

    def time_out(self) -> None:
        """Let all that are held back end as requests do that take too long."""
        for gate in self.waiting:
            if not gate.done():
                gate.set_exception(httpx.ReadTimeout("no answer"))
        self.waiting = []

    def answer_all(self) -> None:
        """Let all of them go, and hold back none any more."""
        self.is_held_back = False
        while self.waiting:
            self.answer(0)


@dataclass
class WorkerFleet:
    """Workers that share a store, and what they are doing."""

    store: Store
    skew: Skew
    buildr: Buildr
    workers: list[WorkerComponents]
    inbox: Inbox
    running: dict["asyncio.Task[None]", tuple[int, str]] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """The simulation's present."""
        return self.buildr.clock()

    async def receive(self, call: int, status: str, sequence: int, **more: str) -> None:
        """Take a Twilio webhook of a call that names its Buildr call."""
        form = {
            "CallSid": f"CA{call}",
            "CallStatus": status,
            "Direction": "outbound-api",
            "SequenceNumber": str(sequence),
            "Timestamp": f"Mon, 02 Nov 2026 10:00:{sequence:02} +0000",
            "From": "+15005550006",
            "To": "+15005550001",
            **more,
        }
        request = WebhookRequest(
            method="POST",
            url=f"https://hooks.example.test/webhooks/twilio?buildr_call_id={1000 + call}",
            headers={"content-type": ("application/x-www-form-urlencoded",)},
            body=urlencode(form).encode(),
        )
        keys = SOURCES["twilio"].keys(request)
        name = message_id("twilio", keys.message_key)
        await self.inbox.accept(
            Message(
                message_id=name,
                source="twilio",
                source_call_id=keys.source_call_id,
                received_at=self.now,
                request=request,
            )
        )

    async def pass_s(self, seconds: float) -> None:
        """
        Let time pass; what lives for a while in Redis grows older by as much, and no request lasts
        longer than its limit.
        """
        if seconds >= REQUEST_S:
            self.buildr.time_out()
            while self.running and not self.buildr.waiting:
                await asyncio.wait(self.running, timeout=0.05)
        self.skew.ms += int(seconds * 1000)
        self.buildr.carry_out_late()
        for pattern in AGING:
            async for key in self.store.redis.scan_iter(
                match=self.store.keys.named(pattern), count=1000
            ):
                left = await self.store.pool.pttl(key)
                if left > 0:
                    await self.store.pool.pexpire(key, max(1, left - int(seconds * 1000)))
        for number in range(len(self.workers)):
            await self.beat(number)

    async def beat(self, number: int) -> None:
        """Let a worker say that it lives."""
        await self.store.redis.set(
            self.store.keys.named(f"worker:{self.workers[number].runner.worker_id}"), "1", px=6000
        )

    async def due(self) -> list[str]:
        """The calls that want attention now, those that wait longest first."""
        refs = await self.store.redis.zrangebyscore(
            self.store.keys.named("due"), "-inf", self.now.timestamp() * 1000, start=0, num=100_000
        )
        return [ref.decode() for ref in refs]

    def start(self, number: int, ref: str) -> "asyncio.Task[None]":
        """Start a call's job at a worker, as arq would."""
        task = asyncio.create_task(self._job(number, ref))
        self.running[task] = (number, ref)
        task.add_done_callback(lambda done: self.running.pop(done, None))
        return task

    async def _job(self, number: int, ref: str) -> None:
        context = {"runner": self.workers[number].runner, "job_id": f"default|{ref}"}
        await deliver(context, "default", ref)
        worker_id = self.workers[number].runner.worker_id
        await self.store.schedule.rearm(ref, worker_id=worker_id)

    async def crash(self, number: int) -> None:
        """Have a worker die with all that it does; another one takes its place."""
        dead = self.workers[number]
        tasks = [task for task, (worker, _) in self.running.items() if worker == number]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.store.redis.delete(self.store.keys.named(f"worker:{dead.runner.worker_id}"))
        runner = replace(dead.runner, worker_id=f"{dead.runner.worker_id}'")
        self.workers[number] = replace(dead, runner=runner)
        await self.beat(number)

    async def turn(self, *, pause_s: float = 0.0) -> int:
        """
        Pump, sweep, and run all that is due, each call at some worker; returns how many jobs ran.
        """
        await self.store.permits.pump()
        await self.store.schedule.sweep(in_progress_s=33)
        refs = await self.due()
        await asyncio.gather(
            *(self.start(place % len(self.workers), ref) for place, ref in enumerate(refs))
        )
        if pause_s:
            await self.pass_s(pause_s)
        return len(refs)

    async def stored(self, call: int) -> StoredCall:
        """A call as it is stored."""
        return (await self.store.calls.load(f"twilio:CA{call}")).stored

    async def is_at_rest(self) -> bool:
        """Whether nothing waits and nothing is due, ever."""
        waiting = sum(
            [
                await self.store.redis.zcard(self.store.keys.named(f"lane:{lane}"))
                for lane in ("final", "refinement", "replay", "backfill")
            ]
        )
        return (
            not waiting
            and not await self.store.redis.zcard(self.store.keys.named("due"))
            and not self.running
        )

    async def idle_s(self) -> float:
        """Seconds until the next call is due, 0 if calls wait in lanes."""
        for lane in ("final", "refinement", "replay", "backfill"):
            if await self.store.redis.zcard(self.store.keys.named(f"lane:{lane}")):
                return 0.0
        first = await self.store.pool.zrange(self.store.keys.named("due"), 0, 0, withscores=True)
        if not first:
            return 0.0
        return max(0.0, float(first[0][1]) / 1000 - self.now.timestamp())

    async def come_to_rest(self, *, step_s: float = 1.0, most: int = 2000) -> None:
        """Let time pass until all is done."""
        for _ in range(most):
            pause_s = max(step_s, await self.idle_s())
            if await self.due():
                pause_s = 0.0
            ran = await self.turn(pause_s=pause_s)
            if not ran and await self.is_at_rest():
                return
        raise AssertionError("the fleet never came to rest")


@asynccontextmanager
async def fleet_of(number: int, options: Settings) -> AsyncIterator[WorkerFleet]:
    """A fleet of so many workers over an empty store."""
    skew = Skew()
    async with open_store(options, role="cli", skew_ms=skew) as opened:
        store = opened
        await store.pool.flushall()
        store = replace(
            store,
            permits=dataclasses.replace(
                store.permits, timer=lambda: time.monotonic() + skew.ms / 1000
            ),
        )
        clock = SimClock(skew)
        await store.outcomes.save(StoredOutcomes(names=NAMES, read_at=datetime.now(UTC)))
        buildr = Buildr(clock, options.buildr_budgets)
        fleet = WorkerFleet(
            store=store, skew=skew, buildr=buildr, workers=[], inbox=Inbox(store, LIMITS)
        )

        async def sleep(seconds: float) -> None:
            fleet.skew.ms += max(0, int(seconds * 1000) + 1)

        for index in range(number):
            client = BuildrClient(
                options,
                tokens=ReadyToken("token-of-the-tests"),
                transport=httpx.MockTransport(buildr),
            )
            parts = build_worker(options, store, client, clock=clock, worker_id=f"w{index}")
            policy = replace(parts.runner.sender.failure_policy, rng=random.Random(index))
            sender = replace(parts.runner.sender, sleep=sleep, failure_policy=policy)
            fleet.workers.append(replace(parts, runner=replace(parts.runner, sender=sender)))
            await fleet.beat(index)
        try:
            yield fleet
        finally:
            buildr.answer_all()
            await asyncio.gather(*fleet.running, return_exceptions=True)
            await fleet.inbox.close()


def is_done(stored: StoredCall) -> bool:
    """Whether Buildr holds what the call makes."""
    return stored.record.state is DeliveryState.DELIVERED
