"""
The worker's part: every source whose API is set up is reconciled every ten minutes, by one worker
at a time.

Whatever goes wrong is logged, stored as the source's state, and tried again, first after 15 s, then
after growing pauses; it never stops the worker.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import httpx
import structlog
from msgspec import Struct
from redis.exceptions import RedisError

from service.logs.events import LogEvent
from service.settings import Settings
from service.store.connection import Store
from service.store.subscriptions import UpkeepState
from workers.subscriptions.errors import VendorBusy, VendorUnavailable
from workers.subscriptions.reconcile import lease, reconcile
from workers.subscriptions.report import FAILED, Report
from workers.subscriptions.spec import VendorSpec
from workers.subscriptions.target import is_set_up
from workers.subscriptions.types import DONE, Action, Step

# RingCentral blacklists an address after some ten minutes of errors: within as many more it is made
# anew.
EVERY_S: Final = 600.0
# How often a worker looks which source is due.
CHECK_EVERY_S: Final = 15.0
# A vendor proves an address when it subscribes it: with a receiver that starts at the same time as
# the worker the first try fails, and calls would be missing for ten minutes.
FIRST_RETRY_S: Final = 15.0
# From here on the pause is `EVERY_S`; it keeps the power of two a small number.
MAX_DOUBLINGS: Final = 6
# The interval counts from the end of the last reconciliation, by any worker. The margin makes sure
# that the first worker to run after it finds the source due, and does not wait for its next run.
MARGIN: Final = timedelta(seconds=5)

log = structlog.get_logger(__name__)


class SubscriptionReconciler(Struct, frozen=True, kw_only=True):
    """Reconciles the subscriptions of one account's sources."""

    settings: Settings
    store: Store
    clock: Callable[[], datetime]
    vendors: Sequence[VendorSpec]
    transport: httpx.AsyncBaseTransport | None = None

    async def reconcile_due(self) -> None:
        """
        Reconcile each source that is on, has its API set up, and is due. Raises redis-py's errors.
        """
        states = await self.store.upkeep.all()
        for vendor_spec in self.vendors:
            if not self._is_on(vendor_spec):
                continue
            last = states.get(vendor_spec.slug)
            if not self._is_due(vendor_spec, last):
                continue
            try:
                await self._reconcile_if_due(vendor_spec)
            # For `run_every`, which logs it. The vendors are asked with httpx, whose errors do not
            # come here.
            except (RedisError, OSError):
                raise
            except Exception:
                # A bug that one vendor's answer brings to light must stop neither the other
                # vendors nor the worker.
                log.exception(LogEvent.SUBSCRIPTION_FAILED, source=vendor_spec.slug)
                await self._note_bug(vendor_spec, last)

    async def _note_bug(self, vendor_spec: VendorSpec, last: UpkeepState | None) -> None:
        """Have the next try wait, as after any other failure."""
        now = self.clock()
        before = last or UpkeepState(checked_at=now, state=FAILED)
        state = UpkeepState(
            checked_at=now,
            state=FAILED,
            detail="a fault of this program: see the worker's log",
            settings=vendor_spec.settings_fingerprint(self.settings),
            given=before.given,
            unseen_since=before.unseen_since,
            failures=before.failures + 1,
        )
        await self.store.upkeep.save(vendor_spec.slug, state)

    def _is_on(self, vendor_spec: VendorSpec) -> bool:
        slug = vendor_spec.slug
        has_api = is_set_up(self.settings, slug, needs=vendor_spec.needs)
        return has_api and bool(self.settings.secrets_of(slug))

    async def _reconcile_if_due(self, vendor_spec: VendorSpec) -> None:
        async with lease(self.store, vendor_spec.slug) as is_ours:
            # Read under the lease: another worker may just have finished.
            last = (await self.store.upkeep.all()).get(vendor_spec.slug)
            if not is_ours or not self._is_due(vendor_spec, last):
                return
            report = await reconcile(
                vendor_spec,
                self.settings,
                self.store,
                clock=self.clock,
                waits_for_listing=True,
                transport=self.transport,
            )
            _log(report, last)

    def _is_due(self, vendor_spec: VendorSpec, last: UpkeepState | None) -> bool:
        """Whether no worker has reconciled it lately, or only with other settings."""
        if last is None or last.settings != vendor_spec.settings_fingerprint(self.settings):
            return True
        age = self.clock() - last.checked_at
        # A time in the future is from a clock that was wrong.
        is_recent = timedelta() <= age < _interval(last) - MARGIN
        return not is_recent


def _interval(last: UpkeepState) -> timedelta:
    """From one reconciliation to the next: ten minutes, less after the first failures."""
    if last.failures == 0:
        return timedelta(seconds=EVERY_S)
    doublings = min(last.failures - 1, MAX_DOUBLINGS)
    return timedelta(seconds=min(EVERY_S, FIRST_RETRY_S * 2.0**doublings))


def _log(report: Report, last: UpkeepState | None) -> None:
    for step in report.done:
        event = LogEvent(f"subscription.{DONE[step.action]}")
        log.info(event, source=report.slug, reason=step.why, **_subscription_keys(step))
    if report.fault is not None:
        event = LogEvent.SUBSCRIPTION_FAILED
        if isinstance(report.fault, VendorUnavailable | VendorBusy):
            event = LogEvent.SUBSCRIPTION_UNREACHABLE
        log.warning(event, source=report.slug, reason=str(report.fault))
    elif last is None or last.detail != report.state.detail:
        # An operator's steps are logged once, and again when they change.
        _log_manual_steps(report)


def _log_manual_steps(report: Report) -> None:
    for step in report.left:
        if step.action is Action.BY_HAND:
            event = LogEvent.SUBSCRIPTION_NEEDS_A_PERSON
            log.warning(event, source=report.slug, reason=step.why, **_subscription_keys(step))


def _subscription_keys(step: Step) -> dict[str, str]:
    if step.subscription is None:
        return {}
    return {
        "subscription_id": step.subscription.subscription_id,
        "address": step.subscription.address,
    }
