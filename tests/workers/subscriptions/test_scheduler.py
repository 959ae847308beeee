"""
The worker's part, with settings as they are written down: when it looks, what it logs, what it
leaves alone.
"""

import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NoReturn

import httpx
import pytest
import structlog
from msgspec.structs import replace
from structlog.testing import capture_logs

from service.clock import utc_now
from service.logs.setup import configure_logging
from service.receiver.app import create_app
from service.settings import Installation, Settings
from service.sources import SOURCES
from service.sources.settings import SettingKind
from service.store.connection import Store
from service.store.subscriptions import UpkeepState
from service.webhook_urls import path_token
from tests.doubles.vendors.aircall import Aircall
from tests.doubles.vendors.ringcentral import RingCentral
from tests.doubles.vendors.serving import Fault, Reach, running
from tests.doubles.vendors.zoom import Zoom
from tests.workers.subscriptions.conftest import START, Clock
from workers.subscriptions import (
    CHECK_EVERY_S,
    EVERY_S,
    VENDORS,
    NotReady,
    SubscriptionReconciler,
    scheduler,
)
from workers.subscriptions.reconcile import lease
from workers.subscriptions.spec import VendorSpec

MakeSettings = Callable[..., Settings]
VERIFICATION = "rc-verification-token-of-the-tests"
FIRST = "url-secret-of-the-tests-" + "1" * 20
SECOND = "url-secret-of-the-tests-" + "2" * 20
SET_UP = {
    "URL_SECRET": FIRST,
    "RINGCENTRAL_VERIFICATION_TOKEN": VERIFICATION,
    "RINGCENTRAL_CLIENT_ID": "rc-client",
    "RINGCENTRAL_CLIENT_SECRET": "rc-client-secret",
    "RINGCENTRAL_JWT": "rc-jwt-of-the-tests",
}
CONFIDENTIAL = (
    FIRST,
    SECOND,
    VERIFICATION,
    "rc-client-secret",
    "rc-jwt-of-the-tests",
    path_token(FIRST, "ringcentral"),
)


@pytest.fixture
def clock() -> Clock:
    """A clock in the test's hands."""
    return Clock()


@pytest.fixture
async def standin(clock: Clock) -> AsyncIterator[tuple[RingCentral, str]]:
    """RingCentral, and where it listens."""
    made = RingCentral(clock=clock)
    async with running(made) as url:
        yield made, url


@pytest.fixture
def reconciler(
    standin: tuple[RingCentral, str], store: Store, clock: Clock, make_settings: MakeSettings
) -> SubscriptionReconciler:
    """A worker that looks after RingCentral."""
    return SubscriptionReconciler(
        settings=make_settings(**SET_UP, RINGCENTRAL_API_URL=standin[1]),
        store=store,
        clock=clock,
        vendors=VENDORS,
    )


@asynccontextmanager
async def _receiver(settings: Settings, store: Store) -> AsyncIterator[Reach]:
    app = create_app(Installation(settings), store=store)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client,
    ):

        async def reach(url: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
            return await client.post(url, headers=dict(headers), content=body)

        yield reach


async def test_real_receiver_shakes_hands(
    reconciler: SubscriptionReconciler, standin: tuple[RingCentral, str], store: Store
) -> None:
    """
    The whole way: the worker asks RingCentral, RingCentral asks the receiver at the address it was
    reported, and the subscription is.
    """
    async with _receiver(reconciler.settings, store) as reach:
        standin[0].reach = reach
        await reconciler.reconcile_due()
    (stored,) = standin[0].stored.values()
    mode = stored["deliveryMode"]
    assert isinstance(mode, dict)
    assert (
        f"https://hooks.example.test/webhooks/ringcentral/t/{path_token(FIRST, 'ringcentral')}"
        == mode["address"]
    )
    state = (await store.upkeep.all())["ringcentral"]
    assert ("active", START, START + timedelta(days=365), None) == (
        state.state,
        state.checked_at,
        state.expires_at,
        state.detail,
    )
    assert ("handshake", "ringcentral") in await store.source_activity.last()


async def test_real_receiver_is_validated_by_zoom(
    store: Store, make_settings: MakeSettings
) -> None:
    """The same with Zoom, whose validation is signed with the app's secret token."""
    standin = Zoom(now=int(utc_now().timestamp()))
    names = {
        "ZOOM_ACCOUNT_ID": "zoom-account",
        "ZOOM_CLIENT_ID": "zoom-client",
        "ZOOM_CLIENT_SECRET": "zoom-client-secret",
    }
    async with running(standin) as url:
        settings = make_settings(
            **names,
            ZOOM_SECRET_TOKEN=standin.secret_token,
            ZOOM_API_URL=f"{url}/v2",
            ZOOM_TOKEN_URL=f"{url}/oauth/token",
        )
        async with _receiver(settings, store) as reach:
            standin.reach = reach
            await SubscriptionReconciler(
                settings=settings, store=store, clock=utc_now, vendors=VENDORS
            ).reconcile_due()
    assert ["https://hooks.example.test/webhooks/zoom"] == [
        item["event_webhook_url"] for item in standin.stored.values()
    ]
    assert "unknown" == (await store.upkeep.all())["zoom"].state


async def test_it_looks_every_ten_minutes_and_logs_what_it_did(
    reconciler: SubscriptionReconciler, standin: tuple[RingCentral, str], clock: Clock
) -> None:
    """
    Made at once; then quiet, and nothing is asked before it is due, however many workers there are.
    """
    with capture_logs() as entries:
        await reconciler.reconcile_due()
    assert [("subscription.created", "info", "ringcentral")] == [
        (entry["event"], entry["log_level"], entry["source"]) for entry in entries
    ]
    requests = len(standin[0].received)
    clock.forward(timedelta(seconds=EVERY_S - 10))
    await reconciler.reconcile_due()
    await replace(reconciler).reconcile_due()
    assert requests == len(standin[0].received)
    clock.forward(timedelta(seconds=10))
    with capture_logs() as entries:
        await reconciler.reconcile_due()
    assert (True, []) == (len(standin[0].received) > requests, entries)
    clock.forward(timedelta(days=363))
    with capture_logs() as entries:
        await reconciler.reconcile_due()
    assert ["subscription.renewed"] == [item["event"] for item in entries]


async def test_a_bug_waits_for_the_next_turn_too(
    reconciler: SubscriptionReconciler,
    store: Store,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an answer brings to light is no reason to ask every few seconds."""
    tries: list[str] = []

    async def broken(vendor_spec: VendorSpec, *_: object, **__: object) -> None:
        tries.append(vendor_spec.slug)
        raise KeyError("a bug")

    monkeypatch.setattr(scheduler, "reconcile", broken)
    with capture_logs():
        for _ in range(10):
            await reconciler.reconcile_due()
            clock.forward(timedelta(seconds=15))
    state = (await store.upkeep.all())["ringcentral"]
    assert ("failed", len(tries)) == (state.state, state.failures)
    # After 15, 30 and 60 s.
    assert 4 == len(tries)


async def test_changed_settings_count_at_once(
    reconciler: SubscriptionReconciler,
    standin: tuple[RingCentral, str],
    make_settings: MakeSettings,
) -> None:
    """
    Rotation of URL_SECRET: the next worker that starts tells RingCentral, without waiting for ten
    minutes to go by.
    """
    await reconciler.reconcile_due()
    changed = {**SET_UP, "URL_SECRET": f"{SECOND}, {FIRST}"}
    await replace(
        reconciler, settings=make_settings(**changed, RINGCENTRAL_API_URL=standin[1])
    ).reconcile_due()
    (stored,) = standin[0].stored.values()
    assert path_token(SECOND, "ringcentral") in str(stored["deliveryMode"])


async def test_source_that_is_off_or_not_set_up_is_left_alone(
    reconciler: SubscriptionReconciler,
    standin: tuple[RingCentral, str],
    store: Store,
    make_settings: MakeSettings,
) -> None:
    """
    Without the secret of the source, or without a word about its API, nothing is asked, kept or
    logged.
    """
    only_api = {
        name: value for name, value in SET_UP.items() if name != "RINGCENTRAL_VERIFICATION_TOKEN"
    }
    only_secret = {name: SET_UP[name] for name in ("URL_SECRET", "RINGCENTRAL_VERIFICATION_TOKEN")}
    with capture_logs() as entries:
        for values in (only_api, only_secret, {}):
            await replace(
                reconciler, settings=make_settings(**values, RINGCENTRAL_API_URL=standin[1])
            ).reconcile_due()
    assert ([], [], {}) == (entries, standin[0].received, await store.upkeep.all())


@pytest.mark.parametrize(
    ("name", "value", "reported"),
    [
        ("RINGCENTRAL_JWT", "", "set RINGCENTRAL_JWT"),
        ("PUBLIC_URL", "", "set PUBLIC_URL to the https address"),
        ("PUBLIC_URL", "http://hooks.example.test", "set PUBLIC_URL to the https address"),
    ],
)
async def test_half_a_set_up_is_a_fault(  # noqa: PLR0917 (pytest's own way)
    reconciler: SubscriptionReconciler,
    standin: tuple[RingCentral, str],
    make_settings: MakeSettings,
    name: str,
    value: str,
    reported: str,
) -> None:
    """What is missing is named, in the log and in the state."""
    settings = make_settings(**{**SET_UP, name: value}, RINGCENTRAL_API_URL=standin[1])
    with capture_logs() as entries:
        await replace(reconciler, settings=settings).reconcile_due()
    assert ["subscription.failed"] == [entry["event"] for entry in entries]
    assert reported in entries[0]["reason"]
    assert ("failed", []) == (
        (await reconciler.store.upkeep.all())["ringcentral"].state,
        standin[0].received,
    )


async def test_failures_are_logged_and_wait_for_the_next_turn(
    reconciler: SubscriptionReconciler, standin: tuple[RingCentral, str], clock: Clock
) -> None:
    """
    Away or refusing: one warning, no second try before its time, and what was given is not
    forgotten.
    """
    await reconciler.reconcile_due()
    for fault, event in (
        (Fault(status=503), "subscription.unreachable"),
        (Fault(status=401), "subscription.failed"),
    ):
        clock.forward(timedelta(seconds=EVERY_S))
        standin[0].faults = [fault]
        with capture_logs() as entries:
            await reconciler.reconcile_due()
            await reconciler.reconcile_due()
        assert [(event, "warning")] == [(entry["event"], entry["log_level"]) for entry in entries]
    clock.forward(timedelta(seconds=EVERY_S))
    with capture_logs() as entries:
        await reconciler.reconcile_due()
    assert [] == entries


async def test_a_failure_is_tried_again_soon_and_then_less_often(
    reconciler: SubscriptionReconciler, standin: tuple[RingCentral, str], clock: Clock
) -> None:
    """
    A vendor that could not reach the receiver is asked again after 15 s, 30 s and so on up to ten
    minutes; the first success ends that.
    """
    standin[0].faults = [Fault(status=400, times=1000)]
    pauses: list[float] = []
    await reconciler.reconcile_due()
    for _ in range(8):
        requests = len(standin[0].received)
        pause_s = 0.0
        while len(standin[0].received) == requests:
            clock.forward(timedelta(seconds=CHECK_EVERY_S))
            pause_s += CHECK_EVERY_S
            await reconciler.reconcile_due()
        pauses.append(pause_s)
    assert [15, 30, 60, 120, 240, 480, 600, 600] == pauses
    standin[0].faults = []
    clock.forward(timedelta(seconds=EVERY_S))
    await reconciler.reconcile_due()
    assert 1 == len(standin[0].stored)
    assert 0 == (await reconciler.store.upkeep.all())["ringcentral"].failures


async def test_bug_stops_neither_the_others_nor_the_worker(
    reconciler: SubscriptionReconciler,
    standin: tuple[RingCentral, str],
    make_settings: MakeSettings,
) -> None:
    """An error that nobody thought of is logged, and the next vendor has its turn."""

    def broken(target: object, save: object, transport: object) -> NoReturn:
        raise LookupError("what nobody thought of")

    by_slug = {kind.slug: kind for kind in VENDORS}
    bad = replace(by_slug["dialpad"], connect=broken)
    settings = make_settings(
        **SET_UP,
        RINGCENTRAL_API_URL=standin[1],
        DIALPAD_WEBHOOK_SECRET="dialpad-secret-of-the-tests-0123456789",
        DIALPAD_API_KEY="dialpad-key-of-the-tests",
    )
    with capture_logs() as entries:
        await replace(
            reconciler, settings=settings, vendors=(bad, by_slug["ringcentral"])
        ).reconcile_due()
    assert ["subscription.failed", "subscription.created"] == [entry["event"] for entry in entries]


async def test_one_that_another_worker_looks_after_is_passed_by(
    reconciler: SubscriptionReconciler, standin: tuple[RingCentral, str], store: Store
) -> None:
    """Whoever holds the right is not waited for."""
    other = replace(store, upkeep=replace(store.upkeep, owner="another-worker"))
    async with lease(other, "ringcentral") as is_ours:
        assert is_ours
        await reconciler.reconcile_due()
    assert [] == standin[0].received


async def test_worker_never_makes_an_aircall_webhook(
    store: Store, clock: Clock, make_settings: MakeSettings
) -> None:
    """It says once which command does, and not in every turn."""
    standin = Aircall()
    async with running(standin) as url:
        names = {
            "AIRCALL_TOKEN": "token-of-an-older-webhook",
            "AIRCALL_API_ID": "aircall-api-id",
            "AIRCALL_API_TOKEN": "aircall-api-token",
        }
        settings = make_settings(**names, URL_SECRET=FIRST, AIRCALL_API_URL=f"{url}/v1")
        reconciler = SubscriptionReconciler(
            settings=settings, store=store, clock=clock, vendors=VENDORS
        )
        with capture_logs() as entries:
            for _ in range(3):
                await reconciler.reconcile_due()
                clock.forward(timedelta(seconds=EVERY_S))
    assert ["subscription.needs_a_person"] == [entry["event"] for entry in entries]
    assert ([], 3) == (standin.changes, len(standin.received))


async def test_no_secret_is_in_a_line_of_the_log(
    reconciler: SubscriptionReconciler, standin: tuple[RingCentral, str], clock: Clock, store: Store
) -> None:
    """Whatever happens, the log holds no credential, no token and no secret."""
    stream = io.StringIO()
    configure_logging(fmt="json", level="debug", stream=stream)
    await reconciler.reconcile_due()
    for status in (400, 401, 403, 404, 500):
        clock.forward(timedelta(seconds=EVERY_S))
        standin[0].faults = [Fault(status=status, body=" ".join(CONFIDENTIAL).encode())]
        await reconciler.reconcile_due()
    for stored in standin[0].stored.values():
        stored["status"] = "Blacklisted"
    clock.forward(timedelta(seconds=EVERY_S))
    await reconciler.reconcile_due()
    configure_logging(fmt="json", level="info")
    structlog.reset_defaults()
    lines = stream.getvalue()
    assert "subscription.recreated" in lines
    assert "https://hooks.example.test/webhooks/ringcentral" in lines
    assert [] == [item for item in CONFIDENTIAL if item in lines + repr(await store.upkeep.all())]


async def test_states_are_kept_and_unreadable_ones_count_as_none(store: Store) -> None:
    """What another version wrote is no reason to stop."""
    state = UpkeepState(checked_at=START, state="active", given={"a": "b"})
    await store.upkeep.save("zoom", state)
    await store.redis.hset(store.keys.named("upkeep"), "dialpad", "{}")
    assert {"zoom": state} == await store.upkeep.all()


def test_every_vendor_is_a_source_with_the_settings_that_it_needs(
    make_settings: MakeSettings,
) -> None:
    """What the upkeep reads is what the sources declare."""
    for kind in VENDORS:
        with pytest.raises(NotReady) as caught:
            kind.target(make_settings(), {})
        by_name = str(caught.value).removeprefix("set ").split(" and ")
        secret = [SOURCES[kind.slug].settings[0].name.upper()]
        if kind.vendor_issues_secret:
            secret = []
        assert [*secret, *(f"{kind.slug}_{name}".upper() for name in kind.needs)] == by_name
        declared = {
            setting.name
            for setting in SOURCES[kind.slug].settings
            if setting.kind is SettingKind.API_CREDENTIAL
        }
        assert {f"{kind.slug}_{name}" for name in kind.needs} <= declared
