"""
RingCentral: the handshake, renewal in time, the black list, rotation of token and secret.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from service.settings import Settings
from service.store.connection import Store
from tests.doubles.vendors.ringcentral import RingCentral
from tests.doubles.vendors.serving import Fault
from tests.workers.subscriptions.conftest import (
    OLD,
    SECRET,
    Bench,
    opened,
)
from workers.subscriptions import Action, VendorRejected
from workers.subscriptions.ringcentral import LIFE, RENEW_WITHIN

VOICEMAIL = "/restapi/v1.0/account/400130182008/extension/7/voicemail"
CALLS = "/restapi/v1.0/account/400130182008/telephony/sessions"


@pytest.fixture
async def bench(store: Store, make_settings: Callable[..., Settings]) -> AsyncIterator[Bench]:
    """RingCentral, with nothing in it."""
    async with opened("ringcentral", store, make_settings()) as made:
        yield made


def _standin(bench: Bench) -> RingCentral:
    assert isinstance(bench.standin, RingCentral)
    return bench.standin


async def test_it_is_made_for_long_with_our_token_after_a_handshake(bench: Bench) -> None:
    """
    RingCentral shakes hands with the very address, and gets our verification token, one filter and
    a life of a year.
    """
    reached: list[tuple[str, str | None]] = []

    async def receiver(url: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        reached.append((url, headers.get("verification-token")))
        assert b"" == body
        return httpx.Response(200, headers={"validation-token": headers["validation-token"]})

    _standin(bench).reach = receiver
    report = await bench.turn()
    assert [(bench.target.address, SECRET)] == reached
    ((subscription_id, stored),) = _standin(bench).stored.items()
    assert [CALLS] == stored["eventFilters"]
    assert {subscription_id: SECRET} == _standin(bench).verification
    assert bench.clock() + LIFE == report.state.expires_at


async def test_failed_handshake_says_where_to_look(bench: Bench) -> None:
    """SUB-525 becomes one line about the receiver, without anything that RingCentral wrote."""

    async def receiver(url: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        return httpx.Response(404)

    _standin(bench).reach = receiver
    report = await bench.turn()
    assert isinstance(report.fault, VendorRejected)
    assert "SUB-525: the receiver at PUBLIC_URL" in str(report.fault)
    assert "failed" == report.state.state


async def test_it_is_renewed_in_time_and_not_before(bench: Bench) -> None:
    """Only when less than a third of a week is left it is renewed, by a PUT of the whole."""
    await bench.turn()
    bench.clock.forward(LIFE - RENEW_WITHIN)
    assert () == (await bench.turn()).done
    bench.clock.forward(timedelta(seconds=1))
    report = await bench.turn()
    assert [(Action.RENEW, "it expires soon")] == [(step.action, step.why) for step in report.done]
    assert ("active", bench.clock() + LIFE) == (report.state.state, report.state.expires_at)
    assert () == (await bench.turn()).done


async def test_short_life_is_not_renewed_in_every_turn(bench: Bench) -> None:
    """Where RingCentral gives only its usual week, a new one is not due at once."""
    _standin(bench).longest_s = 604_800
    await bench.turn()
    assert () == (await bench.turn()).done


async def test_expired_one_is_made_anew(bench: Bench) -> None:
    """What is still listed after its end, is deleted and made anew."""
    await bench.turn()
    bench.clock.forward(LIFE)
    assert [Action.RECREATE] == [step.action for step in (await bench.turn()).done]
    assert (1, ()) == (len(_standin(bench).stored), (await bench.turn()).done)


@pytest.mark.parametrize("status", ["Blacklisted", "Suspended"])
async def test_blacklisted_one_is_made_anew_with_its_own_filters(bench: Bench, status: str) -> None:
    """A subscription that RingCentral has switched off never comes back by itself."""
    reason = f"answered 404 at {bench.target.address}"
    filters = [VOICEMAIL, CALLS]
    _standin(bench).add(
        "dead",
        bench.target.address,
        status=status,
        blacklistedData={"reason": reason},
        eventFilters=filters,
    )
    report = await bench.turn()
    assert [Action.RECREATE] == [step.action for step in report.done]
    assert (
        "(answered 404 at https://hooks.example.test/webhooks/ringcentral/t/[hidden])"
        in report.done[0].why
    )
    ((subscription_id, stored),) = _standin(bench).stored.items()
    assert (False, filters) == (subscription_id == "dead", stored["eventFilters"])
    assert () == (await bench.turn()).done


async def test_deleted_but_not_made_heals(bench: Bench) -> None:
    """Cut short between deleting and making, the next turn makes it."""
    _standin(bench).add("dead", bench.target.address, status="Blacklisted")
    _standin(bench).faults = [Fault(match="POST /restapi/v1.0/subscription")]
    assert (await bench.turn()).fault is not None
    assert {} == _standin(bench).stored
    assert [Action.CREATE] == [step.action for step in (await bench.turn()).done]


async def test_new_verification_token_is_given_once(bench: Bench) -> None:
    """
    Rotation: the newest secret is written, the old one is not asked for, and a second turn does
    nothing.
    """
    await bench.turn()
    bench.target = replace(bench.target, secrets=("another-secret-of-the-source", SECRET))
    report = await bench.turn()
    assert [Action.UPDATE] == [step.action for step in report.done]
    assert ["another-secret-of-the-source"] == list(_standin(bench).verification.values())
    assert () == (await bench.turn()).done


@pytest.mark.parametrize("url", [f"/t/{OLD}", "", f"/t/{OLD}?x=1"])
async def test_older_address_becomes_the_present_one(bench: Bench, url: str) -> None:
    """
    Rotation of URL_SECRET, or an address from before it: the subscription stays the same, its
    address changes.
    """
    _standin(bench).add("mine", bench.path + url)
    report = await bench.turn()
    assert [(Action.UPDATE, "its address has an older token")] == [
        (step.action, step.why) for step in report.done
    ]
    assert {
        "transportType": "WebHook",
        "encryption": False,
        "address": bench.target.address,
    } == _standin(bench).stored["mine"]["deliveryMode"]
    assert () == (await bench.turn()).done


async def test_voicemail_subscription_lives_beside_the_one_of_calls(bench: Bench) -> None:
    """
    What brings something else to our address is kept alive, with its own filters, and is no
    substitute for calls.
    """
    soon = (bench.clock() + timedelta(hours=1)).isoformat()
    _standin(bench).add(
        "voicemail", bench.target.address, eventFilters=[VOICEMAIL], expirationTime=soon
    )
    report = await bench.turn()
    assert [Action.CREATE, Action.RENEW] == [step.action for step in report.done]
    assert [VOICEMAIL] == _standin(bench).stored["voicemail"]["eventFilters"]
    assert () == (await bench.turn()).done
    assert 2 == len(_standin(bench).stored)


async def test_one_of_an_extension_counts(bench: Bench) -> None:
    """Whoever subscribed single extensions meant it."""
    filters = ["/restapi/v1.0/account/1/extension/2/telephony/sessions?direction=Inbound"]
    _standin(bench).add("mine", bench.target.address, eventFilters=filters)
    assert [Action.UPDATE] == [step.action for step in (await bench.turn()).done]
    assert (["mine"], filters) == (
        list(_standin(bench).stored),
        _standin(bench).stored["mine"]["eventFilters"],
    )


async def test_twin_is_removed(bench: Bench) -> None:
    """Two that bring the same would send everything twice; the one that lasts longer stays."""
    later = (bench.clock() + timedelta(days=301)).isoformat()
    _standin(bench).add("first", bench.target.address)
    _standin(bench).add("second", bench.target.address, expirationTime=later)
    assert {Action.UPDATE, Action.REMOVE} == {step.action for step in (await bench.turn()).done}
    assert ["second"] == list(_standin(bench).stored)


async def test_other_transports_and_strange_words(bench: Bench) -> None:
    """
    Sockets are not ours; a status that nobody knows is reported and left alone; what has no id is
    not there.
    """
    _standin(bench).add(
        "socket",
        bench.target.address,
        deliveryMode={"transportType": "WebSocket", "address": bench.target.address},
    )
    _standin(bench).add("odd", bench.target.address, status="Pondering\n", expirationTime="someday")
    _standin(bench).stored["none"] = {"id": {"a": 1}, "deliveryMode": {"transportType": "WebHook"}}
    await bench.turn()
    before = deepcopy(_standin(bench).stored)
    report = await bench.turn()
    assert ((), before) == (report.done, _standin(bench).stored)
    _standin(bench).stored["odd"]["status"] = "Pondering\n"
    report = await bench.turn()
    assert ["odd"] == [item.subscription_id for item in report.subscriptions]
    assert ("unknown", "RingCentral calls it Pondering", ()) == (
        report.state.state,
        report.state.detail,
        report.done,
    )


async def test_wrong_jwt_is_one_line(bench: Bench) -> None:
    """Refused credentials name the settings."""
    bench.target = replace(bench.target, api={**bench.target.api, "jwt": "wrong"})
    fault = str((await bench.turn()).fault)
    assert (
        "RingCentral gives no access token (OAU-251): check RINGCENTRAL_CLIENT_ID, "
        "RINGCENTRAL_CLIENT_SECRET and RINGCENTRAL_JWT" == fault
    )
