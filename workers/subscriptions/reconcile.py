"""
Looks after the subscriptions of one source: what is there, what should be, the steps between, and
doing them.

The decision is a pure function, so that a dry run and the real run cannot differ. Nothing that is
not ours is ever touched.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import httpx
from redis.exceptions import RedisError

from service.settings import Settings
from service.store.connection import Store
from service.store.subscriptions import UpkeepState
from workers.subscriptions.errors import NotReady, UpkeepError, VendorUnavailable
from workers.subscriptions.target import Target, target_of
from workers.subscriptions.types import (
    LIVING,
    WHY,
    Action,
    Issue,
    State,
    Step,
    Subscription,
    Vendor,
)

# A turn ends by itself well before anybody else may take one.
TURN_S: Final = 60.0
LEASE_S: Final = 90.0
FAILED: Final = "failed"
MISSING: Final = "missing"
UNSEEN: Final = "what was changed does not show at the vendor yet"
# A vendor that never lists what was made would otherwise be given one more in every turn.
HOLD: Final = timedelta(days=7)
HELD: Final = (
    "one was made on {day}, but the vendor does not list it: look there; `buildr-calls "
    "subscriptions ensure {slug}` makes another"
)

Save = Callable[[str], None]


class Make(Protocol):
    """Makes a vendor for one turn."""

    def __call__(
        self, target: Target, save: Save | None, transport: httpx.AsyncBaseTransport | None
    ) -> Vendor:
        """The vendor's API with the target's credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorSpec:
    """
    A vendor whose subscriptions can be looked after.

    `needs` are the settings of its API without which it cannot be asked. Where it
    `vendor_issues_secret`, the vendor chooses the secret, and there may be none yet.
    """

    slug: str
    needs: tuple[str, ...]
    make: Make
    vendor_issues_secret: bool = False

    def target(self, settings: Settings, given: Mapping[str, str]) -> Target:
        """What is wanted. Raises `NotReady`."""
        return target_of(
            settings,
            self.slug,
            needs=self.needs,
            wants_secret=not self.vendor_issues_secret,
            given=given,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    What a turn has found and done: `done` are the steps that were taken, `left` those that were
    not, be it that a person has to take them, that only a dry run was wanted, or that the `fault`
    came before.
    """

    slug: str
    state: UpkeepState
    found: tuple[Subscription, ...] = ()
    done: tuple[Step, ...] = ()
    left: tuple[Step, ...] = ()
    fault: UpkeepError | None = None


def plan(
    found: Sequence[Subscription], ways: Mapping[Issue, Action], by_hand: str
) -> tuple[Step, ...]:
    """What is to be done about the subscriptions that were found."""
    steps: list[Step] = []
    stored: list[Subscription] = []
    for entry in sorted((item for item in found if item.is_ours), key=_rank):
        if any(_covers(other, entry) for other in stored):
            if entry.is_fixed:
                continue
            if Issue.DUPLICATE in ways:
                steps.append(
                    Step(action=ways[Issue.DUPLICATE], why=WHY[Issue.DUPLICATE], subscription=entry)
                )
                continue
        stored.append(entry)
        steps += _cure(entry, ways, by_hand)
    if not any(entry.has_calls for entry in stored):
        steps.insert(0, _step(Issue.MISSING, ways.get(Issue.MISSING), by_hand, None))
    return tuple(steps)


async def reconcile(
    kind: VendorSpec,
    settings: Settings,
    store: Store,
    *,
    clock: Callable[[], datetime],
    is_dry_run: bool = False,
    holds: bool = False,
    save: Save | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Report:
    """
    Look after a source once, and keep how it stands; a dry run only looks, and keeps nothing. Where
    it `holds`, none is made for a while after one that the vendor does not list.

    Whoever calls it holds the right to (see `lease`), unless it is a dry run. Raises redis-py's
    errors only.
    """
    last = (await store.upkeep.all()).get(kind.slug)
    turn = _Reconciliation(
        given=dict(last.given) if last is not None else {},
        unseen_since=last.unseen_since if last is not None else None,
    )
    try:
        target = kind.target(settings, turn.given)
        turn.settings = target.settings
        async with asyncio.timeout(TURN_S):
            await turn.run(
                kind.make(target, save, transport),
                target,
                clock,
                is_dry_run=is_dry_run,
                holds=holds,
            )
    except UpkeepError as err:
        turn.fault = err
    except TimeoutError:
        turn.fault = VendorUnavailable(f"{kind.slug} was not through within {TURN_S:g} s")
    report = turn.report(kind, clock())
    if not is_dry_run:
        await store.upkeep.save(kind.slug, report.state)
    return report


def settings_of(kind: VendorSpec, settings: Settings) -> str:
    """
    A name for the settings by which a source would be looked after; empty while some are missing.
    """
    try:
        return kind.target(settings, {}).settings
    except NotReady:
        return ""


@asynccontextmanager
async def lease(store: Store, slug: str) -> AsyncIterator[bool]:
    """
    The right to look after a source, given back in the end; False if another process has it. Raises
    redis-py's errors.
    """
    is_ours = await store.upkeep.lock(slug, ttl_s=LEASE_S)
    try:
        yield is_ours
    finally:
        if is_ours:
            # It runs out by itself.
            with suppress(RedisError, OSError, TimeoutError):
                await store.upkeep.unlock(slug)


class _Reconciliation:
    """One turn while it goes on; what it has done is known whenever it breaks off."""

    def __init__(self, *, given: dict[str, str], unseen_since: datetime | None) -> None:
        self.given = given
        self.unseen_since = unseen_since
        self.settings = ""
        self.found: list[Subscription] = []
        self.done: list[Step] = []
        self.left: tuple[Step, ...] = ()
        self.is_settled = True
        self.fault: UpkeepError | None = None

    async def run(
        self,
        vendor: Vendor,
        target: Target,
        clock: Callable[[], datetime],
        *,
        is_dry_run: bool,
        holds: bool,
    ) -> None:
        """Look, decide, do, and look once more if anything was done."""
        try:
            await self._look(vendor, clock())
            if holds and self.unseen_since is not None and clock() - self.unseen_since < HOLD:
                self.left = tuple(_held(step, self.unseen_since, target.slug) for step in self.left)
            if is_dry_run:
                return
            for step in self.left:
                if step.action is not Action.BY_HAND:
                    await self._take(step, vendor, target)
                    self.left = tuple(entry for entry in self.left if entry is not step)
            if self.done:
                await self._look(vendor, clock())
                self.is_settled = all(
                    step.action in {Action.BY_HAND, Action.SAVE} for step in self.left
                )
                if any(step.action is Action.CREATE for step in self.left):
                    self.unseen_since = clock()
            ours = {item.subscription_id for item in self.found if item.is_ours}
            for gone in self.given.keys() - ours:
                del self.given[gone]
        finally:
            await vendor.close()

    async def _look(self, vendor: Vendor, now: datetime) -> None:
        self.found = await vendor.found(now)
        self.left = plan(self.found, vendor.ways, vendor.by_hand)
        if any(item.is_ours and item.has_calls for item in self.found):
            self.unseen_since = None

    async def _take(self, step: Step, vendor: Vendor, target: Target) -> None:
        """Take one step. Raises `UpkeepError`."""
        existing = step.subscription
        if step.action is Action.CREATE:
            self._remember(await vendor.create(None), target)
        elif existing is None:
            raise NotReady("there is nothing to be changed")
        elif step.action is Action.RECREATE:
            await vendor.remove(existing)
            self._remember(await vendor.create(existing), target)
        elif step.action is Action.REPLACE:
            self._remember(await vendor.create(existing), target)
            await vendor.remove(existing)
        elif step.action is Action.REMOVE:
            await vendor.remove(existing)
        elif step.action is Action.SAVE:
            await vendor.save_token(existing)
        else:
            await vendor.put(existing)
            self._remember(existing.subscription_id, target)
        self.done.append(step)

    def _remember(self, subscription_id: str, target: Target) -> None:
        if target.secrets:
            self.given[subscription_id] = target.fingerprint(subscription_id)

    def report(self, kind: VendorSpec, now: datetime) -> Report:
        """What has become of it."""
        best = min(
            (item for item in self.found if item.is_ours and item.has_calls),
            key=_rank,
            default=None,
        )
        hand = next((step.why for step in self.left if step.action is Action.BY_HAND), None)
        detail = (
            hand
            or (best.detail if best is not None else None)
            or (None if self.is_settled else UNSEEN)
        )
        state = MISSING if best is None else best.state.value
        if self.fault is not None:
            state = FAILED
            detail = str(self.fault)
        return Report(
            slug=kind.slug,
            state=UpkeepState(
                checked_at=now,
                state=state,
                expires_at=None if best is None or self.fault is not None else best.expires_at,
                detail=detail,
                settings=self.settings,
                given=self.given,
                unseen_since=self.unseen_since,
            ),
            found=tuple(self.found),
            done=tuple(self.done),
            left=self.left,
            fault=self.fault,
        )


def _held(step: Step, since: datetime, slug: str) -> Step:
    """The same step, left to a person if it would make one more."""
    return (
        Step(action=Action.BY_HAND, why=HELD.format(day=since.date(), slug=slug))
        if step.action is Action.CREATE
        else step
    )


def _rank(each: Subscription) -> tuple[bool, bool, int, float, str]:
    """What is worth more comes first: alive, sound, bringing more, lasting longer."""
    lasts_until = each.expires_at.timestamp() if each.expires_at is not None else 0.0
    return (
        each.state not in LIVING,
        bool(each.troubles),
        -len(each.events),
        -lasts_until,
        each.subscription_id,
    )


def _covers(other: Subscription, each: Subscription) -> bool:
    """Whether one brings all that another does, to the same people."""
    is_more = each.events <= other.events and each.has_calls <= other.has_calls
    return other.state in LIVING and bool(each.events) and is_more and each.scope == other.scope


def _cure(each: Subscription, ways: Mapping[Issue, Action], by_hand: str) -> list[Step]:
    if not each.troubles:
        return []
    gravest = min(each.troubles, key=list(Issue).index)
    return [_step(gravest, None if each.is_fixed else ways.get(gravest), by_hand, each)]


def _step(
    trouble: Issue, action: Action | None, by_hand: str, subscription: Subscription | None
) -> Step:
    why = WHY[trouble]
    if (
        subscription is not None
        and subscription.detail is not None
        and subscription.state is not State.UNKNOWN
    ):
        why += f" ({subscription.detail})"
    if action is None:
        return Step(action=Action.BY_HAND, why=f"{why}: {by_hand}", subscription=subscription)
    return Step(action=action, why=why, subscription=subscription)
