"""
The index of calls by their names: forwards for the beginning of an id, backwards for its end.

A sorted set of all names would take 130 bytes for each of them. The names are in pages of up to
120, which Redis packs into little more than the letters, and a small sorted set has the first name
of each page. `ids.lua` keeps it: a worker's first commit of a call writes it, not the receiver.

A call that no worker has read yet is found among the newest calls, and so is a part from the middle
of an id, up to a bound.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from service.store import index_scripts
from service.store.keys import Keys, name_in
from service.store.redis_client import Client
from service.store.script_runner import Scripts

# The newest calls whose names are compared whole: some 60 ms of Redis, in steps of a few.
MOST_COMPARED: Final = 50_000
COMPARED_PER_STEP: Final = 5_000
# Names that are written by one script: some milliseconds of Redis.
WRITTEN_PER_STEP: Final = 100
# Names that may have expired, for each that is asked for.
SPARE: Final = 2
LOWEST_PAGE: Final = ""


class CallIds(Struct, frozen=True):
    """Finds the names of calls; some of them may have expired."""

    redis: Client
    keys: Keys
    scripts: Scripts

    async def find(self, part: str, *, sources: Iterable[str], limit: int) -> list[str]:
        """
        Names that begin or end with a text, their source included or not, and names of the 5,000
        newest calls that contain it; if there are none, of the 50,000 newest. Sorted, at most
        `limit` for each way to find them and some to spare.
        """
        beginnings = [part, *(f"{source}:{part}" for source in sources)]
        call = index_scripts.find_ids(limit=limit * SPARE, ending=part, beginnings=beginnings)
        by_index = await self.scripts.run(call)
        names = set(by_index)
        for start in range(0, MOST_COMPARED, COMPARED_PER_STEP):
            compared, some = await self.scripts.run(
                index_scripts.newest_ids(start=start, count=COMPARED_PER_STEP, part=part)
            )
            names.update(some)
            if names or compared < COMPARED_PER_STEP:
                break
        return sorted(names)

    async def add(self, refs: Sequence[str]) -> None:
        """Put calls into the index, if they are still kept."""
        for some in _steps(refs):
            await self.scripts.run(index_scripts.add_ids(refs=some))

    async def drop_expired(self, refs: Sequence[str]) -> int:
        """Take those that are kept no more out of the index, and say how many."""
        calls = (index_scripts.drop_ids(refs=some) for some in _steps(refs))
        return sum([await self.scripts.run(call) for call in calls])

    async def next_page(self, first: str | None) -> tuple[list[str], str | None]:
        """
        The names of a page, and the first name of the page behind it, None for the last one.
        `first` is what the call before returned; None for the lowest page.
        """
        page = first or LOWEST_PAGE
        names = await self.redis.zrange(self.keys.named(f"ids:{page}"), 0, -1)
        behind = await self.redis.zrangebylex(
            self.keys.named("ids"), f"({page}", "+", start=0, num=1
        )
        next_first = None
        if behind:
            next_first = name_in(behind[0])
        return [name_in(name) for name in names], next_first


def _steps(refs: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(refs), WRITTEN_PER_STEP):
        yield refs[start : start + WRITTEN_PER_STEP]
