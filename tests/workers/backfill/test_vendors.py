"""
What the call logs of Aircall, Dialpad, RingCentral and Zoom can tell, and what they cannot.
"""

import json
from collections.abc import Mapping
from datetime import datetime

import pytest

from tests.doubles.vendors.aircall import Aircall
from tests.doubles.vendors.dialpad import Dialpad
from tests.doubles.vendors.ringcentral import RingCentral
from tests.doubles.vendors.zoom import Zoom
from tests.workers.backfill.conftest import OpenBench
from tests.workers.backfill.harness import Bench, at, counts, verdicts
from workers.backfill.assessment import Verdict

pytestmark = pytest.mark.anyio
JSON = "application/json"


def epoch(moment: datetime) -> int:
    """Seconds since 1970."""
    return int(moment.timestamp())


def ms(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return epoch(moment) * 1000


def iso(moment: datetime) -> str:
    """As vendors write a time."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


async def results(bench: Bench, *call_ids: str) -> dict[str, str | None]:
    """How calls ended, by a worker's run."""
    return {call_id: await bench.result(f"{bench.slug}:{call_id}") for call_id in call_ids}


def aircall_call(call_id: int, began: str, **more: object) -> dict[str, object]:
    """A call object of Aircall's API."""
    return {
        "id": call_id,
        "direct_link": f"https://api.aircall.io/v1/calls/{call_id}",
        "status": "done",
        "direction": "inbound",
        "started_at": epoch(at(began)),
        "answered_at": None,
        "ended_at": epoch(at(began)) + 60,
        "duration": 60,
        "raw_digits": "+1 500-555-0001",
        "number": {"id": 1, "digits": "+1 500-555-0006"},
        "tags": [],
        "comments": [],
        "cost": "0.0",
        **more,
    }


async def test_aircall(open_bench: OpenBench) -> None:
    """A call is what `call.ended` holds; a file's address with a signature makes no news."""
    aircall = Aircall()
    aircall.calls += [
        aircall_call(1, "9:00", answered_at=epoch(at("9:00")) + 10, user={"name": "Dana"}),
        aircall_call(2, "9:10", missed_call_reason="agents_did_not_answer"),
        aircall_call(3, "9:20", voicemail="https://files.test/3.mp3?sig=1", asset="https://a/3"),
        aircall_call(4, "9:30", direction="outbound", comments=[{"content": "buildr_call_id=110"}]),
        aircall_call(5, "17:30", status="answered", ended_at=None),
    ]
    async with open_bench(aircall) as bench:
        report = await bench.backfill()
        assert (None, 4, 1) == (report.fault, report.fed, counts(report)[Verdict.IN_PROGRESS])
        assert {
            "1": "connected",
            "2": "missed_inbound",
            "3": "voicemail_received",
            "4": "no_answer",
        } == await results(bench, "1", "2", "3", "4")
        assert "110" == (await bench.record("aircall:4")).buildr_call_id
        aircall.calls[2]["voicemail"] = "https://files.test/3.mp3?sig=2"
        assert 0 == (await bench.backfill()).fed


def dialpad_leg(call_id: int, began: str, seconds: int, **more: object) -> dict[str, object]:
    """A leg of Dialpad's call list."""
    started = ms(at(began))
    return {
        "call_id": call_id,
        "state": "hangup",
        "direction": "inbound",
        "external_number": "+15005550001",
        "internal_number": "+15005550006",
        "date_started": started,
        "date_ended": started + seconds * 1000,
        "event_timestamp": started + seconds * 1000,
        "entry_point_call_id": None,
        "master_call_id": None,
        "operator_call_id": None,
        "routing_breadcrumbs": [{"breadcrumb_type": "callrouter"}],
        **more,
    }


def dialpad_queue_call(first: int, began: str) -> list[dict[str, object]]:
    """A caller in a call centre's queue, whom an agent took ten minutes later."""
    center = {"type": "callcenter", "name": "Sales"}
    started = ms(at(began))
    return [
        dialpad_leg(
            first,
            began,
            900,
            target=center,
            date_queued=started,
            date_connected=started + 600_000,
            operator_call_id=first + 1,
        ),
        dialpad_leg(
            first + 1,
            "9:10",
            300,
            target={"type": "user", "email": "dana@example.test"},
            entry_point_call_id=first,
            master_call_id=first,
            date_connected=started + 600_000,
            duration=300_000,
        ),
    ]


async def test_dialpad(open_bench: OpenBench) -> None:
    """The legs of a call are fed in together, so that none of them decides alone."""
    dialpad = Dialpad()
    dialpad.legs += [
        *dialpad_queue_call(101, "9:00"),
        dialpad_leg(201, "10:00", 30, target={"type": "user"}, state="missed"),
        dialpad_leg(
            301,
            "11:00",
            40,
            direction="outbound",
            target={"type": "user"},
            custom_data='{"buildr_call_id": "110"}',
        ),
        dialpad_leg(
            401,
            "12:00",
            50,
            target={"type": "user"},
            state="voicemail",
            voicemail_share_link="https://dialpad.test/v/401",
        ),
        dialpad_leg(501, "13:00", 50, target={"type": "user"}, is_internal=True),
    ]
    async with open_bench(dialpad) as bench:
        report = await bench.backfill()
        assert (None, 4, 1) == (report.fault, report.fed, counts(report)[Verdict.INTERNAL])
        assert {
            "101": "connected",
            "201": "missed_inbound",
            "301": "no_answer",
            "401": "voicemail_received",
        } == await results(bench, "101", "201", "301", "401")
        assert "110" == (await bench.record("dialpad:301")).buildr_call_id


def rc_record(session: str, began: str, **more: object) -> dict[str, object]:
    """A record of RingCentral's call log."""
    return {
        "id": f"id-{session}",
        "telephonySessionId": session,
        "startTime": f"{at(began):%Y-%m-%dT%H:%M:%S.000Z}",
        "duration": 60,
        "type": "Voice",
        "direction": "Inbound",
        "action": "Phone Call",
        "result": "Accepted",
        "from": {"phoneNumber": "+15005550001"},
        "to": {"phoneNumber": "+15005550006"},
        "legs": [],
        **more,
    }


async def test_ringcentral(open_bench: OpenBench) -> None:
    """An accepted call without a leg of ours that took it may have been a menu: it stays open."""
    ringcentral = RingCentral()
    taken = [
        {"result": "Accepted", "legType": "Accept"},
        {"result": "Accepted", "legType": "Accept", "extension": {"id": 62264425016}},
    ]
    ringcentral.records += [
        rc_record("s-1", "9:00", legs=taken),
        rc_record("s-2", "9:10", legs=taken[:1]),
        rc_record("s-3", "9:20", result="Missed"),
        rc_record("s-4", "9:30", result="Voicemail", message={"id": "7", "type": "VoiceMail"}),
        rc_record("s-5", "9:40", result="Voicemail"),
        rc_record(
            "s-6",
            "9:50",
            direction="Outbound",
            result="Wrong Number",
            **{"from": {"extensionId": "62264425016"}},
        ),
        rc_record("s-7", "10:00", result="In Progress"),
        rc_record("s-8", "10:10", result="Something New"),
        rc_record("s-9", "10:20", **{"from": {"extensionNumber": "101"}}),
    ]
    async with open_bench(ringcentral) as bench:
        report = await bench.backfill()
        assert None is report.fault
        missing = dict.fromkeys(("s-1", "s-3", "s-4", "s-6"), "missing")
        assert {**missing, "s-2": "untold", "s-5": "untold", "s-8": "untold"} == verdicts(report)
        assert {
            "s-1": "connected",
            "s-3": "missed_inbound",
            "s-4": "voicemail_received",
            "s-6": "invalid_number",
        } == await results(bench, "s-1", "s-3", "s-4", "s-6")
        assert 1 == sum(item.line == "POST /restapi/oauth/token" for item in ringcentral.received)


def zoom_history(number: int, began: str, *elements: Mapping[str, object]) -> dict[str, object]:
    """A call history of Zoom Phone with its elements."""
    common = {
        "call_history_uuid": f"20261127-{number}",
        "call_id": str(7_000_000_000_000_000_000 + number),
        "connect_type": "external",
        "start_time": iso(at(began)),
        "end_time": iso(at(began).replace(second=59)),
    }
    return {
        **common,
        "direction": elements[0]["direction"],
        "call_elements": [
            {**common, "call_element_id": f"e{number}-{place}", **element}
            for place, element in enumerate(elements)
        ],
    }


def zoom_ring(user: str, result: str, **more: object) -> dict[str, object]:
    """The element of a telephone that rang for a queue."""
    return {
        "direction": "inbound",
        "event": "ring_to_member",
        "caller_did_number": "+15005550001",
        "callee_ext_type": "user",
        "callee_ext_id": user,
        "callee_email": f"{user}@example.test",
        "call_result": result,
        **more,
    }


async def test_zoom(open_bench: OpenBench) -> None:
    """The elements of a queue say who took the call; a call among ourselves is left out."""
    zoom = Zoom()
    queue = {
        "direction": "inbound",
        "event": "incoming",
        "caller_did_number": "+15005550001",
        "callee_did_number": "+15005550006",
        "callee_ext_type": "call_queue",
        "callee_ext_id": "q1",
        "callee_name": "Sales",
        "call_result": "answered",
    }
    out = {
        "direction": "outbound",
        "event": "outgoing",
        "caller_ext_type": "user",
        "caller_ext_id": "u1",
        "callee_did_number": "+15005550001",
        "call_result": "busy",
    }
    zoom.histories += [
        zoom_history(
            1,
            "9:00",
            queue,
            zoom_ring("u1", "ring_timeout"),
            zoom_ring("u2", "answered", answer_time=iso(at("9:00")), talk_time=40),
        ),
        zoom_history(2, "9:10", out),
        {**zoom_history(3, "9:20", out), "connect_type": "internal"},
        {**zoom_history(4, "9:30", out), "call_elements": []},
    ]
    ids = [str(item["call_id"]) for item in zoom.histories]
    async with open_bench(zoom) as bench:
        report = await bench.backfill()
        assert None is report.fault
        expected = {ids[0]: "missing", ids[1]: "missing", ids[3]: "untold"}
        assert expected == verdicts(report)
        assert {ids[0]: "connected", ids[1]: "busy"} == await results(bench, *ids[:2])


async def test_a_webhook_and_its_record_make_one_call(open_bench: OpenBench) -> None:
    """The id is the same, in whatever order they come."""
    aircall = Aircall()
    aircall.calls.append(aircall_call(1, "9:00"))
    body = {"resource": "call", "event": "call.created", "timestamp": epoch(at("9:00"))}
    data = {name: value for name, value in aircall.calls[0].items() if name != "ended_at"}
    async with open_bench(aircall) as bench:
        ref = await bench.webhook(json.dumps({**body, "data": data}).encode(), JSON)
        report = await bench.backfill()
        assert {"1": "unended"} == verdicts(report)
        assert "missed_inbound" == await bench.result(ref)
