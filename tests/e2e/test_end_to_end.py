"""
The whole service as its users run it: real processes, real requests, a real Redis, and Buildr's
stand-in at the end.
"""

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from tests.conftest import STANDARD_SECRET, TWILIO_TOKEN
from tests.doubles.hooks import hook_server
from tests.doubles.redis import RedisServer
from tests.doubles.threads import in_thread
from tests.e2e.harness import System, call_sid, standard_bodies, twilio_forms, wait_for
from workers.cli.main import cli

pytestmark = pytest.mark.slow
MakeSystem = Callable[..., System]


@pytest.fixture
def make_system(own_redis: RedisServer, tmp_path: Path) -> Iterator[MakeSystem]:
    """Make a system over a Redis of its own; it is stopped at the end."""
    made: list[System] = []

    def make(
        *, extra: dict[str, str] | None = None, sandbox_args: tuple[str, ...] = ("--auto-create",)
    ) -> System:
        system = System(
            folder=tmp_path,
            redis_url=own_redis.url,
            twilio_token=TWILIO_TOKEN,
            standard_secret=STANDARD_SECRET,
            extra=extra or {},
            sandbox_args=sandbox_args,
        )
        made.append(system)
        return system

    yield make
    for system in made:
        system.stop()


def test_every_order_with_duplicates_ends_in_one_right_patch(make_system: MakeSystem) -> None:
    """
    A Twilio and a standard call, in every order of their messages, each sent twice, are PATCHed
    exactly once, rightly.
    """
    system = make_system(
        sandbox_args=("--auto-create", "--limit-mode", "off"),
        extra={"BUILDR_BUDGETS": "10000/1s", "SETTLE_S": "2"},
    )
    system.start_all()
    expected: dict[str, str] = {}
    for number, order in enumerate(itertools.permutations(range(4))):
        forms = twilio_forms(number)
        for place in (*order, *order):
            assert (
                system.twilio(forms[place], query=f"buildr_call_id={1000 + number}").status_code
                == 204
            )
        expected[str(1000 + number)] = "786"
    for number, order in enumerate(itertools.permutations(range(3))):
        bodies = standard_bodies(number)
        for place in (*order, *order):
            assert (
                system.standard(bodies[place], message_id=f"msg_{number}_{place}").status_code
                == 202
            )
        expected[str(2000 + number)] = "789"
    wait_for(lambda: len(system.patches()) >= len(expected), goal="all PATCHes")
    # The settle time after the last message is over for all of them, so that a second PATCH would
    # have come by now.
    wait_for(
        lambda: json.loads(_cli(system, "status", "--json"))["calls_with_an_alarm"] == 0,
        goal="nothing left to do",
    )
    patches = system.patches()
    assert expected == {
        str(patch["path"]).rpartition("/")[2]: _body(patch)["call"]["call_outcome_id"]
        for patch in patches
    }
    assert len(expected) == len(patches)
    assert {"2026-11-02T10:00:00Z"} == {_body(patch)["call"]["recorded_at"] for patch in patches}


def test_killed_workers_lose_nothing_and_never_exceed_the_budget(make_system: MakeSystem) -> None:
    """
    400 webhooks of 100 calls while the worker is killed three times: every call ends right, nothing
    is answered 429.
    """
    faster = {"BUILDR_BUDGETS": "40/1s", "SETTLE_S": "0.2"}
    system = make_system(
        sandbox_args=("--auto-create", "--requests", "40", "--window", "1"), extra=faster
    )
    system.start_all()
    rng = random.Random(11)
    outcomes = {"completed": "786", "no-answer": "789", "busy": "790"}
    expected: dict[str, str] = {}
    messages = []
    for number in range(100):
        status = rng.choice(list(outcomes))
        forms = twilio_forms(number, status=status)
        forms += [forms[-1]] * (4 - len(forms))
        messages += [(form, f"buildr_call_id={5000 + number}") for form in forms]
        expected[str(5000 + number)] = outcomes[status]
    assert 400 == len(messages)
    rng.shuffle(messages)
    for place, (form, query) in enumerate(messages):
        if place in (100, 200, 300):
            system.kill("worker0")
            system.start_worker("worker0")
        assert system.twilio(form, query=query).status_code == 204
    wait_for(
        lambda: len({patch["path"] for patch in system.patches()}) == 100,
        goal="100 calls",
        timeout_s=90,
    )
    wait_for(
        lambda: json.loads(_cli(system, "status", "--json"))["calls_with_an_alarm"] == 0,
        goal="nothing left to do",
        timeout_s=60,
    )
    final = {call_id: system.buildr_call(call_id)["call_outcome"] for call_id in expected}
    assert expected == {
        call_id: outcome["id"] for call_id, outcome in final.items() if isinstance(outcome, dict)
    }
    assert not [patch for patch in system.patches() if patch["status"] == 429]


def test_unmatched_call_goes_on_when_its_link_arrives(make_system: MakeSystem) -> None:
    """
    A call without a Buildr id waits, is listed, and is PATCHed as soon as the link is set over
    HTTP, company included.
    """
    system = make_system()
    system.start_all()
    for form in twilio_forms(7, status="busy"):
        assert system.twilio(form).status_code == 204
    wait_for(
        lambda: len(json.loads(_cli(system, "unmatched", "list", "--json"))) == 1,
        goal="an unmatched call",
    )
    answer = system.http.put(
        f"{system.url}/links/twilio/{call_sid(7)}",
        json={"buildr_call_id": "110", "company_id": "753"},
        headers={"Authorization": "Bearer admin-token-of-the-tests"},
    )
    assert answer.status_code in {200, 201}
    wait_for(lambda: len(system.patches()) == 1, goal="the PATCH")
    (patch,) = system.patches()
    assert {
        "call": {
            "call_outcome_id": "790",
            "company_id": "753",
            "recorded_at": "2026-11-02T10:00:00Z",
        }
    } == _body(patch)
    assert [] == json.loads(_cli(system, "unmatched", "list", "--json"))


def test_refused_call_is_kept_and_replayed(make_system: MakeSystem) -> None:
    """
    A 404 files the call with Buildr's answer; after an operator has created the call, replay
    delivers it, also the second time around.
    """
    system = make_system(sandbox_args=())
    system.start_all()
    for form in twilio_forms(8):
        system.twilio(form, query="buildr_call_id=4711")
    for _ in range(2):
        wait_for(
            lambda: len(json.loads(_cli(system, "failed", "list", "--json"))) == 1,
            goal="the failed call",
        )
        (entry,) = json.loads(_cli(system, "failed", "list", "--json"))
        assert ("buildr_rejected", 404) == (entry["cause"], entry["answers"][-1]["status_code"])
        assert "404" in _cli(system, "failed", "replay", entry["entry_id"], "--dry-run", code=1)
        _cli(system, "failed", "replay", entry["entry_id"], "--force")
    wait_for(
        lambda: len(json.loads(_cli(system, "failed", "list", "--json"))) == 1,
        goal="the call to fail again",
    )
    system.http.put(
        f"{system.sandbox_url}/_sandbox/calls/4711", json={"notes": "made by hand"}
    ).raise_for_status()
    _cli(system, "failed", "replay", "--all")
    wait_for(lambda: bool(system.buildr_call("4711")["call_outcome"]), goal="the replayed PATCH")
    assert [] == json.loads(_cli(system, "failed", "list", "--json"))


def test_one_message_id_leads_from_receipt_to_patch_and_nothing_personal_is_logged(
    make_system: MakeSystem,
) -> None:
    """
    The id that the receiver logs for the last webhook is on the worker's line of the PATCH; no
    log and no trace holds a number or a secret.
    """
    with hook_server() as hook:
        system = make_system(
            extra={
                "ALERTS_SLACK_URL": hook.url,
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{hook.port}",
                # Of the library: milliseconds after which spans are sent.
                "OTEL_BSP_SCHEDULE_DELAY": "100",
                "SENTRY_DSN": f"http://fakekey@127.0.0.1:{hook.port}/7",
            }
        )
        system.start_all()
        for form in twilio_forms(9):
            system.twilio(form, query="buildr_call_id=110")
        wait_for(lambda: '"buildr.patched"' in system.log("worker0"), goal="the PATCH")
        wait_for(lambda: b"Buildr PATCH" in b"".join(hook.bodies), goal="its span")
        spans = repr(hook.bodies)
    assert "webhook" in spans
    accepted = [
        json.loads(line)
        for line in system.log("receiver").splitlines()
        if '"message.accepted"' in line
    ]
    patched = next(
        json.loads(line)
        for line in system.log("worker0").splitlines()
        if '"buildr.patched"' in line
    )
    assert patched["message_id"] in {line["message_id"] for line in accepted}
    assert call_sid(9) == patched["source_call_id"]
    everything = system.log("receiver") + system.log("worker0") + spans
    for secret in (
        "5005550006",
        "5005550001",
        TWILIO_TOKEN,
        STANDARD_SECRET,
        "sandbox-secret",
        "admin-token-of-the-tests",
    ):
        assert secret not in everything
    assert not re.search(r"Bearer [A-Za-z0-9]", everything)


def test_notes_are_appended_once_and_hand_written_text_stays(
    make_system: MakeSystem, tmp_path: Path
) -> None:
    """
    In mode append the block is added below what an operator wrote, once, and a late recording
    replaces only the block.
    """
    config = tmp_path / "notes.toml"
    config.write_text(
        '[notes]\nmode = "append"\n'
        'template = "{{ result }}{% if recording_url %} {{ recording_url }}{% endif %}"\n',
        encoding="utf-8",
    )
    system = make_system(extra={"CONFIG": str(config), "SETTLE_S": "0"}, sandbox_args=())
    system.start_all()
    system.http.put(
        f"{system.sandbox_url}/_sandbox/calls/110", json={"notes": "Typed by a person"}
    ).raise_for_status()
    for form in twilio_forms(10):
        system.twilio(form, query="buildr_call_id=110")
    wait_for(lambda: "connected" in str(system.buildr_call("110")["notes"]), goal="the note")
    recording = {
        "AccountSid": "AC00000000000000000000000000000001",
        "CallSid": call_sid(10),
        "RecordingSid": "RE00000000000000000000000000000001",
        "RecordingUrl": "https://api.example.test/rec",
        "RecordingStatus": "completed",
        "RecordingSource": "DialVerb",
    }
    system.twilio(recording, query="buildr_call_id=110")
    wait_for(
        lambda: "rec" in str(system.buildr_call("110")["notes"]),
        goal="the recording in the note",
    )
    assert (
        "Typed by a person\n\nconnected https://api.example.test/rec"
        == system.buildr_call("110")["notes"]
    )


def test_commands_work_against_the_running_service(make_system: MakeSystem) -> None:
    """
    `trigger` simulates a signed call that ends in a PATCH, `outcomes list` reads the account,
    `check` finds all but the public URL right.
    """
    system = make_system(extra={"SETTLE_S": "0.2"})
    system.start_all()
    assert "202" in _cli(
        system, "trigger", "standard", "no-answer", "--set", "buildr_call_id=110", "--faults"
    )
    wait_for(lambda: len(system.patches()) == 1, goal="the PATCH of the triggered call")
    assert "789" == _body(system.patches()[0])["call"]["call_outcome_id"]
    assert {"id": "786", "name": "Connected"} in json.loads(
        _cli(system, "outcomes", "list", "--json")
    )
    findings = json.loads(_cli(system, "check", "--json", code=1))
    assert ["public url"] == [finding["what"] for finding in findings if not finding["is_fine"]]


def _cli(system: System, *arguments: str, code: int = 0) -> str:
    # In this process: a start of Python for each command would be most of the time of these tests.
    # Its log, which a process of its own would not show below an error, is left out.
    with capture_logs():
        result = in_thread(
            lambda: CliRunner().invoke(cli, list(arguments), env=dict(system.environment))
        )
    assert code == result.exit_code, result.output + str(result.exception)
    return result.stdout


def _body(patch: dict[str, object]) -> dict[str, dict[str, str]]:
    return cast("dict[str, dict[str, str]]", patch["body"])
