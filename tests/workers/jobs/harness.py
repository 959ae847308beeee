"""
A worker over a real Redis and a simulated Buildr, with time that a test advances.
"""

import json
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import count
from urllib.parse import urlencode

import httpx

from service.phone_numbers import Number
from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import Settings
from service.sources import SOURCES, WebhookRequest
from service.store.calls import StoredCall
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.expectations import Expectation
from service.store.messages import Message, message_id
from tests.doubles.clock import Skew
from workers.buildr import BuildrClient, ReadyToken
from workers.clock import SharedClock
from workers.jobs.deliver import deliver
from workers.process.assembly import WorkerComponents, build_worker

LIMITS = InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=1000, accept_timeout_s=5)
NAMES = (("Connected", "786"), ("Left Voicemail", "787"), ("No Answer", "789"), ("Busy", "790"))
CUSTOMER = "+15005550001"
REF = "twilio:CA1"
SECOND = "twilio:CA2"


class Buildr:
    """Buildr as far as the job sees it: what it holds, and faults to come."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, str]] = {}
        self.faults: list[str] = []
        self.broken: set[str] = set()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.late: list[tuple[str, dict[str, str]]] = []
        self.loses: set[str] = set()
        self.shows_filing = False
        self.shows_outcome = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        call_id = request.url.path.rpartition("/")[2]
        fields: dict[str, str] = json.loads(request.content)["call"]
        fault = self._next_fault(call_id)
        held = self.held.setdefault(call_id, {})
        if fault in ("lost answer", ""):
            held.update({name: fields[name] for name in fields if name not in self.loses})
        self.requests.append((call_id, fields))
        if fault == "late":
            self.late.append((call_id, fields))
        if fault in ("lost answer", "timeout", "late"):
            raise httpx.ReadTimeout("no answer", request=request)
        if fault not in ("", "not taken"):
            return _error(int(fault))
        return httpx.Response(200, json={"call": self.shown(call_id)})

    def carry_out_late(self) -> None:
        """Do what the requests have asked whose connections were cut."""
        for call_id, fields in self.late:
            self.held[call_id].update(fields)
        self.late.clear()

    def shown(self, call_id: str) -> dict[str, object]:
        """What an answer shows of a call; with `shows_filing` contact, company and project too."""
        stored = self.held[call_id]
        outcome = None
        if "call_outcome_id" in stored:
            outcome = {"id": stored["call_outcome_id"], "name": "?"}
        body: dict[str, object] = {
            "id": call_id,
            "notes": stored.get("notes"),
            "call_outcome": outcome,
        }
        if not self.shows_outcome:
            del body["call_outcome"]
        if self.shows_filing:
            for name in ("contact", "company", "project"):
                record_id = stored.get(f"{name}_id")
                body[name] = record_id and {"id": record_id.lstrip("0")}
        return body

    def _next_fault(self, call_id: str) -> str:
        if call_id in self.broken:
            return "500"
        if self.faults:
            return self.faults.pop(0)
        return ""


def _error(status_code: int) -> httpx.Response:
    headers = {}
    if status_code == HTTPStatus.TOO_MANY_REQUESTS:
        headers["X-Rate-Limited-For"] = "0"
    return httpx.Response(status_code, headers=headers, json={"error": "fault of the test"})


class WorkerHarness:
    """A worker's parts over a store, with time in the test's hands."""

    def __init__(self, store: Store, options: Settings) -> None:
        self.store = store
        self.buildr = Buildr()
        self.clock = SharedClock()
        client = BuildrClient(
            options,
            tokens=ReadyToken("token-of-the-tests"),
            transport=httpx.MockTransport(self.buildr),
        )
        self.parts: WorkerComponents = build_worker(options, store, client, clock=self.clock)
        self.inbox = Inbox(store, LIMITS)
        self.numbers = count()

    async def receive(self, form: dict[str, str], *, query: str = "buildr_call_id=110") -> None:
        """Accept one Twilio webhook."""
        request = WebhookRequest(
            method="POST",
            url=f"https://hooks.example.test/webhooks/twilio?{query}",
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
                received_at=datetime.now(UTC),
                request=request,
            )
        )

    async def run(self, ref: str = "twilio:CA1") -> None:
        """Run the call's job as arq would."""
        await deliver({"runner": self.parts.runner, "job_id": f"default|{ref}"}, "default", ref)

    async def stored(self, ref: str = "twilio:CA1") -> StoredCall:
        """The call as it is stored."""
        return (await self.store.calls.load(ref)).stored

    def advance(self, seconds: float) -> None:
        """Let time pass, for the worker and for Redis."""
        self.clock.offset += timedelta(seconds=seconds)
        if isinstance(self.store.scripts.skew_ms, Skew):
            self.store.scripts.skew_ms.ms += int(seconds * 1000)

    async def drain(self, ref: str = "twilio:CA1") -> None:
        """Let time pass until the call is not due any more."""
        for _ in range(1000):
            await self.store.permits.pump()
            due = await self.store.pool.zscore("bc:default:due", ref)
            if due is not None:
                self.advance(max(0.0, due / 1000 - self.clock().timestamp()) + 0.001)
                await self.run(ref)
            elif (await self.stored(ref)).record.state is DeliveryState.WAITING:
                self.advance(10)
            else:
                return
        raise AssertionError("the call never came to rest")


def form(status: str, sequence: int, **more: str) -> dict[str, str]:
    """One status callback."""
    return {
        "CallSid": "CA1",
        "CallStatus": status,
        "Direction": "outbound-api",
        "SequenceNumber": str(sequence),
        "Timestamp": f"Mon, 02 Nov 2026 10:00:0{sequence} +0000",
        "From": "+15005550006",
        "To": "+15005550001",
        **more,
    }


CALL = [
    form("initiated", 0),
    form("ringing", 1),
    form("in-progress", 2),
    form("completed", 3, CallDuration="9"),
]


def expectation(
    buildr_call_id: str = "110",
    number: str = CUSTOMER,
    *,
    project_id: str | None = None,
    company_id: str | None = None,
) -> Expectation:
    """A Buildr call that is expected with the customer."""
    return Expectation(
        buildr_call_id=buildr_call_id,
        numbers=(Number(number),),
        project_id=project_id,
        company_id=company_id,
    )


async def receive(
    world: WorkerHarness,
    sid: str = "CA1",
    *,
    status: str = "busy",
    sequence: int = 4,
    query: str = "",
    **more: str,
) -> None:
    """A final callback that names no Buildr call, of a call that begins now."""
    stamp = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
    await world.receive(
        {**form(status, sequence), "CallSid": sid, "Timestamp": stamp, **more}, query=query
    )


async def state(world: WorkerHarness, ref: str = REF) -> tuple[DeliveryState, str | None]:
    """The state of a call's delivery, and its Buildr call."""
    record = (await world.stored(ref)).record
    return record.state, record.buildr_call_id
