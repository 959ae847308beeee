"""
Whether the telephony systems send: their subscriptions, as the vendors list them now, and sources
that have fallen silent or are off although something comes for them.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final

from service.settings import Settings
from service.sources import SOURCES
from service.store.connection import Store
from workers.cli.accounts import command_line
from workers.cli.checks.finding import Finding
from workers.cli.output import utc_text
from workers.subscriptions import VENDORS, Action, Report, VendorSpec, VendorUnavailable, is_set_up
from workers.subscriptions.reconcile import reconcile

TITLE: Final = "subscription"
TIMEOUT_S: Final = 10.0
# The states in which calls come: `unknown` is of a vendor that does not tell.
WELL: Final = frozenset({"active", "unknown", "expiring"})


async def activity_findings(settings: Settings, store: Store) -> list[Finding]:
    """Sources that are silent, or off and were not. Raises redis-py's errors."""
    last = await store.source_activity.last()
    findings = []
    for slug, source in SOURCES.items():
        is_on = bool(settings.secrets_of(slug))
        at = last.get(("message", slug))
        silent_since = last.get(("silent", slug))
        if is_on and silent_since is not None:
            detail = (
                f"{slug} has sent nothing since {utc_text(silent_since)} UTC, in hours in which it "
                f"always did: see at {source.title} that its webhook is on and goes to the address "
                f"of {command_line(settings, f'link-url {slug}')}"
            )
            findings.append(Finding("silent", is_fine=True, detail=detail, is_warning=True))
        elif not is_on and at is not None:
            detail = (
                f"{slug} is off, and sent until {utc_text(at)} UTC: its webhooks are refused now; "
                f"set {source.settings[0].name.upper()}, or switch them off at {source.title}"
            )
            findings.append(Finding("source off", is_fine=True, detail=detail, is_warning=True))
    return findings


async def subscription_findings(settings: Settings, store: Store) -> list[Finding]:
    """
    A finding for each source whose vendor can be asked; nothing is changed there, and nothing
    stored. Raises redis-py's errors.
    """
    kinds = [kind for kind in VENDORS if is_set_up(settings, kind.slug, needs=kind.needs)]
    # Each has other credentials, so that they do not wait for one another.
    reports = await asyncio.gather(*(_report(kind, settings, store) for kind in kinds))
    return [
        _finding(settings, kind.slug, report) for kind, report in zip(kinds, reports, strict=True)
    ]


async def _report(kind: VendorSpec, settings: Settings, store: Store) -> Report | None:
    """What the vendor lists; None if it does not answer in time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await reconcile(kind, settings, store, clock=_now, is_dry_run=True)
    except TimeoutError:
        return None


def _finding(settings: Settings, slug: str, report: Report | None) -> Finding:
    if report is None or isinstance(report.fault, VendorUnavailable):
        detail = f"{slug}: the vendor did not answer; run this again"
        return Finding(TITLE, is_fine=True, detail=detail, is_warning=True)
    if report.fault is not None:
        return Finding(TITLE, is_fine=False, detail=f"{slug}: {report.fault}")
    by_hand = [step.why for step in report.left if step.action is Action.BY_HAND]
    if by_hand:
        detail = f"{slug}: to be done by hand: {'; '.join(by_hand)}"
        return Finding(TITLE, is_fine=report.state.state in WELL, detail=detail, is_warning=True)
    if report.state.state in WELL and not report.left:
        return Finding(TITLE, is_fine=True, detail=f"{slug}: {report.state.state}")
    command = command_line(settings, f"subscriptions ensure {slug}")
    why = "; ".join(step.why for step in report.left) or report.state.detail or "no calls come"
    detail = f"{slug}: {report.state.state}: {why}; a worker corrects it within ten minutes, or: "
    return Finding(
        TITLE, is_fine=report.state.state in WELL, detail=detail + command, is_warning=True
    )


def _now() -> datetime:
    return datetime.now(UTC)
