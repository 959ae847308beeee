"""
A day of Twilio's call log: what is missing is fed in, and nothing else.
"""

import pytest

from tests.doubles.vendors.serving import Fault
from tests.doubles.vendors.twilio import Twilio
from tests.workers.backfill.conftest import OpenBench
from tests.workers.backfill.harness import at, counts, verdicts
from workers.backfill.api import FIRST_PAUSE_S
from workers.backfill.assessment import Verdict

pytestmark = pytest.mark.anyio


def sid(number: int) -> str:
    """The id of a call."""
    return f"CA{number:032x}"


def a_day(twilio: Twilio) -> None:
    """Calls of every kind."""
    twilio.add(sid(1), "busy", began_at=at("9:00"), ended_at=at("9:01"))
    twilio.add(sid(2), "completed", began_at=at("9:10"), ended_at=at("9:12"), duration_s=110)
    # Goes on.
    twilio.add(sid(3), "in-progress", began_at=at("17:50"))
    # A caller, forwarded to a colleague who takes it; the telephone that rang first did not.
    caller = {"direction": "inbound", "from_": "+15005550001", "to": "+15005550006"}
    twilio.add(
        sid(4), "completed", began_at=at("10:00"), ended_at=at("10:05"), duration_s=300, **caller
    )
    for number, status, duration_s in ((41, "no-answer", None), (42, "completed", 240)):
        twilio.add(
            sid(number),
            status,
            began_at=at("10:01"),
            ended_at=at("10:05"),
            duration_s=duration_s,
            parent=sid(4),
            direction="outbound-dial",
            to=f"client:agent{number}",
        )
    # A caller who left a message.
    twilio.add(
        sid(5), "completed", began_at=at("11:00"), ended_at=at("11:02"), duration_s=110, **caller
    )
    twilio.recordings[sid(5)] = [
        {
            "sid": "RE00000000000000000000000000000005",
            "status": "completed",
            "source": "RecordVerb",
            "duration": "31",
            "date_created": "Fri, 27 Nov 2026 11:02:00 +0000",
        }
    ]
    # Answered by TwiML, which dialled nobody: a menu, a queue, a conference.
    twilio.add(
        sid(6), "completed", began_at=at("12:00"), ended_at=at("12:09"), duration_s=500, **caller
    )


async def test_what_is_missing_is_fed_in(open_bench: OpenBench) -> None:
    """Each call gets the result that its webhooks would have given, or stays open."""
    twilio = Twilio()
    a_day(twilio)
    async with open_bench(twilio) as bench:
        report = await bench.backfill()
        assert report.fault is None
        expected = {sid(number): "missing" for number in (1, 2, 4, 5)}
        assert {**expected, sid(6): "untold"} == verdicts(report)
        assert 1 == counts(report)[Verdict.IN_PROGRESS]
        results = {number: await bench.result(f"twilio:{sid(number)}") for number in (1, 2, 4, 5)}
        assert {
            1: "busy",
            2: "connected",
            4: "connected",
            5: "voicemail_received",
        } == results
        assert not (await bench.store.calls.load(f"twilio:{sid(6)}")).is_known


async def test_a_second_run_finds_nothing_new(open_bench: OpenBench) -> None:
    """Before a worker has read the messages, and after; nothing is stored anew."""
    twilio = Twilio()
    a_day(twilio)
    async with open_bench(twilio) as bench:
        await bench.backfill()
        stored = await bench.store.messages.waiting()
        again = await bench.backfill()
        assert 0 == again.fed
        assert stored[0] == (await bench.store.messages.waiting())[0]
        await bench.run(f"twilio:{sid(1)}")
        version = (await bench.store.calls.load(f"twilio:{sid(1)}")).stored.version
        after_worker = await bench.backfill()
        assert (0, 4) == (after_worker.fed, counts(after_worker)[Verdict.FILLED])
        assert version == (await bench.store.calls.load(f"twilio:{sid(1)}")).stored.version


async def test_what_webhooks_show_stays(open_bench: OpenBench) -> None:
    """
    A call that ended by its webhooks gets nothing, and they count whenever they come; one whose end
    was lost gets its end.
    """
    twilio = Twilio()
    # The SIP code is in the callback only: the log knows no more than `failed`.
    twilio.add(sid(1), "failed", began_at=at("9:00"), ended_at=at("9:01"))
    twilio.add(sid(2), "failed", began_at=at("9:00"), ended_at=at("9:01"))
    twilio.add(sid(3), "no-answer", began_at=at("9:00"), ended_at=at("9:01"))
    callback = {
        "CallStatus": "failed",
        "Direction": "outbound-api",
        "From": "+15005550006",
        "To": "+15005550001",
        "SipResponseCode": "404",
        "Timestamp": "Fri, 27 Nov 2026 09:01:00 +0000",
    }
    async with open_bench(twilio) as bench:
        reported = await bench.form({**callback, "CallSid": sid(1)})
        ringing = {name: value for name, value in callback.items() if name != "SipResponseCode"}
        unended = await bench.form({**ringing, "CallSid": sid(3), "CallStatus": "ringing"})
        before = (await bench.store.calls.load(reported)).stored.version
        report = await bench.backfill()
        assert {sid(2): "missing", sid(3): "unended"} == verdicts(report)
        assert before == (await bench.store.calls.load(reported)).stored.version
        assert "no_answer" == await bench.result(unended)
        late = f"twilio:{sid(2)}"
        assert "failed" == await bench.result(late)
        await bench.form({**callback, "CallSid": sid(2)})
        assert "invalid_number" == (await bench.record(late)).result


async def test_the_lane_is_that_of_backfills(open_bench: OpenBench) -> None:
    """Behind all fresh calls, and Buildr's call is read before it is written."""
    twilio = Twilio()
    twilio.add(sid(1), "busy", began_at=at("9:00"), ended_at=at("9:01"))
    async with open_bench(twilio) as bench:
        await bench.backfill()
        loaded = await bench.store.calls.load(f"twilio:{sid(1)}")
        request = loaded.stored.replay_request
        assert request is not None
        assert ("backfill", False) == (request.lane.value, request.is_forced)
        record = await bench.run(f"twilio:{sid(1)}")
        # Also where its Buildr call becomes known later.
        assert ("unmatched", request) == (record.state.value, record.replay_request)
        steps = record.history
        assert any(
            "from the vendor's call log, read at 2026-11-27T18:00" in s.detail for s in steps
        )


async def test_a_dry_run_writes_nothing(open_bench: OpenBench) -> None:
    """The verdicts are the same."""
    twilio = Twilio()
    a_day(twilio)
    async with open_bench(twilio) as bench:
        dry = await bench.backfill(is_dry_run=True)
        assert (0, None) == await bench.store.messages.waiting()
        assert verdicts(dry) == verdicts(await bench.backfill())


@pytest.mark.parametrize(("retry_after", "pause_s"), [("7", 7), ("0", FIRST_PAUSE_S)])
async def test_the_vendors_limit_is_honoured(
    open_bench: OpenBench, retry_after: str, pause_s: float
) -> None:
    """A 429 is waited out as long as it states, and at least a moment; nothing is lost by it."""
    twilio = Twilio()
    a_day(twilio)
    headers = {"retry-after": retry_after}
    twilio.faults.append(Fault(match="Calls.json", status=429, headers=headers))
    async with open_bench(twilio) as bench:
        report = await bench.backfill()
        assert (None, 4) == (report.fault, report.fed)
        assert pause_s in bench.pauses
        assert 0 not in bench.pauses


async def test_an_interrupted_run_goes_on(open_bench: OpenBench) -> None:
    """A fault names the page; what came before is done, and the next run does the rest."""
    twilio = Twilio(per_page=1)
    for day, number in ((-2, 1), (-1, 2), (0, 3)):
        began_at = at("9:00").replace(day=27 + day)
        twilio.add(sid(number), "busy", began_at=began_at, ended_at=began_at.replace(minute=1))
    since = at("0:00").replace(day=25)
    async with open_bench(twilio) as bench:
        first = await bench.backfill(since=since, until=at("0:00").replace(day=26))
        assert 1 == first.fed
        twilio.faults.append(Fault(match="Calls.json", status=500, times=99))
        broken = await bench.backfill(since=since)
        assert broken.fault is not None
        assert "calls from 2026-11-24 23:00 UTC, page 1: Twilio answered 500" in broken.fault
        twilio.faults.clear()
        resumed = await bench.backfill(since=since, done_until=broken.done_until)
        assert {sid(2): "missing", sid(3): "missing"} == verdicts(resumed)


async def test_wrong_credentials_are_one_line(open_bench: OpenBench) -> None:
    """It says which settings to look at, and holds no secret."""
    async with open_bench(Twilio(login=("AC2", "another"))) as bench:
        report = await bench.backfill()
        assert report.fault is not None
        assert "check TWILIO_ACCOUNT_SID" in report.fault
        assert "FAKE0000" not in report.fault
