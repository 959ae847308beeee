"""
The worker's part: every source whose API is set up is looked after every ten minutes, by one worker
at a time.

Whatever goes wrong is logged, kept as the source's state, and tried again in the next turn; it
never disturbs the worker.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import httpx
import structlog
from redis.exceptions import RedisError

from service.logs.events import LogEvent
from service.settings import Settings
from service.store.connection import Store
from service.store.subscriptions import UpkeepState
from workers.subscriptions.errors import VendorBusy, VendorUnavailable
from workers.subscriptions.reconcile import (
    Report,
    VendorSpec,
    lease,
    reconcile,
    settings_of,
)
from workers.subscriptions.target import is_set_up
from workers.subscriptions.types import DONE, Action, Step

EVERY_S: Final = 600.0
# Turns are counted from the end of the last one; the first in the fleet to come must find that it
# is due.
DUPLICATE: Final = timedelta(seconds=5)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionReconciler:
    """Looks after the sources of one account."""

    settings: Settings
    store: Store
    clock: Callable[[], datetime]
    kinds: Sequence[VendorSpec]
    transport: httpx.AsyncBaseTransport | None = None

    async def turn(self) -> None:
        """
        Look after each source that is on, is set up for it, and is due. Raises redis-py's errors.
        """
        for kind in self.kinds:
            if not (
                is_set_up(self.settings, kind.slug, needs=kind.needs)
                and self.settings.secrets_of(kind.slug)
            ):
                continue
            try:
                await self._look_after(kind)
            except (RedisError, OSError):
                raise
            except Exception:
                # A bug that one vendor's answer brings to light is no reason to leave the others
                # alone, still less the calls.
                log.exception(LogEvent.SUBSCRIPTION_FAILED, source=kind.slug)

    async def _look_after(self, kind: VendorSpec) -> None:
        async with lease(self.store, kind.slug) as is_ours:
            last = (await self.store.upkeep.all()).get(kind.slug)
            if is_ours and self._is_due(kind, last):
                _log(
                    await reconcile(
                        kind,
                        self.settings,
                        self.store,
                        clock=self.clock,
                        holds=True,
                        transport=self.transport,
                    ),
                    last,
                )

    def _is_due(self, kind: VendorSpec, last: UpkeepState | None) -> bool:
        """Whether nobody in the fleet has looked lately, or only with other settings."""
        if last is None or last.settings != settings_of(kind, self.settings):
            return True
        return (
            not timedelta()
            <= self.clock() - last.checked_at
            < timedelta(seconds=EVERY_S) - DUPLICATE
        )


def _log(report: Report, last: UpkeepState | None) -> None:
    for step in report.done:
        event = LogEvent(f"subscription.{DONE[step.action]}")
        log.info(event, source=report.slug, reason=step.why, **_named(step))
    if report.fault is not None:
        is_passing = isinstance(report.fault, VendorUnavailable | VendorBusy)
        log.warning(
            LogEvent.SUBSCRIPTION_UNREACHABLE if is_passing else LogEvent.SUBSCRIPTION_FAILED,
            source=report.slug,
            reason=str(report.fault),
        )
    elif last is None or last.detail != report.state.detail:
        # What a person has to do is said once, and again when something else is to be done.
        for step in report.left:
            if step.action is Action.BY_HAND:
                log.warning(
                    LogEvent.SUBSCRIPTION_NEEDS_A_PERSON,
                    source=report.slug,
                    reason=step.why,
                    **_named(step),
                )


def _named(step: Step) -> dict[str, str]:
    existing = step.subscription
    return (
        {}
        if existing is None
        else {"subscription_id": existing.subscription_id, "address": existing.address}
    )
