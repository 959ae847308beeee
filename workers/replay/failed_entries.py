"""
Failed calls and messages, chosen by id or by a filter.
"""

from service.store.connection import Store
from service.store.failed import Failed, FailedFilter


async def select_failed(
    store: Store,
    entry_filter: FailedFilter,
    *,
    entry_ids: tuple[str, ...] = (),
    limit: int | None = None,
) -> list[Failed]:
    """The failed entries with these ids, else those that pass the filter, oldest first."""
    if entry_ids:
        return await store.failed.get_many(list(dict.fromkeys(entry_ids)))
    entries: list[Failed] = []
    async for entry in store.failed.select(entry_filter):
        entries.append(entry)
        if limit is not None and len(entries) >= limit:
            break
    return entries
