"""
What the alerts of an account keep: who sends them, what is open, when a receiver last ran, and what
waits on the disks of receivers.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from service.store.keys import Keys, name_in
from service.store.locks import acquire_or_keep, release
from service.store.redis_client import Client
from service.store.script_runner import Scripts
from service.store.stored_values import read_integer, read_ms

LEASE: Final = "alerts_lease"
SPOOLS: Final = "alerts_spools"
# When it was noted, messages, those set aside, when the oldest came.
SPOOL_VALUES: Final = 4
# What a machine has reported is dropped when it was silent for so long: containers get new names.
FORGET_SPOOL_AFTER: Final = timedelta(hours=1)


class SpoolNote(Struct, frozen=True, kw_only=True):
    """What waits on the disk of a machine, as its receiver reported at a time (UTC)."""

    at: datetime
    messages: int = 0
    set_aside: int = 0
    oldest_at: datetime | None = None


class AlertRecords(Struct, frozen=True):
    """
    Three strings: `alerts_lease` with the name of the process that sends, `alerts` with the state
    as JSON, `alerts_receiver` with ms since the epoch. A hash: `alerts_spools` with four numbers by
    machine. Every method raises redis-py's errors.
    """

    redis: Client
    keys: Keys
    scripts: Scripts

    async def take_lease(self, owner: str, *, ttl_s: float) -> bool:
        """Take or keep the right to send, for `ttl_s` seconds from now; False if others have it."""
        return await acquire_or_keep(self.scripts, LEASE, owner, ttl_s=ttl_s)

    async def give_lease(self, owner: str) -> None:
        """Give the right back, if it is the owner's."""
        await release(self.redis, self.keys.named(LEASE), owner)

    async def load(self) -> bytes | None:
        """The state, or None if there was never one."""
        return await self.redis.get(self.keys.named("alerts"))

    async def save(self, state: bytes) -> None:
        """Keep the state in place of the one before."""
        await self.redis.set(self.keys.named("alerts"), state)

    async def note_receiver(self, now: datetime) -> None:
        """Record that a receiver runs."""
        now_ms = int(now.timestamp() * 1000)
        await self.redis.set(self.keys.named("alerts_receiver"), now_ms)

    async def receiver_at(self) -> datetime | None:
        """When a receiver last recorded that it runs (UTC); None if none ever did."""
        text = await self.redis.get(self.keys.named("alerts_receiver"))
        return read_ms(text)

    async def note_spool(self, machine: str, note: SpoolNote) -> None:
        """Record what waits on the disk of a machine."""
        values = (_ms(note.at), note.messages, note.set_aside, _ms(note.oldest_at))
        await self.redis.hset(self.keys.named(SPOOLS), machine, " ".join(map(str, values)))

    async def spools(self, now: datetime) -> Mapping[str, SpoolNote]:
        """What waits on the disks of machines; what is old is dropped."""
        notes: dict[str, SpoolNote] = {}
        for name, text in (await self.redis.hgetall(self.keys.named(SPOOLS))).items():
            values = [read_integer(part) or 0 for part in text.split()]
            # Damaged: its receiver writes it anew.
            if len(values) != SPOOL_VALUES:
                continue
            at_ms, messages, set_aside, oldest_ms = values
            note = SpoolNote(at=_moment(at_ms), messages=messages, set_aside=set_aside)
            if oldest_ms:
                note = replace(note, oldest_at=_moment(oldest_ms))
            if now - note.at > FORGET_SPOOL_AFTER:
                await self.redis.hdel(self.keys.named(SPOOLS), name)
            else:
                notes[name_in(name)] = note
        return notes


def _ms(at: datetime | None) -> int:
    """Milliseconds since 1970; 0 for never."""
    if at is None:
        return 0
    return int(at.timestamp() * 1000)


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
