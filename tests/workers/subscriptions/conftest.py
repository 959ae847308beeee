"""
What the tests of the upkeep share: for each vendor its stand-in, what is wanted of it, and turns
over a real Redis.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from service.settings import Settings
from service.store.connection import Store
from tests.doubles.vendors.aircall import Aircall
from tests.doubles.vendors.dialpad import Dialpad
from tests.doubles.vendors.ringcentral import RingCentral
from tests.doubles.vendors.serving import StandIn, running
from tests.doubles.vendors.zoom import Zoom
from workers.subscriptions import (
    VENDORS,
    Report,
    Save,
    VendorSpec,
)
from workers.subscriptions.reconcile import reconcile
from workers.subscriptions.target import Target

HOST = "https://hooks.example.test"
NEW = "1" * 32
OLD = "2" * 32
START = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
SECRET = "the-secret-of-the-source-0000"
KINDS = {kind.slug: kind for kind in VENDORS}


@dataclass
class Clock:
    """A clock that is fixed until it is moved."""

    now: datetime = START

    def __call__(self) -> datetime:
        """The present."""
        return self.now

    def forward(self, span: timedelta) -> None:
        """Let time pass."""
        self.now += span


class FixedKind(VendorSpec, frozen=True, kw_only=True):
    """A vendor whose target is known."""

    fixed: Callable[[], Target]

    def target(self, settings: Settings, secret_fingerprints: Mapping[str, str]) -> Target:
        """The target, with the stored fingerprints."""
        return replace(self.fixed(), secret_fingerprints=secret_fingerprints)


@dataclass
class Bench:
    """One vendor to be looked after; `target` is what is wanted of it."""

    kind: VendorSpec
    standin: StandIn
    target: Target
    store: Store
    settings: Settings
    clock: Clock
    saved: list[str] = field(default_factory=list)

    @property
    def fixed(self) -> VendorSpec:
        """The vendor with this target."""
        kind = self.kind
        return FixedKind(
            slug=kind.slug,
            needs=kind.needs,
            connect=kind.connect,
            vendor_issues_secret=kind.vendor_issues_secret,
            fixed=lambda: self.target,
        )

    async def turn(
        self, *, is_dry_run: bool = False, saves: bool = True, waits_for_listing: bool = False
    ) -> Report:
        """Look after it once; what Aircall chooses is saved, unless nobody can."""
        save: Save | None = None
        if saves:
            save = self.saved.append
        return await reconcile(
            self.fixed,
            self.settings,
            self.store,
            clock=self.clock,
            is_dry_run=is_dry_run,
            waits_for_listing=waits_for_listing,
            save=save,
        )

    @property
    def path(self) -> str:
        """The address without its token."""
        return f"{HOST}/webhooks/{self.kind.slug}"


def make_standin(slug: str, clock: Clock) -> tuple[StandIn, dict[str, str]]:
    """A vendor's stand-in, and the settings of its API but for its address."""
    if slug == "ringcentral":
        return RingCentral(clock=clock), {
            "client_id": "rc-client",
            "client_secret": "rc-client-secret",
            "jwt": "rc-jwt-of-the-tests",
        }
    if slug == "zoom":
        return Zoom(), {
            "account_id": "zoom-account",
            "client_id": "zoom-client",
            "client_secret": "zoom-client-secret",
        }
    if slug == "aircall":
        return Aircall(), {"api_id": "aircall-api-id", "api_token": "aircall-api-token"}
    return Dialpad(), {"api_key": "dialpad-api-key"}


API_PATHS = {"ringcentral": "", "zoom": "/v2", "aircall": "/v1", "dialpad": "/api/v2"}


@asynccontextmanager
async def opened(slug: str, store: Store, settings: Settings) -> AsyncIterator[Bench]:
    """A vendor that listens, and nothing in it."""
    clock = Clock()
    standin, api = make_standin(slug, clock)
    async with running(standin) as url:
        api |= {"api_url": url + API_PATHS[slug]}
        if slug == "zoom":
            api |= {"token_url": f"{url}/oauth/token"}
        base = f"{HOST}/webhooks/{slug}"
        addresses = (base, f"{base}/t/{NEW}", f"{base}/t/{OLD}")
        if slug in {"ringcentral", "aircall"}:
            addresses = (f"{base}/t/{NEW}", f"{base}/t/{OLD}", base)
        target = Target(
            slug=slug,
            address=addresses[0],
            older=addresses[1:],
            secrets=(SECRET,),
            api=api,
        )
        yield Bench(
            kind=KINDS[slug],
            standin=standin,
            target=target,
            store=store,
            settings=settings,
            clock=clock,
        )


@pytest.fixture(params=sorted(KINDS))
async def bench(
    request: pytest.FixtureRequest, store: Store, make_settings: Callable[..., Settings]
) -> AsyncIterator[Bench]:
    """Each vendor in turn."""
    async with opened(request.param, store, make_settings()) as made:
        yield made
