"""
What `check` finds out about the credentials for a vendor's call log.
"""

from datetime import UTC, datetime

import pytest

from tests.doubles.vendors.aircall import Aircall
from tests.doubles.vendors.dialpad import Dialpad
from tests.doubles.vendors.plivo import Plivo
from tests.doubles.vendors.ringcentral import RingCentral
from tests.doubles.vendors.serving import Fault, StandIn
from tests.doubles.vendors.twilio import Twilio
from tests.doubles.vendors.vonage import Vonage
from tests.doubles.vendors.zoom import Zoom
from tests.workers.backfill.conftest import OpenBench
from workers.backfill import LOGS
from workers.backfill import rights as module
from workers.backfill.rights import LogRights, check_logs

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine must not decide what is found out."""
    monkeypatch.setattr(module, "TIMEOUT_S", 60.0)


async def rights_of(open_bench: OpenBench, standin: StandIn) -> LogRights:
    """What is found out by the settings that lead to a stand-in."""
    async with open_bench(standin) as bench:
        (rights,) = await check_logs(bench.settings, LOGS, now=NOW)
        return rights


@pytest.mark.parametrize(
    "standin",
    [Aircall(), Dialpad(), Plivo(), RingCentral(), Twilio(), Vonage(), Zoom()],
    ids=lambda standin: type(standin).__name__,
)
async def test_credentials_that_may_read(open_bench: OpenBench, standin: StandIn) -> None:
    """Each log is read once, and nothing is changed."""
    rights = await rights_of(open_bench, standin)
    assert LogRights(slug=type(standin).__name__.lower()) == rights
    assert [] == standin.changes


@pytest.mark.parametrize(
    ("standin", "fault", "cure"),
    [
        (Twilio(), Fault(match="Recordings", status=403), "the right to read calls and recordings"),
        (
            Zoom(),
            Fault(match="GET /v2/phone/call_history/", status=400, body=b'{"code": 4711}'),
            "give the app the scopes phone:read:list_call_logs:admin and phone:read:call_log:admin",
        ),
        (RingCentral(), Fault(match="call-log", status=403), "the permission Read Call Log"),
        (Dialpad(), Fault(match="GET", status=403), "with the scope calls:list"),
        (Plivo(), Fault(match="Recording", status=401), "check PLIVO_AUTH_ID"),
        (Vonage(), Fault(match="GET", status=403), "access to the Reports API"),
        (Aircall(), Fault(match="GET", status=403), "one of the whole company"),
    ],
    ids=lambda item: type(item).__name__ if isinstance(item, StandIn) else "",
)
async def test_a_missing_right_is_named(
    open_bench: OpenBench, standin: StandIn, fault: Fault, cure: str
) -> None:
    """With what to give, also where only one of two kinds of requests is refused."""
    standin.faults.append(fault)
    rights = await rights_of(open_bench, standin)
    assert cure in (rights.fault or "")
    assert not rights.is_passing


@pytest.mark.parametrize("status", [429, 503])
async def test_a_vendor_that_is_away_says_nothing_of_rights(
    open_bench: OpenBench, status: int
) -> None:
    """It is passing, and asked once."""
    twilio = Twilio(faults=[Fault(status=status, times=9)])
    rights = await rights_of(open_bench, twilio)
    assert rights.is_passing
    assert 1 == len(twilio.received)
