"""
What the tests of commands share: a runner whose environment names the test's Redis, and calls to
look at.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner, Result

from service.clock import utc_now
from service.errors import FailureCause
from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    to_json,
)
from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import Settings
from service.sources import SOURCES, WebhookRequest
from service.store.call_update import CallUpdate
from service.store.connection import Store, open_store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState, ReplayRequest
from service.store.messages import Message, message_id
from service.store.outcomes import StoredOutcomes
from tests.conftest import ADMIN_TOKEN, STANDARD_SECRET, TWILIO_TOKEN
from tests.doubles.threads import in_thread
from workers.buildr import BuildrClient, ReadyToken
from workers.cli.main import cli
from workers.jobs.deliver import deliver
from workers.process.assembly import build_worker

Run = Callable[..., Result]
Invoke = Callable[..., Result]
Seed = Callable[..., None]


@pytest.fixture
def invoke(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run a command in an empty folder against the test's Redis, however it ends."""
    monkeypatch.chdir(tmp_path)
    environment = {
        "REDIS_URL": redis_url,
        "TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
        "STANDARD_SECRET": STANDARD_SECRET,
        "ADMIN_TOKEN": ADMIN_TOKEN,
    }

    def invoke_cli(*arguments: str, **more: str) -> Result:
        return in_thread(lambda: CliRunner().invoke(cli, list(arguments), env=environment | more))

    return invoke_cli


@pytest.fixture
def run(invoke: Invoke) -> Run:
    """The same as an operator would, who knows how it is to end."""

    def run_cli(*arguments: str, code: int = 0, **more: str) -> Result:
        result = invoke(*arguments, **more)
        assert code == result.exit_code, result.output + str(result.exception)
        return result

    return run_cli


@pytest.fixture
def seed(redis_url: str, make_settings: Callable[..., Settings]) -> Seed:
    """Accept one Twilio webhook and let a worker look at its call."""
    options = make_settings(
        REDIS_URL=redis_url, BUILDR_API_URL="http://127.0.0.1:9", BUILDR_BUDGETS="1000/1s"
    )

    async def store_message(form: dict[str, str], query: str, is_unreadable: bool) -> None:
        async with open_store(options, role="cli") as store:
            await store.outcomes.save(
                StoredOutcomes(
                    names=(("Connected", "786"), ("Busy", "790")), read_at=datetime.now(UTC)
                )
            )
            request = WebhookRequest(
                method="POST",
                url=f"https://hooks.example.test/webhooks/twilio?{query}",
                headers={"content-type": ("application/x-www-form-urlencoded",)},
                body=urlencode(form).encode(),
            )
            inbox = Inbox(
                store,
                InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=1000, accept_timeout_s=5),
            )
            if is_unreadable:
                message = Message(
                    message_id="mbad",
                    source="twilio",
                    source_call_id=None,
                    received_at=datetime.now(UTC),
                    request=request,
                )
                await inbox.keep_failed(
                    message, cause=FailureCause.MALFORMED_PAYLOAD, detail="told to"
                )
            else:
                keys = SOURCES["twilio"].keys(request)
                await inbox.accept(
                    Message(
                        message_id=message_id("twilio", keys.message_key),
                        source="twilio",
                        source_call_id=keys.source_call_id,
                        received_at=datetime.now(UTC),
                        request=request,
                    )
                )
                await _run_job(store, options, f"twilio:{keys.source_call_id}")
            await inbox.close()

    def seed_one(form: dict[str, str], *, query: str = "", is_unreadable: bool = False) -> None:
        in_thread(lambda: asyncio.run(store_message(form, query, is_unreadable)))

    return seed_one


@pytest.fixture
def run_job(redis_url: str, make_settings: Callable[..., Settings]) -> Callable[[str], None]:
    """Let a worker look at a call once, with a Buildr that is away; it is due no more."""
    options = make_settings(
        REDIS_URL=redis_url, BUILDR_API_URL="http://127.0.0.1:9", BUILDR_BUDGETS="1000/1s"
    )

    async def run_once(ref: str) -> None:
        async with open_store(options, role="cli") as store:
            await _run_job(store, options, ref)
            await store.redis.zrem(store.keys.named("due"), ref)

    return lambda ref: in_thread(lambda: asyncio.run(run_once(ref)))


async def _run_job(store: Store, options: Settings, ref: str) -> None:
    async with BuildrClient(options, tokens=ReadyToken("token-of-the-tests")) as client:
        await deliver(
            {"runner": build_worker(options, store, client).runner, "job_id": ref}, "default", ref
        )


def ended(call: str, status: str = "busy") -> dict[str, str]:
    """The final callback of an outbound call."""
    return {
        "CallSid": call,
        "CallStatus": status,
        "Direction": "outbound-api",
        "From": "+15005550006",
        "To": "+15005550001",
        "Timestamp": "Mon, 02 Nov 2026 10:00:00 +0000",
        "CallDuration": "9",
    }


Keep = Callable[..., str]


ReplayRequestOf = Callable[[str], ReplayRequest | None]


@pytest.fixture
def environment(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a command reads, in an empty folder; Buildr is away."""
    monkeypatch.chdir(tmp_path)
    return {
        "REDIS_URL": redis_url,
        "BUILDR_API_URL": "http://127.0.0.1:9",
        "BUILDR_ACCESS_TOKEN": "sandbox-token",
        "BUILDR_BUDGETS": "1000/1s",
    }


@pytest.fixture
def keep(redis_url: str, make_settings: Callable[..., Settings]) -> Keep:
    """
    Keep a call that was busy, of which Buildr has another outcome from us: as if the rules had been
    changed since.
    """

    async def write(number: int, state: DeliveryState, written: dict[str, str]) -> str:
        ref = f"twilio:CA{number}"
        call_id = str(100 + number)
        event = CallEvent(
            source="twilio",
            message_id="m1",
            source_call_id=f"CA{number}",
            leg_id=f"CA{number}",
            event_type=EventType.ENDED,
            hangup_cause=HangupCause.BUSY,
            direction=Direction.OUTBOUND,
            buildr_call_id=call_id,
            agent=f"agent {number}",
        )
        record = DeliveryRecord(
            ref=ref,
            state=state,
            result="busy",
            last_received_at=utc_now(),
            buildr_call_id=call_id,
            written=written,
            written_to=call_id if written else None,
            written_at=datetime(2026, 11, 2, tzinfo=UTC) if written else None,
        )
        async with open_store(make_settings(REDIS_URL=redis_url), role="cli") as store:
            names = (("Connected", "786"), ("Busy", "790"), ("No Answer", "789"))
            await store.outcomes.save(StoredOutcomes(names=names, read_at=utc_now()))
            assert await store.calls.commit(
                CallUpdate(record=record, version=0, events={"m1": to_json((event,))})
            )
        return ref

    def kept(
        number: int,
        *,
        state: DeliveryState = DeliveryState.DELIVERED,
        outcome_id: str | None = "786",
    ) -> str:
        return asyncio.run(
            write(number, state, {} if outcome_id is None else {"call_outcome_id": outcome_id})
        )

    return kept


@pytest.fixture
def replay_request_of(redis_url: str, make_settings: Callable[..., Settings]) -> ReplayRequestOf:
    """The replay request that is stored for a call."""

    async def read(ref: str) -> ReplayRequest | None:
        async with open_store(make_settings(REDIS_URL=redis_url), role="cli") as store:
            return (await store.calls.load(ref)).stored.replay_request

    return lambda ref: asyncio.run(read(ref))
