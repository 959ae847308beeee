"""
The part of `buildr-calls check` that tries the credentials for vendors' call logs.
"""

from service.clock import utc_now
from service.settings import Settings
from workers.backfill import LOGS
from workers.backfill.rights import LogRights, check_logs
from workers.cli.checks.finding import Finding

NAME = "call log"


async def call_log_findings(settings: Settings) -> list[Finding]:
    """A finding for each call log whose credentials are set, or some of them."""
    return [_finding(rights) for rights in await check_logs(settings, LOGS, now=utc_now())]


def _finding(rights: LogRights) -> Finding:
    if rights.fault is None:
        return Finding(NAME, is_fine=True, detail=f"{rights.slug}: may be read")
    return Finding(
        NAME,
        is_fine=rights.is_passing,
        detail=f"{rights.slug}: {rights.fault}",
        is_warning=rights.is_passing,
    )
