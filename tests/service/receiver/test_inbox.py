"""
Accepting messages, against a real Redis.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.errors import FailureCause, QueueUnavailable
from service.receiver import inbox as queue
from service.receiver.acceptance import Acceptance
from service.receiver.inbox import Inbox
from service.receiver.inbox_messages import InboxLimits
from service.settings import Settings
from service.sources.base import RetryPolicy
from service.sources.request import WebhookRequest
from service.store.connection import Store, open_store
from service.store.delivery_state import ReplayRequest
from service.store.messages import Message, message_id
from service.store.rate_limit.lanes import Lane
from tests.doubles.redis import RedisServer

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
LIMITS = InboxLimits(dedupe_h=96, keep_failed_d=30, max_pending=5, accept_timeout_s=3)


def _message(key: str, *, call: str | None = "CA1") -> Message:
    request = WebhookRequest(
        method="POST",
        url="https://h.example.test/x",
        headers={"a": ("1", "2")},
        body=b"\xff\x00raw",
    )
    return Message(
        message_id=message_id("twilio", key),
        source="twilio",
        source_call_id=call,
        received_at=NOW,
        request=request,
    )


@pytest.fixture
async def inbox(store: Store) -> AsyncIterator[Inbox]:
    """An inbox with narrow limits."""
    inbox = Inbox(store, LIMITS)
    yield inbox
    await inbox.close()


async def test_accepted_message_is_kept_raw_pending_and_its_call_has_an_alarm(
    store: Store, inbox: Inbox
) -> None:
    """What was accepted can be read back byte for byte, and arq has a job for its call."""
    message = _message("one")
    assert await inbox.accept(message)
    assert await store.messages.get(message.message_id) == message
    pending = (await store.calls.load("twilio:CA1")).pending
    assert (message.message_id,) == pending
    assert [b"default|twilio:CA1"] == await store.redis.zrange("bc:default:queue", 0, -1)
    assert await store.redis.get("arq:job:default|twilio:CA1") is not None


async def test_duplicate_is_known_and_adds_nothing(store: Store, inbox: Inbox) -> None:
    """The same message accepted many times at once is new exactly once."""
    answers = await asyncio.gather(*(inbox.accept(_message("one")) for _ in range(20)))
    assert 1 == sum(answers)
    pending = (await store.calls.load("twilio:CA1")).pending
    assert 1 == len(pending)


async def test_message_whose_call_is_broken_fails_alone(store: Store, inbox: Inbox) -> None:
    """Messages that are written together are accepted or refused each by itself."""
    await store.redis.set("bc:default:pending:twilio:CA2", "of another form")
    messages = [_message("one"), _message("two", call="CA2"), _message("three", call="CA3")]
    answers = await asyncio.gather(
        *(inbox.accept(message) for message in messages),
        inbox.accept(messages[0]),
        return_exceptions=True,
    )
    assert [True, False, True, False] == [answer == Acceptance.KEPT for answer in answers]
    assert "Redis refused the message (WRONGTYPE)" == str(answers[1])
    assert inbox.trouble is None


async def test_message_that_cannot_be_read_is_written_with_others(
    store: Store, inbox: Inbox
) -> None:
    """Messages of both kinds that arrive together are kept, each as what it is."""
    odd = _message("odd", call=None)
    await asyncio.gather(
        inbox.accept(_message("one")),
        inbox.keep_failed(odd, cause=FailureCause.MALFORMED_PAYLOAD, detail="no CallSid"),
        inbox.accept(_message("two")),
    )
    ids = [_message(key).message_id for key in ("one", "two")]
    assert tuple(ids) == (await store.calls.load("twilio:CA1")).pending
    assert await store.failed.get(odd.message_id) is not None


async def test_two_messages_of_a_call_share_one_job(store: Store, inbox: Inbox) -> None:
    """A call has one alarm, whatever number of its messages wait."""
    await asyncio.gather(inbox.accept(_message("one")), inbox.accept(_message("two")))
    assert 1 == await store.schedule.due_count()
    assert 1 == await store.redis.zcard("bc:default:queue")


async def test_unreadable_message_is_kept_as_failed(store: Store, inbox: Inbox) -> None:
    """A genuine message that names no call is kept raw and filed with its cause."""
    message = _message("odd", call=None)
    assert await inbox.keep_failed(
        message, cause=FailureCause.MALFORMED_PAYLOAD, detail="no CallSid"
    )
    assert not await inbox.keep_failed(
        message, cause=FailureCause.MALFORMED_PAYLOAD, detail="no CallSid"
    )
    entry = await store.failed.get(message.message_id)
    assert entry is not None
    assert "malformed_payload" == entry.cause
    assert await store.messages.get(message.message_id) == message


async def test_scripts_are_loaded_again_after_redis_forgot_them(store: Store, inbox: Inbox) -> None:
    """A Redis that lost its script cache costs no message."""
    assert await inbox.accept(_message("one"))
    await store.pool.script_flush()
    assert await inbox.accept(_message("two"))


async def test_message_whose_event_is_in_the_call_s_record_is_known(store: Store) -> None:
    """
    A message counts as seen for as long as its call is kept, not only while the message or its id
    is: a captured one that is sent again weeks later changes nothing.
    """
    inbox = Inbox(store, LIMITS)
    message = _message("one")
    ref = f"{message.source}:{message.source_call_id}"
    await store.redis.hset(f"bc:default:call:{ref}", f"e:{message.message_id}", "parsed")
    assert not await inbox.accept(message)
    assert await inbox.accept(_message("two"))
    await inbox.close()


@pytest.mark.parametrize(
    ("keep_messages_d", "is_remembered_beside"), [(7, False), (4, False), (3.9, True), (0, True)]
)
async def test_repeat_is_known_by_the_message_or_where_that_goes_too_soon_by_its_id(
    store: Store, keep_messages_d: float, *, is_remembered_beside: bool
) -> None:
    """
    A repeat is recognised for DEDUPE_H: by the raw message while that is kept for as long, else by
    its id, which outlives it.
    """
    inbox = Inbox(store, replace(LIMITS, keep_messages_d=keep_messages_d))
    messages = [_message("one"), _message("odd", call=None)]
    assert await inbox.accept(messages[0])
    assert await inbox.keep_failed(
        messages[1], cause=FailureCause.MALFORMED_PAYLOAD, detail="no CallSid"
    )
    keys = [key async for key in store.redis.scan_iter(match="bc:default:seen:*", count=100)]
    assert sorted(
        f"bc:default:seen:{message.message_id}".encode()
        for message in messages
        if is_remembered_beside
    ) == sorted(keys)
    for _ in range(1 + is_remembered_beside):
        assert not await inbox.accept(messages[0])
        assert not await inbox.keep_failed(
            messages[1], cause=FailureCause.MALFORMED_PAYLOAD, detail="no CallSid"
        )
        await store.redis.delete(*(store.keys.message(message.message_id) for message in messages))
    await inbox.close()


async def test_message_that_cannot_be_read_is_handled_by_a_replay(
    store: Store, inbox: Inbox
) -> None:
    """
    A replay gives a message its call, keeps it without an end, and a sweep then finds the call by
    it.
    """
    message = _message("odd", call=None)
    assert await inbox.keep_failed(
        message, cause=FailureCause.MALFORMED_PAYLOAD, detail="no CallSid"
    )
    key = store.keys.message(message.message_id)
    assert await store.pool.pttl(key) > 0
    entry = await store.failed.get(message.message_id)
    assert entry is not None
    replay_request = ReplayRequest(lane=Lane.REPLAY, at=NOW)
    assert 1 == await store.failed.replay(
        entry,
        ref="twilio:CA7",
        message_ids=[message.message_id, "gone"],
        replay_request=replay_request,
    )
    assert -1 == await store.pool.pttl(key)
    assert message == await store.messages.get(message.message_id)
    await store.redis.delete(store.keys.named("due"), "arq:job:default|twilio:CA7")
    await store.redis.zadd(store.keys.named("inbox"), {message.message_id: 1, "gone": 1})
    await store.schedule.sweep(in_progress_s=33)
    assert [b"twilio:CA7"] == await store.redis.zrange(store.keys.named("due"), 0, -1)
    assert [message.message_id.encode()] == await store.redis.zrange(
        store.keys.named("inbox"), 0, -1
    )


def test_settings_make_limits(make_settings: Callable[..., Settings]) -> None:
    """The limits are those of the settings."""
    limits = InboxLimits.of(make_settings(DEDUPE_H="100", KEEP_MESSAGES_D="5", KEEP_FAILED_D="6"))
    assert (100, 5, 6) == (limits.dedupe_h, limits.keep_messages_d, limits.keep_failed_d)


async def test_redis_that_comes_back_is_found_while_the_sender_waits(
    own_redis: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    """
    A sender that never retries is kept waiting until Redis is back; one that does is refused at
    once.
    """
    async with open_store(make_settings(REDIS_URL=own_redis.url), role="receiver") as store:
        inbox = Inbox(store, LIMITS)
        own_redis.kill()
        only_once = asyncio.create_task(
            inbox.accept(_message("one"), RetryPolicy(response_timeout_s=30))
        )
        with pytest.raises(QueueUnavailable):
            await inbox.accept(
                _message("two"), RetryPolicy(response_timeout_s=30, retry_delays_s=(60,))
            )
        assert not only_once.done()
        await asyncio.to_thread(own_redis.start)
        assert await only_once
        assert await store.messages.get(_message("one").message_id) is not None
        await inbox.close()


async def test_crowd_of_others_takes_nobodys_place(
    own_redis: RedisServer, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Only senders that never retry count towards how many may wait, and the end of the service
    ends their waiting.
    """
    monkeypatch.setattr(queue, "MAX_RETRYING_REQUESTS", 1)
    async with open_store(make_settings(REDIS_URL=own_redis.url), role="receiver") as store:
        inbox = Inbox(store, LIMITS)
        own_redis.kill()
        crowd = [
            asyncio.create_task(
                inbox.accept(
                    _message(f"{number}"), RetryPolicy(response_timeout_s=30, retry_delays_s=(60,))
                )
            )
            for number in range(3)
        ]
        only_once, one_too_many = (
            asyncio.create_task(inbox.accept(_message(name), RetryPolicy(response_timeout_s=30)))
            for name in ("one", "two")
        )
        errors = await asyncio.gather(*crowd, one_too_many, return_exceptions=True)
        assert {QueueUnavailable} == {type(error) for error in errors}
        await inbox.close()
        for waiting in (
            only_once,
            inbox.accept(_message("late"), RetryPolicy(response_timeout_s=30)),
        ):
            with pytest.raises(QueueUnavailable, match="the service is stopping"):
                await waiting


async def test_unreadable_message_is_source_activity_too(store: Store, inbox: Inbox) -> None:
    """A source of which nothing can be read is not silent."""
    assert await inbox.keep_failed(
        _message("odd", call=None), cause=FailureCause.MALFORMED_PAYLOAD, detail="no CallSid"
    )
    assert [("message", "twilio")] == list(await store.source_activity.last())
    assert [1] == list((await store.source_activity.hours("twilio")).values())


async def test_nobody_is_kept_longer_than_it_waits(
    own_redis: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    """
    Shortly before its sender gives up a message is refused, so that it is never thought to be kept.
    """
    async with open_store(make_settings(REDIS_URL=own_redis.url), role="receiver") as store:
        inbox = Inbox(store, LIMITS)
        own_redis.kill()
        with pytest.raises(QueueUnavailable, match="while the sender waited"):
            await inbox.accept(_message("one"), RetryPolicy(response_timeout_s=1))
        await inbox.close()
