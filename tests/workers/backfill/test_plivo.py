"""
A day of Plivo's call log: each leg becomes its hangup request, and what the log cannot show stays
open.
"""

import pytest

from tests.doubles.vendors.plivo import Plivo
from tests.workers.backfill.conftest import OpenBench
from tests.workers.backfill.harness import at, counts, verdicts
from workers.backfill.assessment import Verdict
from workers.backfill.types import KnownCall

pytestmark = pytest.mark.anyio
AGENT = "sip:dana1234@phone.plivo.com"


def uuid(number: int) -> str:
    """The id of a leg."""
    return f"00000000-0000-4000-8000-{number:012x}"


def add_caller(plivo: Plivo, number: int, began: str, seconds: int) -> None:
    """The first leg of a caller, whom the account's XML answers."""
    plivo.add(
        uuid(number),
        4000,
        began_at=at(began),
        seconds=seconds,
        direction="inbound",
        from_="15005550001",
        to="15005550006",
    )


def outbound_calls(plivo: Plivo) -> None:
    """Calls to customers, one of them dialled for a rep who was called first."""
    plivo.add(uuid(1), 3010, began_at=at("9:00"))
    plivo.add(uuid(2), 4000, began_at=at("9:10"), seconds=95)
    plivo.add(uuid(3), 9100, began_at=at("9:20"), seconds=4)
    plivo.add(uuid(4), 4000, began_at=at("9:30"), seconds=60, to="15005550008")
    plivo.add(uuid(40), 3020, began_at=at("9:30"), parent=uuid(4))


def inbound_calls(plivo: Plivo) -> None:
    """Callers whom an agent took, who gave up, who were recorded, for whom nobody was dialled."""
    add_caller(plivo, 5, "10:00", 300)
    plivo.add(uuid(50), 4000, began_at=at("10:01"), seconds=200, parent=uuid(5), to=AGENT)
    for number in (6, 7):
        add_caller(plivo, number, f"11:0{number}", 40)
        plivo.add(
            uuid(number * 10), 3000, began_at=at(f"11:0{number}"), parent=uuid(number), to=AGENT
        )
    plivo.recorded.add(uuid(7))
    add_caller(plivo, 8, "12:00", 500)
    # The caller hung up while the agent's telephone rang.
    add_caller(plivo, 9, "13:00", 8)
    plivo.add(uuid(90), 4000, began_at=at("13:00"), parent=uuid(9), to=AGENT)


async def test_what_is_missing_is_fed_in(open_bench: OpenBench) -> None:
    """Each call gets the result that its webhooks would have given, or stays open."""
    plivo = Plivo()
    outbound_calls(plivo)
    inbound_calls(plivo)
    async with open_bench(plivo) as bench:
        report = await bench.backfill()
        assert report.fault is None
        missing = {uuid(number): "missing" for number in (1, 2, 3, 4, 5, 6, 9)}
        assert {**missing, uuid(7): "untold", uuid(8): "untold"} == verdicts(report)
        results = {
            number: await bench.result(f"plivo:{uuid(number)}") for number in (1, 2, 3, 4, 5, 6, 9)
        }
        assert {
            1: "busy",
            2: "connected",
            3: "no_answer",
            4: "rejected",
            5: "connected",
            6: "missed_inbound",
            9: "abandoned",
        } == results
        stored = (await bench.store.calls.load(f"plivo:{uuid(2)}")).stored
        assert at("9:10") == min(
            event.occurred_at for event in stored.all_events if event.occurred_at
        )
        again = await bench.backfill()
        assert (0, 7) == (again.fed, counts(again)[Verdict.FILLED])


async def test_a_webhook_and_its_record_make_one_call(open_bench: OpenBench) -> None:
    """A call whose hangup was lost gets it, under the same id."""
    plivo = Plivo()
    plivo.add(uuid(1), 3000, began_at=at("9:00"), rang_s=30)
    ringing = {
        "CallUUID": uuid(1),
        "Event": "Ring",
        "CallStatus": "ringing",
        "Direction": "outbound",
        "From": "15005550006",
        "To": "15005550001",
    }
    async with open_bench(plivo) as bench:
        ref = await bench.form(ringing, query="?buildr_call_id=110")
        report = await bench.backfill()
        assert {uuid(1): "unended"} == verdicts(report)
        assert "no_answer" == await bench.result(ref)


async def test_who_answered_is_not_guessed(open_bench: OpenBench) -> None:
    """Where calls use machine detection, an answered one stays open."""
    plivo = Plivo()
    outbound_calls(plivo)
    async with open_bench(plivo, PLIVO_MACHINE_DETECTION="true") as bench:
        expected = {uuid(number): "missing" for number in (1, 3, 4)}
        assert {**expected, uuid(2): "untold"} == verdicts(await bench.backfill())


async def test_a_call_of_many_hours_is_put_together(open_bench: OpenBench) -> None:
    """Its first leg ends after what is read, and is asked for by itself."""
    plivo = Plivo()
    add_caller(plivo, 1, "2:00", 9 * 3600)
    plivo.add(uuid(10), 4000, began_at=at("2:01"), seconds=60, parent=uuid(1), to=AGENT)
    plivo.add(uuid(20), 4000, began_at=at("2:01"), seconds=60, parent=uuid(2), to=AGENT)
    async with open_bench(plivo) as bench:
        report = await bench.backfill(until=at("3:00"))
        assert {uuid(1): "missing", uuid(2): "untold"} == verdicts(report)
        assert "connected" == await bench.result(f"plivo:{uuid(1)}")


async def test_another_time_zone_is_noticed(open_bench: OpenBench) -> None:
    """Times without an offset that are not in the span are no calls of that span."""
    plivo = Plivo(shows_offset=False)
    plivo.add(uuid(1), 3010, began_at=at("17:50"))
    async with open_bench(plivo) as bench:
        report = await bench.backfill()
        assert report.fault is not None
        assert "set the time zone of the Plivo console to UTC" in report.fault


async def test_wrong_credentials_are_one_line(open_bench: OpenBench) -> None:
    """It says which settings to look at, and holds no secret."""
    async with open_bench(Plivo(login=("MA", "another"))) as bench:
        report = await bench.backfill()
        assert report.fault is not None
        assert "check PLIVO_AUTH_ID" in report.fault
        assert "FAKE0000" not in report.fault


async def test_a_call_is_read_by_itself(open_bench: OpenBench) -> None:
    """With the legs that it dialled; None if the log does not hold it."""
    plivo = Plivo()
    inbound_calls(plivo)
    async with open_bench(plivo) as bench:
        call_log = bench.log()
        for number, legs in ((5, 2), (8, 1)):
            call = await call_log.read_call(KnownCall(source_call_id=uuid(number)))
            assert call is not None
            assert legs == len(call.entries)
        assert await call_log.read_call(KnownCall(source_call_id=uuid(99))) is None
        assert await call_log.read_call(KnownCall(source_call_id="a/b")) is None
        await call_log.close()
