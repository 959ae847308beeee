"""
One scenario from start to end.

    python -m tests.faults.trial NAME FOLDER        run it and print its row as JSON
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from tests.faults.calls import SimulatedCall, make_calls
from tests.faults.catalogue import SCENARIOS
from tests.faults.judge import Evidence, Holding, Row, Verdicts, judge
from tests.faults.redis_process import faketime_library
from tests.faults.scenario import Need, Scenario
from tests.faults.stage import Stage, can_mount
from tests.faults.traffic import Senders, SentMessage

POLL_INTERVAL_S: Final = 1.0
STDIN: Final = 0


async def run(scenario: Scenario, folder: Path) -> Row:
    """Run one scenario in a folder of its own and judge it."""
    began = time.monotonic()
    skipped = _missing(scenario, folder)
    if skipped:
        return Row(scenario.name, scenario.title, skipped=skipped)
    stage = Stage(scenario, folder)
    try:
        await stage.start()
        row = await _act(stage)
    finally:
        await stage.close()
    row.lasted_s = time.monotonic() - began
    return row


def _missing(scenario: Scenario, folder: Path) -> str:
    if Need.CLOCKS in scenario.needs and faketime_library() is None:
        return f"this machine lacks {Need.CLOCKS}"
    if Need.TMPFS in scenario.needs and not can_mount(folder):
        return f"this machine lacks {Need.TMPFS}"
    return ""


async def _act(stage: Stage) -> Row:
    scenario = stage.scenario
    calls = make_calls(scenario.traffic.calls, scenario.traffic.kinds)
    await stage.link([call for call in calls if call.kind.needs_link])
    senders = Senders(scenario.traffic, stage.public_ports)
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(_break(stage, began))
        group.create_task(senders.run(calls))
    await _until_right(stage, calls, senders.messages)
    await asyncio.sleep(scenario.linger_s)
    # Once more: an outcome that was right must stay so.
    await _until_right(stage, calls, senders.messages)
    return judge(stage, await _evidence(stage, calls, senders.messages))


async def _break(stage: Stage, began: float) -> None:
    for step in stage.scenario.steps:
        await asyncio.sleep(max(0.0, began + step.at_s - time.monotonic()))
        await step.action(stage)
    stage.fault_ended_at = time.time()


async def _until_right(
    stage: Stage, calls: Sequence[SimulatedCall], messages: Sequence[SentMessage]
) -> None:
    """Wait until Buildr holds everything that it should, or the time for that is over."""
    verdicts = Verdicts(messages)
    deadline = time.monotonic() + stage.scenario.recovery_s
    while time.monotonic() < deadline:
        holdings = await _holdings(stage)
        if all(verdicts.is_right(call, holdings.get(call.buildr_call_id)) for call in calls):
            return
        await asyncio.sleep(POLL_INTERVAL_S)


async def _holdings(stage: Stage) -> dict[str, Holding]:
    answer = await stage.sandbox("GET", "/calls")
    if not isinstance(answer, dict):
        raise TypeError("the sandbox lists no calls")
    return {
        call_id: Holding(fields["call_outcome_id"], fields["notes"] or "")
        for call_id, fields in answer["calls"].items()
    }


async def _evidence(
    stage: Stage, calls: Sequence[SimulatedCall], messages: Sequence[SentMessage]
) -> Evidence:
    listing = await stage.sandbox("GET", "/requests")
    state = await stage.sandbox("GET", "/state")
    if not isinstance(listing, dict) or not isinstance(state, dict):
        raise TypeError("the sandbox shows no requests")
    requests = listing["requests"]
    for request in requests:
        request["at_s"] = datetime.fromisoformat(request["at"]).timestamp()
    return Evidence(calls, messages, await _holdings(stage), requests, state)


def _end_with_the_runner() -> None:
    """End this process and all that it started when the program that started it is gone."""

    def watch() -> None:
        while os.read(STDIN, 1024):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="stdin", daemon=True).start()


def main() -> None:
    """Run the scenario that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.trial", description=__doc__)
    parser.add_argument("name", choices=sorted(SCENARIOS))
    parser.add_argument("folder", type=Path, help="an empty folder for everything that it writes")
    parser.add_argument("--watched", action="store_true", help="end when stdin closes")
    options = parser.parse_args()
    if options.watched:
        _end_with_the_runner()
    row = asyncio.run(run(SCENARIOS[options.name], options.folder))
    sys.stdout.write(json.dumps(row.as_json()) + "\n")


if __name__ == "__main__":
    main()
