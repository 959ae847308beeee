"""
Receiver, worker and a Buildr in one process, over a real Redis, with time in the test's hands.

The Buildr is the sandbox, so that requests and answers have the published form.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPMethod
from typing import Final

import httpx

from service.events import CallEvent
from service.receiver.app import create_app
from service.settings import Installation
from service.sources import SOURCES, WebhookRequest
from service.store.calls import StoredCall
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.failed import FailedFilter
from service.store.outcomes import StoredOutcomes
from tests.conftest import ADMIN_TOKEN, STANDARD_SECRET
from tests.doubles.clock import Skew
from tests.sources.standard.contract import sign
from workers.buildr import BuildrClient, ReadyToken
from workers.clock import SharedClock
from workers.jobs.deliver import deliver
from workers.jobs.observer import JobObserver
from workers.process.assembly import build_worker
from workers.replay.assessment import ReplayContext
from workers.replay.candidates import failed_candidates
from workers.replay.failed_entries import select_failed
from workers.replay.replay import Replayer, replay
from workers.replay.verdicts import WRITES
from workers.sandbox import SandboxConfig, create_sandbox
from workers.sandbox.records import OUTCOMES

URL: Final = "https://hooks.example.test/webhooks/standard"
REF: Final = "standard:call-1"
ANOTHER_SECRET: Final = "whsec_YW5vdGhlci1zdGFuZGFyZC1zZWNyZXQ="
# The call is made while the tests run: an expected call is only matched for some hours.
START: Final = datetime.now(UTC)
Message = Mapping[str, object]


def message(event_type: str, second: int, **fields: object) -> Message:
    """The body of a webhook about call `call-1`, `second` seconds after the call's start."""
    return {
        "version": "1",
        "type": f"call.{event_type}",
        "call_id": "call-1",
        "occurred_at": f"{START + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}",
        "direction": "outbound",
        "from": "+15005550006",
        "to": "+15005550001",
        "party": "customer",
        **fields,
    }


RINGING: Final = message("ringing", 0)
ANSWERED: Final = message("answered", 9)
ENDED: Final = message("ended", 46, hangup_cause="completed", duration_s=37)


def webhook(body: Message, *, secret: str = STANDARD_SECRET) -> WebhookRequest:
    """A webhook as the telephony system sends it, signed now."""
    request = WebhookRequest(
        method=HTTPMethod.POST,
        url=URL,
        headers={
            "content-type": ("application/json",),
            "webhook-id": (f"{body['call_id']}-{body['type']}-{body['occurred_at']}",),
        },
        body=json.dumps(body).encode(),
    )
    return sign(request, secret, datetime.now(UTC))


def read_events(*bodies: Message) -> list[CallEvent]:
    """The events that the worker reads from webhooks."""
    source = SOURCES["standard"]
    return [event for body in bodies for event in source.read(webhook(body), "message-1")]


class System:
    """What a test does with the system: send webhooks, run the worker, read Buildr."""

    def __init__(
        self,
        store: Store,
        installation: Installation,
        receiver: httpx.AsyncClient,
        buildr: httpx.ASGITransport,
    ) -> None:
        self.store: Final = store
        self.settings: Final = installation.default
        self.clock: Final = SharedClock()
        self._receiver: Final = receiver
        self._buildr: Final = httpx.AsyncClient(transport=buildr, base_url="http://sandbox.test")
        self.observer: Final = JobObserver()
        self.client: Final = BuildrClient(
            self.settings,
            tokens=ReadyToken("sandbox-token"),
            transport=buildr,
            on_request=self.observer.request,
        )
        self._worker: Final = build_worker(
            self.settings, store, self.client, clock=self.clock, observer=self.observer
        )

    async def receive(self, body: Message, *, secret: str = STANDARD_SECRET) -> httpx.Response:
        """Send one signed webhook to the receiver."""
        request = webhook(body, secret=secret)
        headers = [(name, value) for name, values in request.headers.items() for value in values]
        return await self._receiver.post(
            "/webhooks/standard", content=request.body, headers=headers
        )

    async def receive_call(self, **fields: object) -> None:
        """Send all webhooks of a call that is answered; `fields` are in each."""
        for body in (RINGING, ANSWERED, ENDED):
            response = await self.receive({**body, **fields})
            assert response.is_success

    async def stored(self, ref: str = REF) -> StoredCall:
        """The call as it is stored."""
        return (await self.store.calls.load(ref)).stored

    async def run_job_once(self, ref: str = REF) -> None:
        """Run the call's job, as arq does when it is due."""
        await deliver({"runner": self._worker.runner, "job_id": ref}, "default", ref)

    async def run_worker(self, ref: str = REF) -> None:
        """Let time pass and run the call's job, until the call waits for nothing."""
        for _ in range(100):
            await self.store.permits.pump()
            due_ms = await self.store.pool.zscore("bc:default:due", ref)
            if due_ms is not None:
                self.advance(max(0.0, due_ms / 1000 - self.clock().timestamp()) + 0.001)
                await self.run_job_once(ref)
            elif (await self.stored(ref)).record.state is DeliveryState.WAITING:
                self.advance(1)
            else:
                return
        raise AssertionError("the call is never done")

    def advance(self, seconds: float) -> None:
        """Let time pass, for the worker and for Redis."""
        self.clock.offset += timedelta(seconds=seconds)
        assert isinstance(self.store.scripts.skew_ms, Skew)
        self.store.scripts.skew_ms.ms += int(seconds * 1000)

    async def let_buildr_fail(self, **fault: object) -> None:
        """Make Buildr answer the next request with a fault."""
        response = await self._buildr.post("/_sandbox/faults", json=fault)
        assert response.is_success

    async def expect_call(self, **registration: object) -> None:
        """Register a call that is about to be made, as Buildr's side does over HTTP."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        response = await self._receiver.post("/expected-calls", json=registration, headers=headers)
        assert response.is_success

    async def replay_failed_calls(self) -> None:
        """Replay all failed calls, as `buildr-calls failed replay --all` does."""
        context = await ReplayContext.of(self.settings, self.store)
        entries = await select_failed(self.store, FailedFilter())
        candidates = failed_candidates(self.store, entries, context.rules, clock=self.clock)
        replayer = Replayer(store=self.store, context=context, clock=self.clock)
        assessments = [assessment async for assessment in replay(replayer, candidates)]
        assert all(assessment.verdict in WRITES for assessment in assessments)

    async def patches(self) -> list[tuple[object, ...]]:
        """The PATCHes that Buildr received: the call's path, the outcome, the answer's status."""
        response = await self._buildr.get("/_sandbox/requests")
        return [
            (entry["path"].rpartition("/")[2], _outcome_name(entry["body"]), entry["status"])
            for entry in response.json()["requests"]
            if entry["method"] == "PATCH"
        ]

    async def outcome_in_buildr(self, buildr_call_id: str) -> str | None:
        """The name of the outcome that Buildr holds of a call."""
        response = await self._buildr.get(f"/_sandbox/calls/{buildr_call_id}")
        outcome = response.json()["call"]["call_outcome"]
        if outcome is None:
            return None
        return str(outcome["name"])


def _outcome_name(body: Mapping[str, Mapping[str, str]]) -> str | None:
    return OUTCOMES.get(body["call"].get("call_outcome_id", ""))


@asynccontextmanager
async def start_system(store: Store, installation: Installation) -> AsyncIterator[System]:
    """Start receiver, worker and Buildr; the worker has read the account's outcomes already."""
    names = tuple((name, outcome_id) for outcome_id, name in OUTCOMES.items())
    await store.outcomes.save(StoredOutcomes(names=names, read_at=datetime.now(UTC)))
    receiver = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(installation, store=store)),
        base_url="https://hooks.example.test",
    )
    buildr = httpx.ASGITransport(create_sandbox(SandboxConfig(limit_mode="off")))
    system = System(store, installation, receiver, buildr)
    yield system
    await system.client.close()
