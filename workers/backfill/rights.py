"""
Whether the credentials of an account may read the call logs that they are for.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import httpx
from msgspec import Struct

from service.settings import Settings
from workers.backfill.sources import LogSource
from workers.subscriptions.errors import UpkeepError, VendorBusy, VendorUnavailable

# For all logs together, which are asked at once: an operator waits for it.
TIMEOUT_S: Final = 5.0


class LogRights(Struct, frozen=True, kw_only=True):
    """
    What became of a trial to read a source's call log: `fault` is what is wrong, with its cure, or
    None. `is_passing`: the vendor did not answer, which says nothing of the credentials.
    """

    slug: str
    fault: str | None = None
    is_passing: bool = False


async def check_logs(
    settings: Settings,
    sources: Mapping[str, LogSource],
    *,
    now: datetime,
    transport: httpx.AsyncBaseTransport | None = None,
) -> list[LogRights]:
    """Try the logs of an account for which credentials are set; takes some seconds at most."""
    trials = [
        _check_log(source, settings, now=now, transport=transport)
        for source in sources.values()
        if source.has_credentials(settings)
    ]
    return list(await asyncio.gather(*trials))


async def _check_log(
    source: LogSource,
    settings: Settings,
    *,
    now: datetime,
    transport: httpx.AsyncBaseTransport | None,
) -> LogRights:
    try:
        call_log = source.connect(settings, is_patient=False, transport=transport)
    except UpkeepError as err:
        return LogRights(slug=source.slug, fault=str(err))
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await call_log.check_rights(now)
    except TimeoutError:
        fault = f"no answer within {TIMEOUT_S:g} s"
        return LogRights(slug=source.slug, fault=fault, is_passing=True)
    except (VendorBusy, VendorUnavailable) as err:
        return LogRights(slug=source.slug, fault=str(err), is_passing=True)
    except UpkeepError as err:
        return LogRights(slug=source.slug, fault=str(err))
    finally:
        await call_log.close()
    return LogRights(slug=source.slug)
