"""
Requests that the receiver refused before their sender was proved.
"""

from datetime import timedelta
from typing import Final

from starlette.responses import Response

from service.clock import utc_now
from service.sources import SOURCES
from service.store.refused import MOST, UNKNOWN, summed
from workers.console.parts import Visit

SHOWN: Final = 100
DAY: Final = timedelta(days=1)


async def show(visit: Visit) -> Response:
    """`GET refused`: summed by kind, the one that came last first."""
    source = visit.query("source")
    entries = await visit.store.refused.recent(source=source or None, limit=MOST)
    kinds = summed(entries)
    return visit.page(
        "refused",
        "Refused",
        kinds=kinds[:SHOWN],
        total=sum(kind.count for kind in kinds),
        recent=sum(entry.count for entry in entries if entry.last_at > utc_now() - DAY),
        source=source,
        sources=[*sorted(SOURCES), UNKNOWN],
        # Requests of a wrong path name no account.
        is_first=visit.account is visit.parts.first_account,
    )
