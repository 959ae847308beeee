"""
The inbox over a real Redis that is killed, stopped, filled or read-only, with a spool beside it.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from service.errors import FailureCause, QueueUnavailable
from service.receiver.acceptance import Acceptance
from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits, spooled_message
from service.settings import Settings
from service.sources.base import RetryPolicy
from service.spool import spool as spool_module
from service.spool.files import MEGABYTE, SpoolLimits
from service.spool.spool import Spool
from service.store.connection import Store, open_store
from service.store.messages import pack_message
from tests.doubles.messages import webhook_message
from tests.doubles.redis import RedisServer
from tests.doubles.waiting import until

LIMITS = InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=5, accept_timeout_s=3)
ONLY_ONCE = RetryPolicy(response_timeout_s=10)
RETRIES = RetryPolicy(response_timeout_s=10, retry_delays_s=(60,))


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    """A spool of its own."""
    spool = Spool(tmp_path / "spool", SpoolLimits(8 * MEGABYTE, least_free_bytes=0))
    await spool.open()
    yield spool
    await spool.close()


@pytest.fixture
async def own_store(
    own_redis: RedisServer, make_settings: Callable[..., Settings]
) -> AsyncIterator[Store]:
    """A store over a Redis that the test may break."""
    async with open_store(make_settings(REDIS_URL=own_redis.url), role="receiver") as store:
        yield store


@pytest.fixture
async def inbox(own_store: Store, spool: Spool) -> AsyncIterator[Inbox]:
    """An inbox that has a spool."""
    inbox = Inbox(own_store, LIMITS, spool)
    inbox.open()
    yield inbox
    await inbox.close()


async def _drained(spool: Spool, inbox: Inbox) -> None:
    """Wait until nothing is spooled and Redis is known to be back."""

    async def is_drained() -> bool:
        return not (spool.depth("default").messages or inbox.trouble)

    await until(is_drained, goal="the spool to be empty")


async def _order(store: Store) -> list[str]:
    pending = (await store.calls.load("twilio:CA1")).pending
    return list(pending)


def _ids(keys: Sequence[str]) -> list[str]:
    return [webhook_message(key).message_id for key in keys]


async def test_redis_away_costs_nobody_anything(
    own_redis: RedisServer, own_store: Store, inbox: Inbox, spool: Spool
) -> None:
    """
    What Redis does not take is spooled, whoever sent it; a repeat is recognised; once Redis is back
    everything is in it, in order and once.
    """
    assert Acceptance.KEPT is await inbox.accept(webhook_message("a"))
    own_redis.kill()
    with capture_logs() as entries:
        answers = [
            await inbox.accept(webhook_message(key), policy)
            for key, policy in (("b", RETRIES), ("c", ONLY_ONCE), ("b", RETRIES), ("a", ONLY_ONCE))
        ]
        assert [Acceptance.SPOOLED, Acceptance.SPOOLED, Acceptance.REPEATED] == answers[:3]
        unreadable = webhook_message("odd", call=None)
        cause = FailureCause.MALFORMED_PAYLOAD
        assert await inbox.keep_failed(unreadable, cause=cause, detail="no CallSid")
        assert 4 == inbox.depth.messages
        await asyncio.to_thread(own_redis.start)
        await _drained(spool, inbox)
        assert Acceptance.REPEATED is await inbox.accept(webhook_message("c"))
        assert Acceptance.KEPT is await inbox.accept(webhook_message("d"))
    assert _ids(["a", "b", "c", "d"]) == await _order(own_store)
    entry = await own_store.failed.get(unreadable.message_id)
    assert entry is not None
    assert (cause, "no CallSid") == (entry.cause, entry.detail)
    lines = {entry["event"]: entry for entry in entries}
    assert ["spool.began", "spool.ended"] == list(lines)
    assert "Redis does not answer" == lines["spool.began"]["reason"]
    assert (3, 1) == (lines["spool.ended"]["messages"], lines["spool.ended"]["repeated"])


async def test_message_that_a_hung_redis_takes_late_is_there_once(
    own_redis: RedisServer, own_store: Store, inbox: Inbox, spool: Spool
) -> None:
    """
    A message whose answer did not come in time is spooled, although Redis may carry it out later.
    """
    assert await inbox.accept(webhook_message("a"))
    assert own_redis.process is not None
    own_redis.process.send_signal(signal.SIGSTOP)
    answers = await asyncio.gather(*(inbox.accept(webhook_message(key)) for key in "bcd"))
    own_redis.process.send_signal(signal.SIGCONT)
    assert {Acceptance.SPOOLED} == set(answers)
    await _drained(spool, inbox)
    assert sorted(_ids(["a", "b", "c", "d"])) == sorted(await _order(own_store))


async def test_redis_that_takes_no_writes_is_bridged(
    own_redis: RedisServer, own_store: Store, inbox: Inbox, spool: Spool
) -> None:
    """A Redis that answers and refuses writes is away, and says why."""
    with Redis.from_url(own_redis.url) as client:
        for fault, cure, reason in (
            ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "Redis is full"),
            ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "Redis is a read-only replica"),
        ):
            client.execute_command(*fault.split())
            assert Acceptance.SPOOLED is await inbox.accept(webhook_message(reason))
            assert reason == inbox.trouble
            with pytest.raises(QueueUnavailable, match=reason):
                await own_store.check_writes()
            client.execute_command(*cure.split())
            await _drained(spool, inbox)
    assert _ids(["Redis is full", "Redis is a read-only replica"]) == await _order(own_store)


async def test_too_many_messages_for_the_workers_wait_in_the_spool(
    own_store: Store, inbox: Inbox, spool: Spool
) -> None:
    """Beyond MAX_PENDING messages are spooled, and moved as workers read what waits."""
    answers = [await inbox.accept(webhook_message(str(number))) for number in range(7)]
    assert [Acceptance.KEPT] * 5 + [Acceptance.SPOOLED] * 2 == answers
    spooled = [row.message for row in await spool.read("default", 9)]
    # Made small: its disk has little room, and nobody waits for what is in it.
    assert [pack_message(webhook_message(key)) for key in "56"] == [
        message.packed_message for message in spooled if message is not None
    ]
    await own_store.redis.zrem(own_store.keys.named("inbox"), *_ids(["0", "1"]))
    await _drained(spool, inbox)
    assert _ids([str(number) for number in range(7)]) == await _order(own_store)


async def test_message_that_redis_refuses_holds_up_no_other(
    own_redis: RedisServer, own_store: Store, inbox: Inbox, spool: Spool
) -> None:
    """
    A record of another form makes Redis refuse the messages of its call only: they are set aside
    with a line, and read again later.
    """
    own_redis.kill()
    assert await inbox.accept(webhook_message("poison", call="CA7"))
    assert await inbox.accept(webhook_message("good"))
    pending = own_store.keys.pending("twilio:CA7")
    with capture_logs() as entries:
        await asyncio.to_thread(own_redis.start)
        # Before the spool notices that Redis is back, or after the first refusal: both are the
        # same.
        await own_store.redis.set(pending, "no list")
        assert await inbox.accept(webhook_message("poison2", call="CA7"))
        await _drained(spool, inbox)
    assert _ids(["good"]) == await _order(own_store)
    assert {"spool.row_set_aside"} <= {entry["event"] for entry in entries}
    aside = inbox.depth.set_aside
    assert aside in (1, 2)
    await own_store.redis.delete(pending)


async def test_spool_that_is_full_leaves_the_answer_of_before(
    own_redis: RedisServer, own_store: Store, tmp_path: Path
) -> None:
    """
    With Redis away and no room, senders that retry are refused at once, with the reason; one that
    never does waits for Redis; what was refused is counted once Redis is back.
    """
    full = Spool(tmp_path / "full", SpoolLimits(MEGABYTE, least_free_bytes=2**62))
    await full.open()
    inbox = Inbox(own_store, LIMITS, full)
    inbox.open()
    own_redis.kill()
    with pytest.raises(QueueUnavailable, match="the spool takes nothing: it is full"):
        await inbox.accept(webhook_message("a"), RETRIES)
    only_once = asyncio.create_task(inbox.accept(webhook_message("b"), ONLY_ONCE))
    await asyncio.to_thread(own_redis.start)
    assert Acceptance.KEPT is await only_once

    async def is_counted() -> bool:
        return (await own_store.counters.all()).get("refused:twilio") == 1

    await until(is_counted, goal="the refused message to be counted")
    await inbox.close()
    await full.close()


async def test_end_of_the_process_ends_waiting_for_redis(
    own_redis: RedisServer, own_store: Store
) -> None:
    """
    Without a spool, a sender that waits for Redis is answered as soon as the process is to end; it
    may retry at another one.
    """
    inbox = Inbox(own_store, LIMITS)
    own_redis.kill()
    waiting = [
        asyncio.create_task(inbox.accept(webhook_message(key), RetryPolicy(response_timeout_s=60)))
        for key in "ab"
    ]
    await asyncio.sleep(0)
    inbox.begin_stop()
    for request in waiting:
        with pytest.raises(QueueUnavailable, match="the service is stopping"):
            await request
    await inbox.close()


async def test_messages_of_an_ended_process_are_moved_by_another(
    own_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that runs takes over what one left that has ended, without its own messages."""
    monkeypatch.setattr(spool_module, "UPKEEP_INTERVAL_S", 0.05)
    limits = SpoolLimits(MEGABYTE, least_free_bytes=0)
    alive = Spool(tmp_path / "spool", limits)
    ended = Spool(tmp_path / "spool", limits)
    await ended.open()
    await alive.open()
    inbox = Inbox(own_store, LIMITS, alive)
    inbox.open()
    # Without a drain of its own, as if Redis were away for it.
    await ended.put(spooled_message("default", webhook_message("a")), is_last_chance=False)
    await ended.close()

    async def is_moved() -> bool:
        return bool(await _order(own_store))

    await until(is_moved, goal="the message to be moved")
    assert _ids(["a"]) == await _order(own_store)
    await inbox.close()
    await alive.close()


async def test_spool_that_cannot_be_opened_is_reported_and_tried_again(
    own_redis: RedisServer, own_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says why; as soon as it can be opened it takes messages."""
    monkeypatch.setattr(spool_module, "UPKEEP_INTERVAL_S", 0.05)
    folder = tmp_path / "spool"
    folder.write_text("in the way")
    spool = Spool(folder, SpoolLimits(MEGABYTE, least_free_bytes=0))
    with capture_logs() as entries:
        await spool.open()
        folder.unlink()
        await until(partial(_holds_file, folder), goal="the file to be made")
    assert [("spool.unavailable", str(folder))] == [
        (entry["event"], entry["folder"]) for entry in entries
    ]
    inbox = Inbox(own_store, LIMITS, spool)
    inbox.open()
    own_redis.kill()
    assert Acceptance.SPOOLED is await inbox.accept(webhook_message("a"), RETRIES)
    await inbox.close()
    await spool.close()


async def _holds_file(folder: Path) -> bool:
    return await asyncio.to_thread(lambda: bool(list(folder.glob("*.sqlite3"))))
