"""
The alerts of one account, as one process keeps them: the lease, the book in Redis, and what it can
report by itself while Redis is away.
"""

import asyncio
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from service.errors import QueueUnavailable
from service.settings import Settings
from service.store.alerts import SpoolNote
from service.store.connection import Store
from service.store.redis_trouble import REDIS_ERRORS, classify_redis_error
from workers.alerts.book import (
    Book,
    Notice,
    advance,
    book_text,
    notices_for,
    pruned,
    read_book,
    with_sent,
)
from workers.alerts.conditions import conditions_of, redis_trouble
from workers.alerts.facts import read_facts
from workers.delivery.intake_status import read_spool_depth

# Longer than a whole turn: reading, sending to all channels at once, saving.
LEASE_S: Final = 120.0
READ_TIMEOUT_S: Final = 20.0
SAVE_TIMEOUT_S: Final = 5.0


@dataclass(slots=True, kw_only=True)
class AccountAlerts:
    """
    One account. With `is_standby`, which a receiver is, it takes the lease only while no worker
    runs: reading the facts is work for the processes that nobody waits for.

    `clock` is for the time while Redis, whose clock counts, is away.
    """

    settings: Settings
    store: Store
    owner: str
    is_standby: bool
    clock: Callable[[], datetime]
    # What this process has seen as the last holder: nobody else can take the lease without Redis.
    is_holder: bool = False
    # Whether the book is that of this turn.
    is_current: bool = False
    book: Book = field(default_factory=dict)
    local_book: Book = field(default_factory=dict)
    # A book that Redis has not taken counts for more than the stored one, which would report all
    # of it again.
    is_saved: bool = True
    now: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.now = self.clock()

    async def observe(self) -> None:
        """Read what is wrong now. Redis that does not answer is one of the things that are."""
        self.now = self.clock()
        self.is_current = False
        trouble = []
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                await self._observe()
        except (QueueUnavailable, *REDIS_ERRORS, OSError) as err:
            # TimeoutError is an OSError. Only the last holder reports it, so that one process does.
            if self.is_holder:
                trouble = [redis_trouble(classify_redis_error(err).text)]
        if "redis_trouble" in self.settings.alerts_off:
            trouble = []
        self.local_book = advance(self.local_book, trouble, now=self.now)

    async def _observe(self) -> None:
        # First: reads would wait for their timeouts one after another.
        await self.store.ping()
        self.now = await self.store.time()
        if self.is_standby:
            await self.store.alerts.note_receiver(self.now)
            await self._note_spool()
            if await self.store.workers.count():
                await self.leave()
                return
        if not await self.store.alerts.take_lease(self.owner, ttl_s=LEASE_S):
            self.is_holder = False
            return
        if self.is_saved or not self.is_holder:
            self.book = read_book(await self.store.alerts.load())
            self.is_saved = True
        self.is_holder = True
        facts = await read_facts(self.settings, self.store)
        book = advance(self.book, conditions_of(facts, self.settings), now=self.now)
        self.is_saved = self.is_saved and book == self.book
        self.book = book
        self.is_current = True

    async def _note_spool(self) -> None:
        """A worker may be on another machine, and cannot see the disk of this one."""
        # Beside the event loop: the disk may be slow.
        depth = await asyncio.to_thread(read_spool_depth, self.settings, self.now)
        oldest_at = None
        if depth.oldest_age_s is not None:
            oldest_at = self.now - timedelta(seconds=depth.oldest_age_s)
        note = SpoolNote(
            at=self.now,
            messages=depth.messages,
            set_aside=depth.set_aside,
            oldest_at=oldest_at,
        )
        await self.store.alerts.note_spool(socket.gethostname(), note)

    def notices(self, channel: str) -> list[Notice]:
        """What a channel has to learn."""
        reminder = None
        if self.settings.alerts_reminder_h:
            reminder = timedelta(hours=self.settings.alerts_reminder_h)
        books = [self.local_book]
        # A process that does not reach Redis may not be the holder any more.
        if self.is_current:
            books.append(self.book)
        account = self.settings.account
        return [
            notice
            for book in books
            for notice in notices_for(
                channel, book, account=account, now=self.now, reminder=reminder
            )
        ]

    def note_sent(self, notices: Collection[Notice], channel: str) -> None:
        """A channel has learnt these notices."""
        mine = [notice for notice in notices if notice.account == self.settings.account]
        if not mine:
            return
        self.local_book = with_sent(self.local_book, mine, channel, now=self.now)
        self.book = with_sent(self.book, mine, channel, now=self.now)
        self.is_saved = False

    async def save(self, channels: Collection[str]) -> None:
        """Keep the book; if Redis does not take it, this process goes on with it."""
        self.local_book = pruned(self.local_book, channels)
        book = pruned(self.book, channels)
        if not self.is_current or (self.is_saved and book == self.book):
            return
        self.book = book
        self.is_saved = False
        try:
            async with asyncio.timeout(SAVE_TIMEOUT_S):
                await self.store.alerts.save(book_text(book))
        except (*REDIS_ERRORS, OSError):
            return
        self.is_saved = True

    async def leave(self) -> None:
        """Give the lease to others, if it is ours."""
        if not self.is_holder:
            return
        self.is_holder = False
        await self.store.alerts.give_lease(self.owner)
