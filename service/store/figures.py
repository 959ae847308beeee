"""
Figures that are counted in processes and kept in Redis: histograms of times, how many calls got
which outcome on which day, and the values of vendors that no table has.

A process counts in memory, which takes less than a microsecond, and adds what it has counted to
Redis every few seconds. Killed, it loses these seconds of figures, and nothing else.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Final

from msgspec import Struct, field

from service.store.keys import Keys, name_in
from service.store.redis_client import Client
from service.store.stored_values import read_ms, read_number

# Upper bounds in seconds; what is longer than the last one is in one more bucket.
BOUNDS: Final[Mapping[str, tuple[float, ...]]] = {
    # From the receipt of a call's last message to Buildr's confirmation of its outcome.
    "delivery_seconds": (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 14_400),
    # From a request's beginning at the receiver to its answer.
    "answer_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    # One request to Buildr, its token included.
    "buildr_request_seconds": (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8),
}
SUM: Final = "sum"
# Of a value; vendors' own are a word or two.
LONGEST_VALUE: Final = 80
# Of an account: a source that sends something else each time must not fill Redis.
MOST_VALUES: Final = 200
# Days of outcomes that are kept: those of a month, and some more.
KEEP_DAYS: Final = 40


class Histogram(Struct, frozen=True):
    """How many times were within each bound of its metric, one more beyond all, and their sum."""

    counts: tuple[int, ...]
    sum_s: float


class Tally(Struct):
    """What a process has counted since it last added it to Redis."""

    times: dict[str, int] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to add."""
        return not (self.times or self.outcomes or self.values)

    def note_time(self, metric: str, label: str, seconds: float) -> None:
        """Count a time; `metric` is one of `BOUNDS`, `label` one of few."""
        buckets, total = _names(metric, label)
        name = buckets[bisect_left(BOUNDS[metric], seconds)]
        self.times[name] = self.times.get(name, 0) + 1
        self.sums[total] = self.sums.get(total, 0.0) + seconds

    def note_outcome(self, outcome: str, day: date) -> None:
        """Count a call that got an outcome; `day` is that of the call, in UTC."""
        name = f"{day.isoformat()}:{outcome}"
        self.outcomes[name] = self.outcomes.get(name, 0) + 1

    def note_values(self, source: str, values: Iterable[str], at: datetime) -> None:
        """Remember values that no table has, without telephone numbers."""
        # Its patterns are compiled where something is counted: commands only read figures.
        from service.logs.masking import mask_text

        for value in values:
            if len(self.values) < MOST_VALUES:
                self.values[f"{source}:{mask_text(value[:LONGEST_VALUE])}"] = int(
                    at.timestamp() * 1000
                )

    def take(self) -> "Tally":
        """All that was counted, which is counted from zero again here."""
        taken = Tally(self.times, self.sums, self.outcomes, self.values)
        self.times = {}
        self.sums = {}
        self.outcomes = {}
        self.values = {}
        return taken

    def give_back(self, taken: "Tally") -> None:
        """Count again what could not be added to Redis."""
        for name, count in taken.times.items():
            self.times[name] = self.times.get(name, 0) + count
        for name, seconds in taken.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + seconds
        for name, count in taken.outcomes.items():
            self.outcomes[name] = self.outcomes.get(name, 0) + count
        self.values = {**taken.values, **self.values}


# Labels are few.
@lru_cache(maxsize=64)
def _names(metric: str, label: str) -> tuple[tuple[str, ...], str]:
    """The names of a histogram's buckets, and that of its sum."""
    buckets = range(len(BOUNDS[metric]) + 1)
    return tuple(f"{metric}:{label}:{bucket}" for bucket in buckets), f"{metric}:{label}:{SUM}"


class Figures(Struct, frozen=True):
    """
    The figures of all processes of an account, in three hashes: `figures` by
    `METRIC:LABEL:BUCKET`, `outcome_days` by `DAY:OUTCOME`, `unknown_values` by `SOURCE:VALUE` with
    ms since the epoch. Every method raises redis-py's errors.
    """

    redis: Client
    keys: Keys

    async def add(self, tally: Tally) -> None:
        """Add what a process has counted; what cannot be added is given back to it."""
        if tally.is_empty:
            return
        taken = tally.take()
        pipe = self.redis.pipeline(transaction=True)
        figures = self.keys.named("figures")
        for name, count in taken.times.items():
            pipe.hincrby(figures, name, count)
        for name, seconds in taken.sums.items():
            pipe.hincrbyfloat(figures, name, round(seconds, 6))
        for name, count in taken.outcomes.items():
            pipe.hincrby(self.keys.named("outcome_days"), name, count)
        if taken.values:
            with_room = await self._with_room(tally, taken)
            for name, at_ms in with_room.items():
                pipe.hset(self.keys.named("unknown_values"), name, str(at_ms))
        try:
            await pipe.execute()
        except BaseException:
            tally.give_back(taken)
            raise

    async def _with_room(self, tally: Tally, taken: Tally) -> Mapping[str, int]:
        """The values for which there is room."""
        try:
            stored = await self.redis.hgetall(self.keys.named("unknown_values"))
        except BaseException:
            tally.give_back(taken)
            raise
        room = MOST_VALUES - len(stored)
        stored_already = {
            name: at_ms for name, at_ms in taken.values.items() if name.encode() in stored
        }
        others = [name for name in taken.values if name not in stored_already]
        return stored_already | {name: taken.values[name] for name in others[: max(0, room)]}

    async def histograms(self) -> Mapping[tuple[str, str], Histogram]:
        """The histograms by metric and label; of metrics of another version only ours."""
        fields = await self.redis.hgetall(self.keys.named("figures"))
        values: dict[tuple[str, str], dict[str, float]] = {}
        for name, value in fields.items():
            metric, _, rest = name_in(name).partition(":")
            label, _, bucket = rest.rpartition(":")
            if metric in BOUNDS:
                values.setdefault((metric, label), {})[bucket] = read_number(value) or 0.0
        return {
            (metric, label): Histogram(
                counts=tuple(
                    int(buckets.get(str(index), 0)) for index in range(len(BOUNDS[metric]) + 1)
                ),
                sum_s=buckets.get(SUM, 0.0),
            )
            for (metric, label), buckets in values.items()
        }

    async def outcome_days(self) -> Mapping[date, Mapping[str, int]]:
        """The number of calls by day (UTC) and outcome."""
        fields = await self.redis.hgetall(self.keys.named("outcome_days"))
        days: dict[date, dict[str, int]] = {}
        for name, count in fields.items():
            text, _, outcome = name_in(name).partition(":")
            with suppress(ValueError):
                day = date.fromisoformat(text)
                days.setdefault(day, {})[outcome] = int(count)
        return days

    async def unknown_values(self) -> Mapping[tuple[str, str], datetime]:
        """When each value that no table has last came (UTC), by source and value."""
        fields = await self.redis.hgetall(self.keys.named("unknown_values"))
        values: dict[tuple[str, str], datetime] = {}
        for name, at_ms in fields.items():
            source, _, value = name_in(name).partition(":")
            if (at := read_ms(at_ms)) is not None:
                values[source, value] = at
        return values

    async def forget_old(self, now: datetime) -> None:
        """Drop days and values older than `KEEP_DAYS`."""
        # Hashes have no expiry per field before Redis 7.4.
        oldest = now.timestamp() - KEEP_DAYS * 86_400
        first_day = datetime.fromtimestamp(oldest, UTC).date().isoformat()
        days = await self.redis.hgetall(self.keys.named("outcome_days"))
        old_days = [name for name in days if name < first_day.encode()]
        if old_days:
            await self.redis.hdel(self.keys.named("outcome_days"), *old_days)
        values = await self.redis.hgetall(self.keys.named("unknown_values"))
        # What is damaged goes too.
        old_values = [
            name for name, at_ms in values.items() if (read_number(at_ms) or 0) / 1000 < oldest
        ]
        if old_values:
            await self.redis.hdel(self.keys.named("unknown_values"), *old_values)
