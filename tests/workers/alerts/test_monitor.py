"""
Alerts of whole processes: one sends, whoever it is, and what was sent is not sent again.
"""

import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from service.clock import utc_now
from service.settings import Installation
from service.store.alerts import SpoolNote
from service.store.connection import Store, open_store
from tests.doubles.clock import Skew
from tests.doubles.hooks import Hook, hook_server
from tests.doubles.redis import RedisServer
from tests.doubles.waiting import until
from tests.workers.alerts.facts import NOW
from workers.alerts.account_alerts import AccountAlerts
from workers.alerts.channels import channels_of
from workers.alerts.monitor import AlertMonitor
from workers.alerts.standby import StandbyMonitor


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Where alerts go."""
    with hook_server() as opened:
        yield opened


@pytest.fixture
def installation(
    make_installation: Callable[..., Installation], redis_url: str, hook: Hook
) -> Installation:
    """An installation with alerts."""
    return make_installation(REDIS_URL=redis_url, ALERTS_SLACK_URL=hook.url)


@asynccontextmanager
async def _monitor(
    installation: Installation, skew: Skew, *, is_standby: bool = False, owner: str = "one"
) -> AsyncIterator[AlertMonitor]:
    """The monitor of one process, by a clock that the test sets."""
    settings = installation.default
    account = AccountAlerts(
        settings=settings,
        store=open_store(settings, role="cli", skew_ms=skew),
        owner=owner,
        is_standby=is_standby,
        clock=lambda: utc_now() + timedelta(milliseconds=skew.ms),
    )
    monitor = AlertMonitor(accounts=[account], channels=channels_of(settings))
    try:
        yield monitor
    finally:
        await monitor.close()


def _texts(hook: Hook) -> list[str]:
    return [json.loads(body)["text"].splitlines()[0] for body in hook.bodies]


NO_WORKER = "ALERT: No worker is running. Nothing reaches Buildr; nothing is lost."


async def test_a_receiver_reports_that_no_worker_runs(
    installation: Installation, store: Store, skew: Skew, hook: Hook
) -> None:
    """It leaves everything to workers while one runs, and they report the end of it."""
    async with (
        _monitor(installation, skew, is_standby=True, owner="receiver") as receiver,
        _monitor(installation, skew, owner="worker") as worker,
    ):
        await receiver.turn()
        skew.ms += 121_000
        await receiver.turn()
        assert [NO_WORKER] == _texts(hook)
        await store.workers.beat("worker", map_digest="0")
        await worker.turn()
        await receiver.turn()
        assert not receiver.accounts[0].is_holder
        await worker.turn()
        skew.ms += 121_000
        await store.workers.beat("worker", map_digest="0")
        await worker.turn()
    assert 2 == len(hook.bodies)
    assert _texts(hook)[1].endswith(" min: No worker is running.")


async def test_a_receiver_says_what_waits_on_its_disk(
    installation: Installation, store: Store, skew: Skew
) -> None:
    """Others read it; what a machine reported that is gone is dropped after an hour."""
    gone = SpoolNote(at=NOW - timedelta(hours=2), messages=1)
    waiting = SpoolNote(at=NOW, messages=3, set_aside=1, oldest_at=NOW - timedelta(minutes=5))
    await store.alerts.note_spool("web-1", gone)
    await store.alerts.note_spool("web-2", waiting)
    assert {"web-2": waiting} == await store.alerts.spools(NOW)
    async with _monitor(installation, skew, is_standby=True) as receiver:
        await receiver.turn()
        account = receiver.accounts[0]
    notes = await store.alerts.spools(NOW)
    assert {socket.gethostname()} == set(notes)
    assert notes[socket.gethostname()].messages == 0
    assert account.now - notes[socket.gethostname()].at < timedelta(seconds=1)


async def test_one_of_several_sends_and_a_restart_sends_nothing_again(
    installation: Installation, skew: Skew, hook: Hook
) -> None:
    """The lease is one process's, the state is in Redis."""
    async with (
        _monitor(installation, skew, owner="one") as one,
        _monitor(installation, skew, owner="two") as two,
    ):
        for _ in range(3):
            await one.turn()
            await two.turn()
            skew.ms += 100_000
        assert [NO_WORKER] == _texts(hook)
    async with _monitor(installation, skew, owner="three") as three:
        await three.turn()
        assert three.accounts[0].is_holder
    assert [NO_WORKER] == _texts(hook)


async def test_a_channel_that_fails_is_tried_later(
    installation: Installation, skew: Skew, hook: Hook
) -> None:
    """What it has not taken is sent once it takes it, and the log names no address."""
    hook.status = 500
    async with _monitor(installation, skew) as monitor:
        with capture_logs() as lines:
            await monitor.turn()
            skew.ms += 121_000
            await monitor.turn()
            await monitor.turn()
        assert 1 == len(hook.bodies)
        (line,) = [line for line in lines if line["event"] == "alert.not_sent"]
        assert ("warning", "slack", "answered 500") == (
            line["log_level"],
            line["channel"],
            line["reason"],
        )
        assert "fake-secret" not in str(lines)
        hook.status = 404
        monitor._pauses.clear()
        with capture_logs() as lines:
            await monitor.turn()
        assert "error" == lines[0]["log_level"]
        hook.status = 200
        monitor._pauses.clear()
        await monitor.turn()
        await monitor.turn()
    assert [NO_WORKER] * 3 == _texts(hook)


async def test_redis_away_is_reported_by_who_sent_last(
    make_installation: Callable[..., Installation], own_redis: RedisServer, hook: Hook
) -> None:
    """Nobody else can know who that was; when it is back, the same process says so."""
    skew = Skew()
    installation = make_installation(REDIS_URL=own_redis.url, ALERTS_SLACK_URL=hook.url)
    async with (
        _monitor(installation, skew, owner="one") as one,
        _monitor(installation, skew, owner="two") as two,
        open_store(installation.default, role="cli") as store,
    ):
        await one.turn()
        await two.turn()
        own_redis.kill()
        for _ in range(2):
            await one.turn()
            await two.turn()
            skew.ms += 121_000
        await one.turn()
        assert 1 == len(hook.bodies)
        assert _texts(hook)[0].startswith("ALERT: Redis ")
        own_redis.start(appendfsync="always")
        await store.workers.beat("worker", map_digest="0")
        await one.turn()
        skew.ms += 61_000
        await one.turn()
    assert 2 == len(hook.bodies)
    assert _texts(hook)[1].startswith("OVER after ")


async def test_a_book_that_redis_does_not_take_is_kept_in_memory(
    installation: Installation,
    store: Store,
    skew: Skew,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full Redis must not make every turn send the same alert."""
    async with _monitor(installation, skew) as monitor:
        await monitor.turn()
        skew.ms += 121_000
        with monkeypatch.context() as patch:
            patch.setattr("workers.alerts.account_alerts.SAVE_TIMEOUT_S", -1)
            await monitor.turn()
            await monitor.turn()
        assert [NO_WORKER] == _texts(hook)
        await monitor.turn()
        assert [NO_WORKER] == _texts(hook)
    assert b"sent_at" in (await store.alerts.load() or b"")


async def test_the_task_of_a_receiver(installation: Installation, hook: Hook) -> None:
    """It runs beside the receiver, outlives a bug, and ends with it."""
    standby = StandbyMonitor.of(installation)
    await standby.close()
    standby = StandbyMonitor.of(installation)
    (account,) = standby.monitor.accounts
    with capture_logs() as lines:
        await standby.start()

        async def is_noted() -> bool:
            return await account.store.alerts.receiver_at() is not None

        await until(is_noted, goal="the receiver's first turn")
        await standby.close()
    assert [] == [line for line in lines if line["log_level"] == "error"]


async def test_an_account_that_cannot_be_read_leaves_the_others_their_alerts(
    installation: Installation, skew: Skew, hook: Hook, store: Store
) -> None:
    """What is damaged there is logged with the account's name."""

    class Broken(AccountAlerts):
        """An account whose records nobody can read."""

        async def observe(self) -> None:
            raise ZeroDivisionError

    async with _monitor(installation, skew) as monitor:
        (account,) = monitor.accounts
        broken = Broken(
            settings=account.settings,
            store=store,
            owner="one",
            is_standby=False,
            clock=account.clock,
        )
        both = AlertMonitor(accounts=[broken, account], channels=monitor.channels)
        with capture_logs() as lines:
            await both.turn()
            skew.ms += 121_000
            await both.turn()
    assert [NO_WORKER] == _texts(hook)
    broken_lines = [line for line in lines if line["event"] == "alerts.broken"]
    assert [account.settings.account] * 2 == [line["account"] for line in broken_lines]


async def test_a_bug_ends_a_turn_only(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged with its traceback, and the next turn comes."""
    turns = 0

    async def broken(_: AlertMonitor) -> None:
        nonlocal turns
        turns += 1
        raise ZeroDivisionError

    async def stop(_: float) -> None:
        if turns == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(AlertMonitor, "turn", broken)
    monkeypatch.setattr("workers.alerts.monitor.asyncio.sleep", stop)
    monitor = AlertMonitor.of(installation, is_standby=False)
    with capture_logs() as lines, pytest.raises(KeyboardInterrupt):
        await monitor.run()
    monkeypatch.undo()
    await monitor.close()
    assert ["alerts.broken"] * 2 == [line["event"] for line in lines]
    assert logging.getLevelName(logging.ERROR).lower() == lines[0]["log_level"]
