"""
Reconciles the subscriptions of one source: list them, plan the steps, take them, list again.

Nothing that is not ours is ever touched.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final

import httpx
from msgspec import Struct
from redis.exceptions import RedisError

from service.settings import Settings
from service.store.connection import Store
from workers.subscriptions.errors import NotReady, UpkeepError, VendorUnavailable
from workers.subscriptions.plan import plan_steps
from workers.subscriptions.report import Progress, Report, make_report
from workers.subscriptions.spec import Save, VendorSpec
from workers.subscriptions.target import Target
from workers.subscriptions.types import Action, Step, Subscription, Vendor

# A reconciliation ends by itself well before the lease runs out and another process may start one.
TURN_S: Final = 60.0
LEASE_S: Final = 90.0
# A vendor that never lists what was made would otherwise be given one more every ten minutes.
HOLD: Final = timedelta(days=7)
HELD: Final = (
    "one was made on {day}, but the vendor does not list it: look there; `buildr-calls "
    "subscriptions ensure {slug}` makes another"
)


async def reconcile(
    vendor_spec: VendorSpec,
    settings: Settings,
    store: Store,
    *,
    clock: Callable[[], datetime],
    is_dry_run: bool = False,
    waits_for_listing: bool = False,
    save: Save | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Report:
    """
    Reconcile a source once, and store its state; a dry run changes nothing and stores nothing.
    Where it `waits_for_listing`, none is made for `HOLD` after one that the vendor does not list.

    The caller holds the lease (see `lease`), unless it is a dry run. What goes wrong at the vendor
    is the report's `fault`. Raises redis-py's errors only.
    """
    slug = vendor_spec.slug
    last = (await store.upkeep.all()).get(slug)
    progress = Progress(secret_fingerprints={}, unseen_since=None)
    if last is not None:
        progress.secret_fingerprints.update(last.given)
        progress.unseen_since = last.unseen_since
        progress.failures = last.failures
    try:
        target = vendor_spec.target(settings, progress.secret_fingerprints)
        progress.settings = target.settings
        async with asyncio.timeout(TURN_S):
            vendor = vendor_spec.connect(target, save, transport)
            reconciliation = _Reconciliation(vendor, target, clock, progress)
            await reconciliation.run(is_dry_run=is_dry_run, waits_for_listing=waits_for_listing)
    except UpkeepError as err:
        progress.fault = err
    # What was done until then is in `progress` and is reported; the next turn goes on from the
    # vendor's own list.
    except TimeoutError:
        progress.fault = VendorUnavailable(f"{slug} was not through within {TURN_S:g} s")
    report = make_report(slug, progress, clock())
    if not is_dry_run:
        await store.upkeep.save(slug, report.state)
    return report


@asynccontextmanager
async def lease(store: Store, slug: str) -> AsyncIterator[bool]:
    """
    The lease on a source's subscriptions, released at the end; False if another process has it.
    Raises redis-py's errors.
    """
    is_ours = await store.upkeep.lock(slug, ttl_s=LEASE_S)
    try:
        yield is_ours
    finally:
        if is_ours:
            # It runs out by itself.
            with suppress(RedisError, OSError, TimeoutError):
                await store.upkeep.unlock(slug)


class _Reconciliation(Struct, frozen=True):
    """The steps of one reconciliation; everything that it learns and does goes to `progress`."""

    vendor: Vendor
    target: Target
    clock: Callable[[], datetime]
    progress: Progress

    async def run(self, *, is_dry_run: bool, waits_for_listing: bool) -> None:
        """List, plan, and unless it is a dry run: take the steps. Raises `UpkeepError`."""
        try:
            await self._list_and_plan()
            if waits_for_listing:
                self._hold_creation()
            if is_dry_run:
                return
            await self._take_steps()
            if self.progress.done:
                await self._check_result()
            # Not after a fault: what was not listed is not known to be gone.
            self._forget_removed()
        finally:
            await self.vendor.close()

    async def _list_and_plan(self) -> None:
        progress = self.progress
        progress.subscriptions = await self.vendor.list_subscriptions(self.clock())
        progress.left = plan_steps(
            progress.subscriptions, self.vendor.supported_fixes, self.vendor.by_hand
        )
        if any(item.is_ours and item.has_calls for item in progress.subscriptions):
            progress.unseen_since = None

    def _hold_creation(self) -> None:
        """Leave the making of one more to an operator while the last one is not listed."""
        since = self.progress.unseen_since
        if since is None or self.clock() - since >= HOLD:
            return
        why = HELD.format(day=since.date(), slug=self.target.slug)
        steps = list(self.progress.left)
        for position, step in enumerate(steps):
            if step.action is Action.CREATE:
                steps[position] = Step(action=Action.BY_HAND, why=why)
        self.progress.left = tuple(steps)

    async def _take_steps(self) -> None:
        for step in self.progress.left:
            if step.action is Action.BY_HAND:
                continue
            await self._take(step)
            # One by one, so that a fault in the middle leaves a true account of what was done.
            self.progress.done.append(step)
            self.progress.left = tuple(item for item in self.progress.left if item is not step)

    async def _check_result(self) -> None:
        """List once more: what was changed should need no further step."""
        await self._list_and_plan()
        actions = {step.action for step in self.progress.left}
        self.progress.is_settled = actions <= {Action.BY_HAND, Action.SAVE}
        # It was made and is not listed. Some vendors list late; one that never does would get
        # another subscription with each turn.
        if Action.CREATE in actions:
            self.progress.unseen_since = self.clock()

    def _forget_removed(self) -> None:
        """Drop the fingerprints of subscriptions that the vendor has no more."""
        ours = {item.subscription_id for item in self.progress.subscriptions if item.is_ours}
        fingerprints = self.progress.secret_fingerprints
        for subscription_id in fingerprints.keys() - ours:
            del fingerprints[subscription_id]

    async def _take(self, step: Step) -> None:
        """Take one step. Raises `UpkeepError`."""
        if step.action is Action.CREATE:
            await self._create(None)
        elif step.subscription is None:
            raise NotReady("there is nothing to be changed")
        else:
            await self._change(step.action, step.subscription)

    async def _change(self, action: Action, subscription: Subscription) -> None:
        vendor = self.vendor
        match action:
            case Action.RECREATE:
                await vendor.remove(subscription)
                await self._create(subscription)
            case Action.REPLACE:
                await self._create(subscription)
                await vendor.remove(subscription)
            case Action.REMOVE:
                await vendor.remove(subscription)
            case Action.SAVE:
                await vendor.save_token(subscription)
            case _:
                await vendor.update(subscription)
                self._remember_secret(subscription.subscription_id)

    async def _create(self, like: Subscription | None) -> None:
        self._remember_secret(await self.vendor.create(like))

    def _remember_secret(self, subscription_id: str) -> None:
        if self.target.secrets:
            fingerprint = self.target.fingerprint(subscription_id)
            self.progress.secret_fingerprints[subscription_id] = fingerprint
