"""
A worker over restored records: time in the test's hands, and a Buildr that holds what it was sent.

The jobs are run as arq would run them: from the queue that lies in Redis, with arq's own keys taken
away afterwards.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from arq.jobs import Job

from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import Settings, load_installation
from service.sources import SOURCES, WebhookRequest
from service.store.call_search import CallFilter
from service.store.calls import StoredCall
from service.store.connection import Store, open_store
from service.store.messages import Message, message_id
from tests.service.store.snapshot import FOLDER, pass_time, restore
from workers.buildr import BuildrClient, ReadyToken
from workers.clock import SharedClock
from workers.jobs.deliver import deliver
from workers.process.assembly import WorkerComponents, build_worker
from workers.process.timing import in_progress_s

# The call outcomes of the account, as Buildr names them.
OUTCOMES: Final = (
    ("Connected", "786"),
    ("Left Voicemail", "787"),
    ("Voicemail Received", "788"),
    ("No Answer", "789"),
    ("Busy", "790"),
    ("Missed Inbound", "791"),
)
WORKER_ID: Final = "host-new:00000001"
MOST_ROUNDS: Final = 2000
LONGEST_STEP_S: Final = 1.0

Fields = dict[str, str]


@dataclass
class Buildr:
    """What Buildr holds, by call id; `faults` are the next answers about a call."""

    calls: dict[str, Fields] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    requests: list[tuple[str, Fields]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one PATCH."""
        call_id = request.url.path.rpartition("/")[2]
        fields: Fields = json.loads(request.content)["call"]
        self.requests.append((call_id, fields))
        fault = self._next_fault(call_id)
        if fault in ("", "lost answer"):
            self.calls.setdefault(call_id, {}).update(fields)
        if fault in ("timeout", "lost answer"):
            raise httpx.ReadTimeout("no answer", request=request)
        if fault:
            status, _, wait_s = fault.partition(" ")
            headers = {}
            if wait_s:
                headers["X-Rate-Limited-For"] = wait_s
            return httpx.Response(int(status), headers=headers, json={"error": "as configured"})
        return httpx.Response(200, json={"call": self._shown(call_id)})

    def _next_fault(self, call_id: str) -> str:
        faults = self.faults.get(call_id, [])
        return faults.pop(0) if faults else ""

    def _shown(self, call_id: str) -> dict[str, object]:
        fields = self.calls.get(call_id, {})
        outcome = None
        if "call_outcome_id" in fields:
            outcome_id = fields["call_outcome_id"]
            outcome = {"id": outcome_id, "name": self.names.get(outcome_id, "?")}
        return {"id": call_id, "notes": fields.get("notes"), "call_outcome": outcome}

    def written_to(self, call_id: str) -> list[Fields]:
        """The updates of one call that changed something, in order."""
        return [fields for name, fields in self.requests if name == call_id and fields]


@dataclass(slots=True)
class StillClock(SharedClock):
    """A clock that only moves when it is set, for the worker and for the scripts."""

    moment: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """The present in UTC."""
        return self.moment

    def skew_ms(self) -> int:
        """How far the present is ahead of the clock of Redis, in milliseconds."""
        # Rounded up: for a script the present must not lie before the worker's.
        return (self.moment - datetime.now(UTC)) // timedelta(milliseconds=1) + 1


class RestoredWorker:
    """The parts of a worker of one account whose present is chosen by the test."""

    def __init__(self, store: Store, clock: StillClock, settings: Settings, buildr: Buildr) -> None:
        self.store = store
        self.clock = clock
        self.buildr = buildr
        self.settings = settings
        self.account = settings.account
        transport = httpx.MockTransport(buildr)
        client = BuildrClient(
            settings, tokens=ReadyToken("token-of-the-tests"), transport=transport
        )
        self.parts: WorkerComponents = build_worker(
            settings, store, client, clock=clock, worker_id=WORKER_ID
        )
        self.inbox = Inbox(store, InboxLimits.of(settings))

    async def receive(self, source: str, incoming: WebhookRequest) -> bool:
        """Accept one genuine message; False if it was kept before."""
        keys = SOURCES[source].keys(incoming)
        acceptance = await self.inbox.accept(
            Message(
                message_id=message_id(source, keys.message_key),
                source=source,
                source_call_id=keys.source_call_id,
                received_at=self.clock(),
                request=incoming,
            )
        )
        return bool(acceptance)

    async def run(self, ref: str) -> None:
        """Run a call's job, as arq would."""
        job_id = f"{self.account}|{ref}"
        ctx = {"runner": self.parts.runner, "job_id": job_id}
        await deliver(ctx, self.account, ref)
        await self.store.schedule.rearm(ref, worker_id=self.parts.runner.worker_id)

    async def queued(self) -> list[tuple[str, tuple[object, ...], datetime]]:
        """The jobs of arq's queue as arq reads them: function, arguments, and when each is due."""
        queue = self.store.keys.queue
        pool = self.store.pool
        jobs = []
        for job_id, score in await pool.zrange(queue, 0, -1, withscores=True):
            job = Job(job_id.decode(), pool, _queue_name=queue, _deserializer=json.loads)
            info = await job.info()
            assert info is not None
            due_at = datetime.fromtimestamp(score / 1000, UTC)
            jobs.append((info.function, tuple(info.args), due_at))
        return jobs

    async def advance(self, seconds: float) -> None:
        """Let time pass, for the worker, for the scripts and for what expires."""
        self.clock.moment += timedelta(seconds=seconds)
        await pass_time(self.store.redis, int(seconds * 1000))

    async def stored(self, ref: str) -> StoredCall:
        """A call as it is kept now."""
        return (await self.store.calls.load(ref)).stored

    async def state(self, ref: str) -> str:
        """A call's state now."""
        return (await self.stored(ref)).record.state.value

    async def go_on(self, ref: str) -> str:
        """Let time pass until a call wants nothing any more; returns its state."""
        for _ in range(MOST_ROUNDS):
            await self.store.permits.pump()
            due = await self.store.pool.zscore(self.store.keys.named("due"), ref)
            if due is None and not await self._is_in_lane(ref):
                return await self.state(ref)
            if due is not None and due <= self._now_ms():
                await self.run(ref)
            else:
                await self.advance(self._step_s(due))
        raise AssertionError(f"{ref} never came to rest")

    async def go_on_with_all(self) -> None:
        """Work as a worker does until no call wants anything any more."""
        await self.store.schedule.sweep(in_progress_s=in_progress_s(self.settings))
        await self.store.schedule.wake_named()
        for _ in range(MOST_ROUNDS):
            pumped = await self.store.permits.pump()
            due = await self.store.pool.zrange(self.store.keys.named("due"), 0, 0, withscores=True)
            if not due and not pumped.waiting:
                return
            ref, due_ms = due[0] if due else (b"", None)
            if due_ms is not None and due_ms <= self._now_ms():
                await self.run(ref.decode())
            else:
                await self.advance(self._step_s(None if pumped.waiting else due_ms))
        raise AssertionError("the calls never came to rest")

    def _now_ms(self) -> float:
        return self.clock().timestamp() * 1000

    def _step_s(self, due_ms: float | None) -> float:
        """How long to wait for a call's time, or for the budget if it waits in a lane."""
        if due_ms is None:
            return LONGEST_STEP_S
        return max(0.001, (due_ms - self._now_ms()) / 1000 + 0.001)

    async def _is_in_lane(self, ref: str) -> bool:
        pipe = self.store.redis.pipeline(transaction=True)
        for lane in ("own", "final", "refinement", "replay", "backfill"):
            pipe.zscore(self.store.keys.named(f"lane:{lane}"), ref)
        return any(score is not None for score in await pipe.execute())


def environment_of(redis_url: str, folder: Path, **values: str) -> dict[str, str]:
    """The settings of the workers and commands that the snapshot was made with."""
    return {
        "REDIS_URL": redis_url,
        "PUBLIC_URL": "https://hooks.example.test",
        "TWILIO_AUTH_TOKEN": "FAKE0000000000000000000000000000",
        "STANDARD_SECRET": "whsec_c3RhbmRhcmQtc2VjcmV0LW9mLXRoZS10ZXN0cw==",
        "BUILDR_ACCESS_TOKEN": "token-of-the-tests",
        "BUILDR_BUDGETS": "10/10s",
        "SETTLE_S": "0",
        "OWN_NUMBERS": "+15005550006, +15005550007",
        "PROTECT_HAND_EDITS": "true",
        "CONFIG": str(FOLDER / "buildr-calls.toml"),
        "DATA_DIR": str(folder),
        **values,
    }


def settings_of(environment: Mapping[str, str], account: str) -> Settings:
    """The settings of one account."""
    folder = Path(environment["DATA_DIR"])
    return load_installation({**environment, "ACCOUNT": account}, cwd=folder).default


@asynccontextmanager
async def restored_worker(
    environment: Mapping[str, str], account: str, content: Mapping[str, Any]
) -> AsyncIterator[RestoredWorker]:
    """A worker of one account over the whole snapshot, which an emptied Redis gets first."""
    settings = settings_of(environment, account)
    store, clock = open_at(settings, datetime.fromisoformat(content["taken_at"]))
    async with store:
        await store.pool.flushall()
        await restore(store.redis, content["keys"])
        names = {outcome_id: name for name, outcome_id in OUTCOMES}
        buildr = Buildr(calls=deepcopy(content["buildr"][account]), names=names)
        worker = RestoredWorker(store, clock, settings, buildr)
        yield worker
        await worker.inbox.close()


async def ends_of(worker: RestoredWorker) -> dict[str, dict[str, object]]:
    """What has become of each call of an account."""
    ends: dict[str, dict[str, object]] = {}
    scan = worker.store.search
    for ref in await scan.select(CallFilter()):
        record = (await worker.stored(ref)).record
        ends[ref] = {
            "state": record.state.value,
            "buildr_call_id": record.buildr_call_id,
            "outcome": record.outcome,
            "written": dict(record.written),
            "in_doubt": sorted(record.in_doubt),
        }
    return ends


def open_at(settings: Settings, present: datetime) -> tuple[Store, StillClock]:
    """A store whose scripts take a moment (UTC) for the present, and the clock that says so."""
    clock = StillClock(moment=present)
    return open_store(settings, role="cli", skew_ms=clock.skew_ms), clock


def twilio_message(form: Mapping[str, str], *, query: str = "") -> WebhookRequest:
    """One status callback of Twilio's as it is kept."""
    return WebhookRequest(
        method="POST",
        url=f"https://hooks.example.test/webhooks/twilio{query}",
        headers={"content-type": ("application/x-www-form-urlencoded",)},
        body=urlencode(form).encode(),
    )
