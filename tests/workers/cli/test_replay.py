"""
replay: known calls replayed, with a read at a Buildr behind a real socket.
"""

import json
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
from click.testing import CliRunner, Result

from service.store.delivery_state import DeliveryState
from service.store.rate_limit.lanes import Lane
from tests.doubles.threads import in_thread
from tests.e2e.harness import free_port
from tests.workers.cli.conftest import Keep, ReplayRequestOf
from workers.cli.main import cli
from workers.sandbox import SandboxConfig, make_server

Command = Callable[..., Result]


@pytest.fixture
def sandbox() -> Iterator[str]:
    """A sandbox that listens; gives its URL."""
    server = make_server(SandboxConfig(limit_mode="off"))
    port = free_port()
    server.config.port = port
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def command(environment: dict[str, str]) -> Command:
    """The command as an operator would type it."""

    def invoke(*arguments: str, code: int = 0, **more: str) -> Result:
        result = in_thread(
            lambda: CliRunner().invoke(cli, ["replay", *arguments], env=environment | more)
        )
        assert code == result.exit_code, result.output + str(result.exception)
        return result

    return invoke


def _hold(sandbox: str, call_id: str, outcome_id: str) -> None:
    httpx.put(
        f"{sandbox}/_sandbox/calls/{call_id}", json={"call_outcome_id": outcome_id}
    ).raise_for_status()


def test_dry_run_looks_at_buildr_and_marks_nothing(
    command: Command, keep: Keep, replay_request_of: ReplayRequestOf, sandbox: str
) -> None:
    """
    The table shows hand edits, the outcome now and then, and what all of it costs; no replay is
    requested.
    """
    refs = [keep(9), keep(10), keep(11, outcome_id="790")]
    _hold(sandbox, "109", "786")
    _hold(sandbox, "110", "791")
    result = command(
        "--source", "twilio", "--dry-run", code=1, BUILDR_API_URL=f"{sandbox}/api/2023-01"
    )
    assert "Connected -> Busy" in result.stdout
    assert "Buildr holds Wrong Number; from us it had Connected" in result.stdout
    counts = "already written: 1, hand-edited in Buildr: 1, will write: 1"
    assert f"{counts}; about 1 min of budget (4 requests) (dry run)" in result.stdout
    assert "" == result.stderr
    assert [None, None, None] == [replay_request_of(ref) for ref in refs]


def test_replay_requests_only_what_will_be_written(
    command: Command, keep: Keep, replay_request_of: ReplayRequestOf, sandbox: str
) -> None:
    """
    The real run gives the verdicts of the dry run as JSON, and marks just the call that will be
    written.
    """
    refs = [keep(9), keep(10)]
    _hold(sandbox, "109", "786")
    _hold(sandbox, "110", "791")
    buildr = {"BUILDR_API_URL": f"{sandbox}/api/2023-01"}
    foretold = json.loads(command("--all", "--dry-run", "--json", code=1, **buildr).stdout)
    done = json.loads(command("--all", "--json", code=1, **buildr).stdout)
    assert foretold["verdicts"] == done["verdicts"]
    assert ["will_write", "hand_edited"] == [item["verdict"] for item in done["verdicts"]]
    requests = [replay_request_of(ref) for ref in refs]
    assert [Lane.REPLAY, None] == [
        None if replay_request is None else replay_request.lane for replay_request in requests
    ]


def test_force_reads_nothing_first(
    command: Command, keep: Keep, replay_request_of: ReplayRequestOf
) -> None:
    """With force Buildr is not read first, and the replay request tells the worker not to."""
    ref = keep(1)
    assert (
        "will write (forced): 1; about 1 min of budget (1 request)"
        in command("CA1", "--force").stdout
    )
    replay_request = replay_request_of(ref)
    assert replay_request is not None
    assert replay_request.is_forced


def test_calls_are_chosen_in_one_way(command: Command, keep: Keep) -> None:
    """
    Nothing chosen, or chosen twice, is wrong usage; a call or a filter that fits nothing is exit
    code 1.
    """
    keep(1)
    keep(2, state=DeliveryState.HAND_EDITED)
    assert "--all" in command(code=2).stderr
    command("CA1", "--all", code=2)
    command("CA1", "--since", "1h", code=2)
    assert "nothing is known of a call CA9" in command("CA9", code=1).stderr
    assert "several calls fit CA" in command("CA", code=1).stderr
    command("--result", "connected", "--offline", code=1)
    for choice in (("--state", "hand_edited"), ("twilio:CA2",), ("CA2", "twilio:CA2")):
        output = json.loads(command(*choice, "--offline", "--dry-run", "--json").stdout)
        assert ["twilio:CA2"] == [item["call"] for item in output["verdicts"]]
    output = json.loads(command("--all", "--limit", "1", "--offline", "--dry-run", "--json").stdout)
    assert ["twilio:CA1"] == [event["call"] for event in output["verdicts"]]


def test_buildr_that_is_away_is_one_line(
    command: Command, keep: Keep, replay_request_of: ReplayRequestOf
) -> None:
    """
    Verdicts that need a read cannot be given, so that nothing is marked; the line names the way
    around.
    """
    ref = keep(1)
    result = command("CA1", code=1)
    assert ("--offline" in result.stderr, 1) == (True, result.stderr.count("\n"))
    assert replay_request_of(ref) is None
