"""
Zoom: validation of the address, scopes, what was clicked together in the app.
"""

import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from hashlib import sha256

import httpx
import pytest

from service.settings import Settings
from service.store.connection import Store
from tests.doubles.vendors.serving import Fault
from tests.doubles.vendors.zoom import Zoom
from tests.workers.subscriptions.conftest import OLD, Bench, opened
from workers.subscriptions import Action, VendorRejected
from workers.subscriptions.zoom import EVENTS, RECORDS

HALF = {"phone.caller_call_element_completed"}


@pytest.fixture
async def bench(store: Store, make_settings: Callable[..., Settings]) -> AsyncIterator[Bench]:
    """Zoom, with nothing in it."""
    async with opened("zoom", store, make_settings()) as made:
        yield made


def _standin(bench: Bench) -> Zoom:
    assert isinstance(bench.standin, Zoom)
    return bench.standin


async def test_address_is_validated_before_it_is_made(bench: Bench) -> None:
    """
    Zoom asks the very address to hash a text, and makes the subscription for the whole account.
    """
    reached: list[str] = []

    async def receiver(url: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        reached.append(url)
        plain = json.loads(body)["payload"]["plainToken"]
        hashed = hmac.new(_standin(bench).secret_token.encode(), plain.encode(), sha256).hexdigest()
        return httpx.Response(200, json={"plainToken": plain, "encryptedToken": hashed})

    _standin(bench).reach = receiver
    assert [Action.CREATE] == [step.action for step in (await bench.turn()).done]
    assert [bench.target.address] == reached
    (stored,) = _standin(bench).stored.values()
    assert (sorted(EVENTS), "account") == (stored["events"], stored["subscription_scope"])


async def test_failed_validation_and_missing_scopes_say_what_to_do(bench: Bench) -> None:
    """Zoom's codes become one line each."""

    async def receiver(url: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        return httpx.Response(401)

    _standin(bench).reach = receiver
    assert "1701: the receiver at PUBLIC_URL" in str((await bench.turn()).fault)
    _standin(bench).allowed = set(HALF)
    report = await bench.turn()
    assert isinstance(report.fault, VendorRejected)
    assert "1602: add the scopes" in str(report.fault)


async def test_list_that_is_refused_makes_nothing(bench: Bench) -> None:
    """Without knowing what is there, nothing is made: it could be the second."""
    body = json.dumps({"code": 1001, "message": "User does not exist"}).encode()
    _standin(bench).faults = [Fault(match="GET", status=404, body=body)]
    report = await bench.turn()
    assert "1001: Zoom does not take this app for a user" in str(report.fault)
    assert [] == bench.standin.changes


async def test_subscription_of_the_app_itself_is_a_persons(bench: Bench) -> None:
    """
    What was clicked together cannot be changed by the API: what it lacks is reported, and no second
    one is made.
    """
    _standin(bench).add(
        "clicked", bench.target.address, created_source="default", events=sorted(HALF)
    )
    report = await bench.turn()
    assert ((), [Action.BY_HAND]) == (report.done, [step.action for step in report.left])
    assert "Event Subscriptions" in (report.state.detail or "")
    assert [] == bench.standin.changes
    for pair in RECORDS:
        _standin(bench).stored["clicked"]["events"] = sorted(pair)
        assert () == (await bench.turn()).left


async def test_events_that_lack_are_mended_without_a_gap(bench: Bench) -> None:
    """
    The new one is made before the old one goes; what else it brought goes on. Cut short, the next
    turn ends it.
    """
    _standin(bench).add("lacking", bench.target.address, events=[*HALF, "phone.emergency_alert"])
    _standin(bench).faults = [Fault(match="DELETE")]
    assert (await bench.turn()).fault is not None
    assert 2 == len(_standin(bench).stored)
    assert [Action.REMOVE] == [step.action for step in (await bench.turn()).done]
    ((subscription_id, stored),) = _standin(bench).stored.items()
    assert (False, sorted(EVENTS | {"phone.emergency_alert"})) == (
        subscription_id == "lacking",
        stored["events"],
    )
    assert () == (await bench.turn()).done


async def test_refused_events_leave_the_old_one(bench: Bench) -> None:
    """Where the app lacks scopes, what there is goes on."""
    _standin(bench).allowed = set(HALF)
    _standin(bench).add("lacking", bench.target.address, events=sorted(HALF))
    assert (await bench.turn()).fault is not None
    assert ["lacking"] == list(_standin(bench).stored)


async def test_older_address_is_replaced(bench: Bench) -> None:
    """A subscription at an address with a token, where none is wanted any more."""
    _standin(bench).add("old", f"{bench.path}/t/{OLD}", events=sorted(EVENTS))
    assert [Action.REPLACE, Action.REMOVE][:1] == [
        step.action for step in (await bench.turn()).done
    ]
    assert [bench.target.address] == [
        item["event_webhook_url"] for item in _standin(bench).stored.values()
    ]


async def test_wrong_client_is_one_line(bench: Bench) -> None:
    """Refused credentials name the settings."""
    bench.target = replace(bench.target, api={**bench.target.api, "client_secret": "wrong"})
    assert "check ZOOM_ACCOUNT_ID, ZOOM_CLIENT_ID and ZOOM_CLIENT_SECRET" in str(
        (await bench.turn()).fault
    )
