"""
What an installation holds before the commands of a page are run: calls in every state, and the
files that the pages name.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

import httpx
from redis import Redis

from tests.repository.docs_commands.system import ShownSystem
from workers.simulator.scenarios import load

FAILED_CALL: Final = "CA00000000000000000000000000000001"
CORRECTED_CALL: Final = "CA00000000000000000000000000000002"
CORRECTED_NUMBER: Final = "+15005550003"
# Reported once more after somebody has corrected the call in Buildr.
CORRECTED: Final = f"twilio answered --set call_id={CORRECTED_CALL} --set buildr_call_id=112"
# What `trigger` sends, by the number of the customer.
CALLS_TO_SEED: Final = {
    "+15005550006": f"twilio answered --set call_id={FAILED_CALL} --set buildr_call_id=110",
    "+15005550005": "twilio answered --set buildr_call_id=113",
    "+15005550002": "standard answered --set buildr_call_id=111 --set 'agent=Ana Lima'",
    CORRECTED_NUMBER: CORRECTED.replace(" answered ", " busy "),
    "+15005550004": "twilio no-answer",
}
OWN_NUMBER: Final = "+15005550009"
MAP: Final = """
[outcomes]
connected = "Connected"
no_answer = "No Answer"

[[outcomes.tests]]
name = "a conversation"
call = { result = "connected", talk_s = 95 }
outcome = "Connected"

[accounts.acme]
"""
# What Buildr's exports look like: the columns of docs/expected-calls.md.
CALLS: Final = """id,Mobile,Assigned to
111,(500) 555-0001,ana@example.com
112,+1 500 555 0002,ana@example.com
"""
CALLS_BY_OTHER_NAMES: Final = """Call #,Mobile
111,(500) 555-0001
"""
PEOPLE: Final = """Contact ID,Company ID,Mobile,Office Phone
418,101,(500) 555-0001,
419,102,,500-555-0200 x12
"""
PEOPLE_BY_OTHER_NAMES: Final = """Ref,Mobile Phone,Desk
418,(500) 555-0001,500-555-0100
"""
LINKS: Final = """source,source_call_id,buildr_call_id
zoom,7412000000000000001,115
"""
# By the beginning of the command that reads the file; the longest one counts.
FILES: Final[Mapping[str, Mapping[str, str]]] = {
    "buildr-calls": {
        "buildr-calls.toml": MAP,
        "new.toml": MAP.replace('no_answer = "No Answer"', 'no_answer = "Busy"'),
        "calls.csv": CALLS,
        "people.csv": PEOPLE,
        "links.csv": LINKS,
    },
    "buildr-calls expect import calls.csv --map": {"calls.csv": CALLS_BY_OTHER_NAMES},
    "buildr-calls phonebook import people.csv --map": {"people.csv": PEOPLE_BY_OTHER_NAMES},
}


def write_files(command: str, folder: Path) -> None:
    """Write the files that a command reads and that are not there yet, or are others by now."""
    for start, files in FILES.items():
        for name, text in files.items():
            path = folder / name
            is_named = len(start) > len("buildr-calls")
            if command.startswith(start) and (is_named or not path.exists()):
                path.write_text(text, encoding="utf-8")


def write_request_files(folder: Path) -> None:
    """request1.json and so on: what Twilio sends of one call; request.json is the last one."""
    requests = load("twilio", "answered").requests({}, datetime.now(UTC), Random(1))
    for number, request in enumerate(requests, 1):
        for name in (f"request{number}.json", "request.json"):
            (folder / name).write_text(json.dumps(request), encoding="utf-8")


def seed_other_installation(system: ShownSystem) -> None:
    """
    production.env: the settings of another instance. What it has received is what is here, in the
    same Redis under another name.
    """
    lines = [f"REDIS_URL={system.variables['REDIS_URL']}", "ACCOUNT=production"]
    (system.folder / "production.env").write_text("\n".join([*lines, ""]), encoding="utf-8")
    with Redis.from_url(system.variables["REDIS_URL"]) as client:
        for key in client.scan_iter("bc:default:*"):
            client.copy(key, key.replace(b"bc:default:", b"bc:production:"))


def seed_calls(system: ShownSystem) -> None:
    """
    Two calls that Buildr has refused, two that were delivered, of which somebody has corrected one
    since, one without a Buildr call, an expected one, and a request that was not proved.
    """
    # The receiver notes it within a second, and meanwhile the calls are made.
    httpx.post(f"{system.url}/webhooks/twilio", data={"CallSid": "CA1"})
    for buildr_call_id in (110, 113):
        fault = {"kind": "status", "status": 422, "match": f"calls/{buildr_call_id}"}
        httpx.post(f"{system.sandbox_url}/_sandbox/faults", json=fault).raise_for_status()
    for number, line in CALLS_TO_SEED.items():
        _trigger(system, number, line)
    system.wait_for_rest()
    url = f"{system.sandbox_url}/_sandbox/calls/112"
    httpx.put(url, json={"call_outcome_id": "791"}).raise_for_status()
    _trigger(system, CORRECTED_NUMBER, CORRECTED)
    system.run_line("expect 110 --number '+1 500 555 0008'")
    system.wait_for_rest()
    system.wait_for_refusal()


def _trigger(system: ShownSystem, number: str, line: str) -> None:
    system.run_line(f"trigger {line} --set from={OWN_NUMBER} --set to={number}")


SEEDS: Final[tuple[Callable[[ShownSystem], None], ...]] = (
    seed_calls,
    seed_other_installation,
    lambda system: write_request_files(system.folder),
)
