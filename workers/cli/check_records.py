"""
What `check` reads of an account's records: workers that are alive, and requests that were refused.
"""

from typing import Final

from service.settings import Settings
from service.sources import SOURCES
from service.store.connection import Store
from workers.cli.finding import Finding
from workers.cli.refused_report import refused_sentence

QUOTES: Final = frozenset({"'", '"'})


async def record_findings(settings: Settings, store: Store) -> list[Finding]:
    """Reads only. Raises redis-py's errors."""
    return [await _workers(store), await _refused(store), *_quoted_secrets(settings)]


async def _workers(store: Store) -> Finding:
    count = await store.workers.count()
    if count:
        return Finding("workers", is_fine=True, detail=f"{count} alive")
    unread, _ = await store.messages.waiting()
    if unread:
        detail = f"none is alive, and {unread} messages wait for one: start buildr-calls work"
        return Finding("workers", is_fine=False, detail=detail)
    detail = "none is alive, so that no message would be read: start buildr-calls work"
    return Finding("workers", is_fine=True, detail=detail, is_warning=True)


async def _refused(store: Store) -> Finding:
    sentences = await refused_sentence(store, "")
    if not sentences:
        return Finding("refused", is_fine=True, detail="no request within a day")
    detail = "; ".join([*sentences, "see: buildr-calls refused list"])
    return Finding("refused", is_fine=True, detail=detail, is_warning=True)


def _quoted_secrets(settings: Settings) -> list[Finding]:
    names = [slug for slug in SOURCES if any(map(_is_quoted, settings.secrets_of(slug).values))]
    if not names:
        return []
    detail = f"the secret of {', '.join(names)} is in quotes, which count: write it without them"
    return [Finding("secret quotes", is_fine=False, detail=detail)]


def _is_quoted(value: str) -> bool:
    return value[:1] in QUOTES and value[:1] == value[-1:]
