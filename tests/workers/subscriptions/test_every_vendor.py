"""
What holds for each vendor: nothing is done twice, nothing foreign is touched, no fault makes it
worse, no secret is reported.
"""

import asyncio
import dataclasses
import json
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timedelta

import httpx
import pytest
from msgspec.structs import replace

from service.settings import Settings
from tests.doubles.vendors.aircall import Aircall
from tests.doubles.vendors.dialpad import Dialpad
from tests.doubles.vendors.ringcentral import RingCentral
from tests.doubles.vendors.serving import Fault
from tests.doubles.vendors.zoom import Zoom
from tests.workers.subscriptions.conftest import (
    HOST,
    NEW,
    OLD,
    SECRET,
    Bench,
)
from workers.subscriptions import (
    Action,
    Save,
    Subscription,
    VendorBusy,
    VendorRefuses,
    VendorUnavailable,
    lease,
)
from workers.subscriptions.reconcile import reconcile
from workers.subscriptions.target import Target
from workers.subscriptions.types import Vendor

FOREIGN = "https://other.example.test/hooks/SECRETPATH"


def _records(bench: Bench) -> dict[str, dict[str, object]]:
    standin = bench.standin
    assert isinstance(standin, RingCentral | Zoom | Aircall | Dialpad)
    return {str(key): value for key, value in standin.stored.items()}


def _add(bench: Bench, name: str, url: str) -> None:
    standin = bench.standin
    if isinstance(standin, Zoom):
        standin.add(name, url, events=["phone.callee_missed"])
    elif isinstance(standin, Dialpad):
        standin.add(url, "theirs")
    elif isinstance(standin, RingCentral | Aircall):
        standin.add(name, url)


def _own_token(bench: Bench) -> None:
    """What an operator does with the token that Aircall chose."""
    if bench.saved:
        bench.target = dataclasses.replace(bench.target, secrets=(*bench.saved,))


async def test_one_is_made_and_a_second_turn_does_nothing(bench: Bench) -> None:
    """Where there is none, one is made; from then on nothing is changed."""
    report = await bench.turn()
    assert (None, [Action.CREATE]) == (report.fault, [step.action for step in report.done])
    _own_token(bench)
    made = deepcopy(_records(bench))
    bench.standin.received.clear()
    for _ in range(2):
        report = await bench.turn()
        assert (None, (), ()) == (report.fault, report.done, report.left)
    assert ([], made) == (bench.standin.changes, _records(bench))
    assert report.state.state in {"active", "unknown"}
    (ours,) = report.subscriptions
    assert (True, True, bench.path) == (ours.is_ours, ours.has_calls, ours.address)


async def test_dry_run_says_what_it_would_do_and_keeps_nothing(bench: Bench) -> None:
    """A dry run changes nothing, neither there nor here."""
    report = await bench.turn(is_dry_run=True)
    assert [Action.CREATE] == [step.action for step in report.left]
    assert ((), [], {}) == (report.done, bench.standin.changes, await bench.store.upkeep.all())


async def test_what_is_not_ours_is_never_touched(bench: Bench) -> None:
    """
    Other addresses, another account's, a token that is none of ours, our host in another spelling
    of the path: all stay as they are.
    """
    others = (
        FOREIGN,
        f"{HOST}/webhooks/acme/{bench.kind.slug}",
        f"{bench.path}/t/{'3' * 32}",
        f"{bench.path}/more",
        "http:////",
        "",
    )
    for number, url in enumerate(others):
        _add(bench, f"foreign-{number}", url)
    before = deepcopy(_records(bench))
    await bench.turn()
    _own_token(bench)
    report = await bench.turn()
    assert before.items() <= _records(bench).items()
    assert len(before) + 1 == len(_records(bench))
    assert len(others) == sum(not item.is_ours for item in report.subscriptions)
    assert "SECRETPATH" not in repr(report)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=401), VendorRefuses),
        (Fault(status=403), VendorRefuses),
        (Fault(status=429), VendorBusy),
        (Fault(status=500), VendorUnavailable),
        (Fault(status=503, body=b"<h1>down</h1>"), VendorUnavailable),
        (Fault(status=302), VendorUnavailable),
        (Fault(status=200, body=b"<h1>hello</h1>"), VendorUnavailable),
        (Fault(status=200, body=b"[]"), VendorUnavailable),
        (Fault(status=200, body=b"[" * 100_000), VendorUnavailable),
        (Fault(status=200, body=b" " * 1_100_000), VendorUnavailable),
    ],
    ids=["401", "403", "429", "500", "503", "302", "html", "list", "deep", "long"],
)
async def test_vendor_that_fails_is_left_alone(
    bench: Bench, fault: Fault, kind: type[Exception]
) -> None:
    """
    Whatever it answers to the first question, nothing is changed, one line says why, and the next
    turn goes well.
    """
    bench.standin.faults = [dataclasses.replace(fault)]
    report = await bench.turn()
    assert isinstance(report.fault, kind)
    assert ("failed", str(report.fault), []) == (
        report.state.state,
        report.state.detail,
        bench.standin.changes,
    )
    assert "\n" not in str(report.fault)
    assert [Action.CREATE] == [step.action for step in (await bench.turn()).done]


async def test_vendor_that_does_not_list_what_was_made_gets_no_more(bench: Bench) -> None:
    """The worker makes one, and waits for an operator; once it is listed all is well."""

    async def nothing(now: datetime) -> list[Subscription]:
        return []

    connect = bench.kind.connect

    def blind(
        target: Target, save: Save | None, transport: httpx.AsyncBaseTransport | None
    ) -> Vendor:
        made = connect(target, save, transport)
        made.list_subscriptions = nothing  # type: ignore[method-assign]
        return made

    seeing = bench.kind
    bench.kind = replace(bench.kind, connect=blind)
    assert [Action.CREATE] == [
        step.action for step in (await bench.turn(waits_for_listing=True)).done
    ]
    for _ in range(3):
        bench.clock.forward(timedelta(hours=1))
        report = await bench.turn(waits_for_listing=True)
        assert ((), [Action.BY_HAND], 1) == (
            report.done,
            [step.action for step in report.left],
            len(_records(bench)),
        )
    assert "one was made on 2026-11-02, but the vendor does not list it" in (
        report.state.detail or ""
    )
    bench.kind = seeing
    _own_token(bench)
    assert ((), None) == (
        (await bench.turn(waits_for_listing=True)).left,
        (await bench.store.upkeep.all())[bench.kind.slug].unseen_since,
    )


@pytest.mark.parametrize("shape", ["endless", "none", "strings", "nameless"])
async def test_list_that_cannot_be_read_is_no_empty_one(bench: Bench, shape: str) -> None:
    """A list without an end, or with something in it that nobody understands, makes nothing."""
    if (bench.kind.slug, shape) == ("ringcentral", "endless"):
        # RingCentral's list has no pages.
        return
    name = {
        "ringcentral": "records",
        "zoom": "event_subscriptions",
        "aircall": "webhooks",
        "dialpad": "items",
    }[bench.kind.slug]
    address = bench.target.address
    nameless = {
        "deliveryMode": {"transportType": "WebHook", "address": address},
        "event_webhook_url": address,
        "url": address,
        "webhook": {"hook_url": address, "id": 1},
        "id": "../../x",
        "webhook_id": "",
        "event_subscription_id": None,
    }
    listed = {"endless": [], "none": 7, "strings": ["x"], "nameless": [nameless]}[shape]
    more: dict[str, object] = {}
    if shape == "endless":
        more = {"cursor": "x", "next_page_token": "x", "meta": {"next_page_link": "x"}}
    bench.standin.faults = [
        Fault(match="GET", status=200, body=json.dumps({name: listed, **more}).encode(), times=1000)
    ]
    report = await bench.turn()
    assert isinstance(report.fault, VendorUnavailable)
    assert [] == bench.standin.changes


async def test_slow_vendor_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that takes too long is none."""
    monkeypatch.setattr("workers.subscriptions.reconcile.TURN_S", 0.2)
    bench.standin.faults = [Fault(delay_s=0.4)]
    report = await bench.turn()
    assert isinstance(report.fault, VendorUnavailable)
    assert [] == bench.standin.changes


async def test_vendor_that_is_not_there(bench: Bench) -> None:
    """A closed port is one line."""
    bench.target = dataclasses.replace(
        bench.target,
        api={
            **bench.target.api,
            "api_url": "http://127.0.0.1:9",
            "token_url": "http://127.0.0.1:9",
        },
    )
    assert isinstance((await bench.turn()).fault, VendorUnavailable)


async def test_credentials_go_over_tls_only(bench: Bench) -> None:
    """An API at plain http outside this machine is not spoken to."""
    bench.target = dataclasses.replace(
        bench.target,
        api={
            **bench.target.api,
            "api_url": "http://api.example.test",
            "token_url": "http://x.test",
        },
    )
    assert "https" in str((await bench.turn()).fault)


async def test_one_that_was_made_but_not_recorded_is_found_again(bench: Bench) -> None:
    """
    The answer to the making is lost: the next turn finds what was made, and makes no second one.
    """
    match = {
        "ringcentral": "POST /restapi/v1.0/subscription",
        "zoom": "POST /v2/",
        "aircall": "POST /v1/",
        "dialpad": "POST /api/v2/webhooks",
    }
    bench.standin.faults = [
        Fault(
            match=match[bench.kind.slug],
            status=502,
            is_done=True,
        )
    ]
    assert isinstance((await bench.turn()).fault, VendorUnavailable)
    report = await bench.turn()
    assert report.fault is None
    _own_token(bench)
    assert ((), 1) == ((await bench.turn()).left, len(_records(bench)))
    if isinstance(bench.standin, Dialpad):
        assert 1 == len(bench.standin.webhooks)


async def test_two_workers_at_once_make_one(bench: Bench) -> None:
    """Only one of those that come at the same time may look after a source."""
    bench.standin.delay_s = 0.02
    others = [
        replace(bench.store, upkeep=replace(bench.store.upkeep, owner=f"worker-{number}"))
        for number in range(5)
    ]

    async def work(number: int) -> bool:
        async with lease(others[number], bench.kind.slug) as is_ours:
            if is_ours:
                await reconcile(
                    bench.fixed,
                    bench.settings,
                    others[number],
                    clock=bench.clock,
                    save=bench.saved.append,
                )
            return is_ours

    assert 1 == sum(await asyncio.gather(*(work(number) for number in range(5))))
    assert 1 == len(_records(bench))
    async with lease(bench.store, bench.kind.slug) as is_free:
        assert is_free


async def test_no_secret_is_reported(
    bench: Bench, make_settings: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Credentials, tokens and secrets are in no report, no error and no record, whatever a vendor
    repeats.
    """
    output: list[str] = []
    echo = json.dumps(
        {"message": f"{NEW} {SECRET}", "errorCode": NEW, "error": SECRET, **bench.target.api}
    ).encode()
    for status in (200, 400, 401, 403, 404, 429, 500):
        bench.standin.faults = [Fault(status=status, body=echo)]
        report = await bench.turn()
        output += [repr(report), str(report.fault), repr(report.fault)]
    _add(bench, "old", f"{bench.path}/t/{OLD}?key={SECRET}")
    report = await bench.turn()
    output += [repr(report), repr(bench.target), repr(await bench.store.upkeep.all())]
    confidential = {
        NEW,
        OLD,
        SECRET,
        *bench.saved,
        *(value for name, value in bench.target.api.items() if "url" not in name),
    }
    names = {"aircall-api-id", "rc-client", "zoom-client", "zoom-account"}
    everything = "\n".join(output) + capsys.readouterr().out
    assert [] == [item for item in confidential - names if item in everything]
