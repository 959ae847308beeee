"""
`tail`: each step once, filters, what was missed, and a Redis that goes away.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from redis.exceptions import ConnectionError as RedisConnectionError

from service.settings import Settings
from service.store.call_feed import CallVersion
from service.store.call_parties import CallParties
from service.store.connection import open_store
from service.store.delivery_record import HISTORY_LENGTH, DeliveryRecord
from service.store.delivery_state import HistoryEntry
from service.store.refused import RefusedRequests
from tests.workers.cli.conftest import Run, Seed, ended
from workers.cli import tail_follow
from workers.cli.tail_follow import Follower
from workers.cli.tail_steps import SeenSteps, Step, StepFilter

NOW = datetime(2026, 11, 2, 10, tzinfo=UTC)
CALL = "CA00000000000000000000000000000001"


def steps_of_polls(settings: Settings, between: Callable[[], None]) -> list[list[str]]:
    """What a follower reports in a poll before and in two after something has happened."""
    polls: list[list[str]] = []

    async def poll(follower: Follower) -> None:
        polls.append([])
        await follower.poll()

    async def follow() -> None:
        async with open_store(settings, role="cli") as store:
            follower = Follower(
                store=store,
                start_at=await store.time() - timedelta(minutes=1),
                on_step=lambda step: polls[-1].append(step.summary),
                on_note=lambda note: polls[-1].extend([note]),
            )
            await poll(follower)
            await asyncio.to_thread(between)
            await poll(follower)
            await poll(follower)

    asyncio.run(follow())
    return polls


def test_each_step_is_reported_once(
    redis_url: str, seed: Seed, make_settings: Callable[..., Settings]
) -> None:
    """From the message to what became of it, in the order of their times."""
    settings = make_settings(REDIS_URL=redis_url)
    seed(ended("CA0"))
    first, second, third = steps_of_polls(settings, lambda: seed(ended(CALL)))
    assert ["received", "result", "unmatched"] == first
    assert first == second
    assert [] == third


def test_more_calls_than_are_followed_are_named(
    redis_url: str,
    seed: Seed,
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both at the start and later."""
    monkeypatch.setattr(tail_follow, "FOLLOWED", 1)
    seed(ended("CA0"))
    first, second, _ = steps_of_polls(make_settings(REDIS_URL=redis_url), lambda: seed(ended(CALL)))
    assert "only the newest 1 calls of that time are shown" == first[0]
    assert "more than 1 calls had messages since the last poll: not all are shown" == second[0]


def test_old_call_that_is_done_between_two_polls_is_seen(
    *,
    redis_url: str,
    run: Run,
    seed: Seed,
    run_job: Callable[[str], None],
    make_settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is among the newest no more, and not due: what has woken it is enough."""
    seed(ended(CALL))
    monkeypatch.setattr(tail_follow, "FOLLOWED", 1)
    seed(ended("CA0"))

    def link() -> None:
        run("links", "set", "twilio", CALL, "110")
        run_job(f"twilio:{CALL}")

    _, second, third = steps_of_polls(make_settings(REDIS_URL=redis_url), link)
    assert ["matched", "will retry"] == second[-2:]
    assert [] == third


def test_it_goes_on_when_redis_comes_back(
    redis_url: str, make_settings: Callable[..., Settings]
) -> None:
    """One note that it is away, and one that it is back."""
    notes: list[str] = []
    polls: list[bool] = []
    is_back = asyncio.Event()

    class Interrupted(Follower):
        """Redis is away in the first poll."""

        async def poll(self) -> None:
            polls.append(True)
            if len(polls) == 1:
                raise RedisConnectionError("cut")
            is_back.set()

    async def follow() -> None:
        async with open_store(make_settings(REDIS_URL=redis_url), role="cli") as store:
            follower = Interrupted(
                store=store, start_at=NOW, on_step=lambda _: None, on_note=notes.append
            )
            running = asyncio.create_task(follower.run(poll_s=0))
            await asyncio.wait_for(is_back.wait(), timeout=60)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    asyncio.run(follow())
    away, back = notes
    assert away.endswith("; waiting for it")
    assert back.startswith("Redis is back after ")


def test_the_command_prints_lines_and_json_and_ends_with_ctrl_c(
    run: Run, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 0, without a traceback."""

    async def poll_once(self: Follower, *, poll_s: float = 0) -> None:
        await self.poll()
        raise KeyboardInterrupt

    monkeypatch.setattr(Follower, "run", poll_once)
    seed(ended(CALL))
    lines = run("tail", "--since", "1h", "--number", "(500) 555-0001").stdout.splitlines()
    parts = ["received", "result", "unmatched"]
    assert parts == [line.split("  ")[3].strip() for line in lines]
    assert all(f"  twilio:{CALL}  +15005550001  " in line for line in lines)
    (line,) = run("tail", "--since", "1h", "--failed", "--json").stdout.splitlines()
    assert "unmatched" == json.loads(line)["step"]
    assert "" == run("tail", "--since", "1h", "--source", "zoom").stdout
    assert "is no telephone number" in run("tail", "--number", "abc", code=2).output


def test_a_filter_takes_a_call_by_each_of_its_names() -> None:
    """Its name, its id at the source, and its id in Buildr."""
    step = Step(at=NOW, ref="twilio:CA1", summary="result", buildr_call_id="110")
    names = ["twilio:CA1", "CA1", "110", "CA2"]
    assert [True, True, True, False] == [StepFilter(call=name).holds(step) for name in names]


def record(count: int) -> DeliveryRecord:
    """A call with so many steps, of which only the last ones are kept."""
    entries = [
        HistoryEntry(at=NOW + timedelta(seconds=number), summary="will retry", detail=str(number))
        for number in range(count)
    ]
    return DeliveryRecord(
        ref="twilio:CA1",
        history=tuple(entries[-HISTORY_LENGTH:]),
        parties=CallParties(customer="+15005550001"),
    )


def test_steps_that_are_kept_no_more_are_named() -> None:
    """A call that fails for days has more steps than its record holds."""
    seen = SeenSteps(NOW)
    assert 2 == len(seen.of_record(record(2)))
    steps = seen.of_record(record(2 + 2 * HISTORY_LENGTH))
    assert "missed" == steps[0].summary
    assert HISTORY_LENGTH + 1 == len(steps)


def test_messages_that_no_worker_reads_are_named_once_and_again_when_there_are_more() -> None:
    """In the second poll: a worker that runs has read them by then."""
    seen = SeenSteps(NOW)
    details = []
    for count in (1, 1, 1, 3, 0, 2, 2):
        versions = {"zoom:7": CallVersion(version=1, unread_count=count)}
        details += [step.detail for step in seen.of_unread(versions, now=NOW)]
    assert [
        "1 message waits for a worker",
        "3 messages wait for a worker",
        "2 messages wait for a worker",
    ] == details


def test_refused_requests_are_steps_of_their_source() -> None:
    """Each kind once, with what may be wrong."""
    entry = RefusedRequests(
        first_at=NOW,
        last_at=NOW,
        count=3,
        source="twilio",
        path="/webhooks/twilio",
        reason="the signature does not fit",
        status_code=401,
        network="10.0.0.0/24",
        hint="look at PUBLIC_URL",
    )
    seen = SeenSteps(NOW)
    early = replace(entry, last_at=NOW - timedelta(hours=1))
    (step,) = seen.of_refused([entry, early])
    detail = "401; /webhooks/twilio; the signature does not fit; 3 times; look at PUBLIC_URL"
    assert ("twilio", detail) == (step.source, step.detail)
    assert [] == seen.of_refused([entry])
    assert StepFilter(is_trouble=True).holds(step)
