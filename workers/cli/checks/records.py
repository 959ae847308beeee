"""
What `check` reads of an account's records: workers that are alive, and requests that were refused.
"""

from service.counts import counted
from service.store.connection import Store
from workers.cli.checks.finding import Finding
from workers.cli.refused_report import refused_sentence


async def worker_finding(store: Store) -> Finding:
    """Whether a worker is alive. Raises redis-py's errors."""
    count = await store.workers.count()
    if count:
        return Finding("workers", is_fine=True, detail=f"{count} alive")
    unread, _ = await store.messages.waiting()
    if unread:
        waiting = counted(unread, "message waits", "messages wait")
        detail = f"none is alive, and {waiting} for one: start buildr-calls work"
        return Finding("workers", is_fine=False, detail=detail)
    detail = "none is alive, so that no message would be read: start buildr-calls work"
    return Finding("workers", is_fine=True, detail=detail, is_warning=True)


async def refused_finding(store: Store) -> Finding:
    """What was refused within a day. Raises redis-py's errors."""
    sentences = await refused_sentence(store, "")
    if not sentences:
        return Finding("refused", is_fine=True, detail="no request within a day")
    detail = "; ".join([*sentences, "see: buildr-calls refused list"])
    return Finding("refused", is_fine=True, detail=detail, is_warning=True)
