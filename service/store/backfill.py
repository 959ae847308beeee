"""
What a back-fill writes: messages made from a vendor's call log, how far an interrupted run came,
and which calls without an end are to be asked for.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from typing import Final

import msgspec
from msgspec import Struct, field

from service.events import UtcDatetime
from service.store import backfill_scripts
from service.store.calls import LoadedCall
from service.store.delivery_state import ReplayRequest, replay_request_to_json
from service.store.keys import Keys, name_in, ref_of
from service.store.locks import acquire, acquire_or_keep, release
from service.store.messages import Message, pack_message
from service.store.redis_client import Client
from service.store.script_runner import Scripts

# A worker reads some hundreds in a second: fresh webhooks wait no longer than that.
MOST_UNREAD: Final = 200
# A call that still has no end by then is not asked for any more.
KEEP_ASKED_MS: Final = 30 * 86_400_000


class WriteResult(IntEnum):
    """
    What became of a call's messages: new ones were kept, all were known, too many messages wait, or
    the call has changed since it was read.
    """

    CHANGED = -2
    FULL = -1
    KNOWN = 0
    WRITTEN = 1


class Checkpoint(Struct, frozen=True, kw_only=True):
    """
    How far a back-fill came that has not ended: all calls that began in [`since`, `until`) are
    wanted, and those before `done_until` are done (UTC).
    """

    since: UtcDatetime
    until: UtcDatetime
    done_until: UtcDatetime


class Run(Struct, frozen=True, kw_only=True):
    """
    One run that reads a source's call log: where, since when (UTC); `owner` tells it from all
    others.
    """

    host: str
    process: int
    began_at: UtcDatetime
    owner: str


_CHECKPOINT: Final = msgspec.json.Decoder(Checkpoint)
_RUN: Final = msgspec.json.Decoder(Run)


class Backfill(Struct, frozen=True):
    """
    The records of back-fills; `dedupe_ms` is how long a message's id is kept beside it.
    """

    redis: Client
    keys: Keys
    scripts: Scripts
    dedupe_ms: int
    # One per process: only the one that has taken a right may give it back.
    owner: str = field(default_factory=lambda: secrets.token_hex(8))

    async def write(
        self,
        ref: str,
        loaded: LoadedCall,
        messages: Sequence[Message],
        *,
        replay_request: ReplayRequest | None,
        most_unread: int = MOST_UNREAD,
    ) -> WriteResult:
        """
        Keep all messages of one call, unless it has changed since it was `loaded`.

        With a `replay_request` the call goes through the request's lane, and Buildr's call is read
        before it is written.
        """
        request_text = ""
        if replay_request is not None:
            request_text = replay_request_to_json(replay_request)
        call = backfill_scripts.backfill(
            ref=ref,
            version=loaded.stored.version,
            pending_count=len(loaded.pending),
            dedupe_ms=self.dedupe_ms,
            most_unread=most_unread,
            replay_request=request_text,
            packed_messages=[(message.message_id, pack_message(message)) for message in messages],
        )
        return WriteResult(min(1, await self.scripts.run(call)))

    async def checkpoint(self, source: str) -> Checkpoint | None:
        """How far the last back-fill of a source came; None if it ended, or cannot be read."""
        text = await self.redis.hget(self.keys.named("backfill"), source)
        if text is None:
            return None
        try:
            return _CHECKPOINT.decode(text)
        # Nothing is lost by it: a run from the beginning finds the same calls.
        except ValueError:
            return None

    async def save_checkpoint(self, source: str, checkpoint: Checkpoint | None) -> None:
        """Store how far a back-fill came; None removes it."""
        name = self.keys.named("backfill")
        if checkpoint is None:
            await self.redis.hdel(name, source)
        else:
            await self.redis.hset(name, source, msgspec.json.encode(checkpoint))

    async def begin_run(self, source: str, run: Run, *, ttl_s: float) -> Run | None:
        """
        Take the right to run for a source, or keep it, for `ttl_s` seconds from now; the other run
        if there is one.
        """
        value = msgspec.json.encode(run).decode()
        name = _run_name(source)
        while not await acquire_or_keep(self.scripts, name, value, ttl_s=ttl_s):
            text = await self.redis.get(self.keys.named(name))
            # It may have ended just now.
            if text is not None:
                return _RUN.decode(text)
        return None

    async def end_run(self, source: str, run: Run) -> None:
        """Give the right to run back, if it is still this run's."""
        await release(self.redis, self.keys.named(_run_name(source)), msgspec.json.encode(run))

    async def lock(self, source: str, *, ttl_s: float) -> bool:
        """
        Take the right to read a source's call log for at most `ttl_s` seconds; False if somebody
        has it.
        """
        return await acquire(self.scripts, _lock_name(source), self.owner, ttl_s=ttl_s)

    async def unlock(self, source: str) -> None:
        """Give the right back, if it is still ours."""
        await release(self.redis, self.keys.named(_lock_name(source)), self.owner)

    async def want_end(self, ref: str, *, at: datetime) -> None:
        """Have a call without an end asked for at a time (UTC), unless that is planned already."""
        key = self._ends_key(ref)
        pipe = self.redis.pipeline(transaction=True)
        pipe.zadd(key, {ref: _epoch_ms(at)}, nx=True)
        # The list of a source that is off ends by itself.
        pipe.pexpire(key, KEEP_ASKED_MS)
        await pipe.execute()

    async def due_ends(self, source: str, *, at: datetime, limit: int) -> list[str]:
        """
        The calls of a source that are to be asked for by a time (UTC), the longest overdue first.
        """
        key = self._ends_key(ref_of(source, ""))
        refs = await self.redis.zrangebyscore(key, 0, _epoch_ms(at), start=0, num=limit)
        return [name_in(ref) for ref in refs]

    async def postpone_end(self, ref: str, *, at: datetime) -> None:
        """Have a call asked for at another time (UTC)."""
        await self.redis.zadd(self._ends_key(ref), {ref: _epoch_ms(at)}, xx=True)

    async def forget_end(self, ref: str) -> None:
        """Ask for a call no more."""
        await self.redis.zrem(self._ends_key(ref), ref)

    async def times_asked(self, ref: str) -> int:
        """How often the vendor has answered for a call without an end."""
        return int(await self.redis.get(self._asked_key(ref)) or 0)

    async def count_asked(self, ref: str) -> int:
        """Count that the vendor has answered once more; returns how often."""
        pipe = self.redis.pipeline(transaction=True)
        pipe.incr(self._asked_key(ref))
        pipe.pexpire(self._asked_key(ref), KEEP_ASKED_MS)
        count, _ = await pipe.execute()
        return int(count)

    def _ends_key(self, ref: str) -> str:
        # By source: what one vendor leaves unanswered must not hide the calls of another.
        source = ref.partition(":")[0]
        return self.keys.named(f"ask:{source}")

    def _asked_key(self, ref: str) -> str:
        return self.keys.named(f"asked:{ref}")


def _lock_name(source: str) -> str:
    return f"backfill_lock:{source}"


def _run_name(source: str) -> str:
    return f"backfill_run:{source}"


def _epoch_ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
