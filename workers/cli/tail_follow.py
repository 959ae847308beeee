"""
Follows the calls of an account: polls what is stored, and goes on when Redis comes back.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from service.errors import QueueUnavailable
from service.store.call_feed import CallFeed
from service.store.connection import Store
from service.store.listed_call import Place
from service.store.redis_trouble import REDIS_ERRORS, classify_redis_error
from workers.cli.tail_steps import SeenSteps, Step

# Calls that are followed: the newest, those that wait for something, and those that an operator or
# an expected call has woken, so many each.
FOLLOWED: Final = 500
# Kinds of refused requests that are read in a poll.
REFUSED: Final = 20
POLL_S: Final = 1.0
MARGIN: Final = timedelta(seconds=10)
AWAY: Final = (QueueUnavailable, *REDIS_ERRORS, OSError)


@dataclass(slots=True, kw_only=True)
class Follower:
    """
    One follower. `on_step` gets each step, in the order of their times within a poll; `on_note`
    what the operator must know of the stream itself.
    """

    store: Store
    start_at: datetime
    on_step: Callable[[Step], None]
    on_note: Callable[[str], None]
    seen: SeenSteps = field(init=False)
    newest_ms: int = field(init=False)
    polled_ms: int = field(init=False)
    is_first: bool = True

    def __post_init__(self) -> None:
        """Begin at `start_at`."""
        self.seen = SeenSteps(self.start_at)
        self.newest_ms = int(self.start_at.timestamp() * 1000)
        self.polled_ms = self.newest_ms

    async def run(self, *, poll_s: float = POLL_S) -> None:
        """Poll until cancelled. An error that is not of Redis's ends it."""
        away_since: float | None = None
        clock = asyncio.get_running_loop().time
        while True:
            try:
                if away_since is not None:
                    await self.store.ping()
                    self.on_note(
                        f"Redis is back after {clock() - away_since:.0f} s; what happened "
                        "meanwhile follows"
                    )
                    away_since = None
                await self.poll()
            except AWAY as err:
                if away_since is None:
                    away_since = clock()
                    self.on_note(f"{classify_redis_error(err).text}; waiting for it")
            await asyncio.sleep(poll_s)

    async def poll(self) -> None:
        """Read what has changed, and report it."""
        feed = CallFeed(self.store.redis, self.store.keys)
        since_ms = self.newest_ms
        if self.is_first:
            # Those of before as well: one of them may be replayed.
            since_ms = 0
        places = await feed.latest(since_ms=since_ms, limit=FOLLOWED)
        due = await feed.due(limit=FOLLOWED)
        woken = await feed.woken(since_ms=self.polled_ms, limit=FOLLOWED)
        # Those that were followed before come last, so that the oldest of them give way.
        refs = list(dict.fromkeys([*(ref for _, ref in places), *due, *woken, *self.seen.versions]))
        versions = await feed.versions(refs[: 3 * FOLLOWED])
        records = await feed.records(self.seen.changed(versions))
        refused = await self.store.refused.newest(REFUSED)
        now = await self.store.time()
        # All is read: a poll in which Redis goes away is done again, and reports nothing twice.
        steps = [step for record in records for step in self.seen.of_record(record)]
        steps += self.seen.of_unread(versions, now=now)
        steps += self.seen.of_refused(refused)
        self._note_missed(places)
        self.newest_ms = max([self.newest_ms, *(at for at, _ in places)])
        self.is_first = False
        # A poll takes a while, and what is woken in it must not be left out.
        self.polled_ms = int((now - MARGIN).timestamp() * 1000)
        for step in sorted(steps, key=lambda step: step.at):
            self.on_step(step)

    def _note_missed(self, places: Sequence[Place]) -> None:
        if len(places) < FOLLOWED or places[-1][0] <= self.newest_ms:
            return
        if self.is_first:
            self.on_note(f"only the newest {FOLLOWED} calls of that time are shown")
        else:
            self.on_note(
                f"more than {FOLLOWED} calls had messages since the last poll: not all are shown"
            )
