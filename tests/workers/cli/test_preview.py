"""
outcomes preview: a changed map tried on known calls, and rewriting them once the workers have it.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from click.testing import CliRunner, Result

from service.clock import utc_now
from service.settings import Settings
from service.settings.outcomes import OutcomeConfig
from service.store.connection import open_store
from service.store.delivery_state import DeliveryState
from service.store.rate_limit.lanes import Lane
from tests.workers.cli.conftest import Keep, ReplayRequestOf
from workers.cli.main import cli
from workers.outcomes.decide import map_digest

NEW = '[outcomes]\nbusy = "No Answer"\n'


class Command(Protocol):
    """Run the command."""

    def __call__(self, *arguments: str, code: int = 0, answer: str = "") -> Result:
        """With arguments; `answer` is typed when it asks."""


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> Command:
    """The command as an operator would type it, beside a file with the changed map."""
    (tmp_path / "new.toml").write_text(NEW, encoding="utf-8")

    def invoke(*arguments: str, code: int = 0, answer: str = "") -> Result:
        result = CliRunner().invoke(
            cli, ["outcomes", "preview", *arguments], env=environment, input=answer
        )
        assert code == result.exit_code, result.output + str(result.exception)
        return result

    return invoke


@pytest.fixture
def worker_has(redis_url: str, make_settings: Callable[..., Settings]) -> Callable[[str], None]:
    """Let a worker say that it decides by a map."""

    async def say(outcome: str) -> None:
        config = OutcomeConfig.model_validate({"outcomes": {"busy": outcome}})
        async with open_store(make_settings(REDIS_URL=redis_url), role="cli") as store:
            text = f"{int(utc_now().timestamp() * 1000)}:{map_digest(config)}"
            await store.redis.hset(store.keys.named("maps"), "worker", text)

    return lambda outcome: asyncio.run(say(outcome))


def test_preview_shows_pairs_agents_and_what_it_would_cost(
    command: Command, keep: Keep, replay_request_of: ReplayRequestOf
) -> None:
    """
    Each pair of outcomes has its count, each agent theirs, each call its rule; nothing is written,
    and the output says so.
    """
    refs = [keep(1), keep(2, outcome_id="789"), keep(3, state=DeliveryState.FAILED)]
    text = command("--config", "new.toml", "--since", "7d", "--calls").stdout
    assert "Connected    No Answer  1      rewritten" in text
    assert "agent 1  Connected    No Answer  1" in text
    assert "twilio:CA1  101          agent 1  busy    Connected    No Answer  outcomes.busy" in text
    assert "2 calls looked at, of which 1 changes; left out: failed, see: buildr-calls " in text
    assert "--apply rewrites 1: about 1 min of budget (2 requests)" in text
    assert "Nothing was written" in text
    assert [None] * 3 == [replay_request_of(ref) for ref in refs]


def test_preview_is_about_the_calls_that_were_chosen(command: Command, keep: Keep) -> None:
    """Agent, source and limit each choose; without a file it is the map in place that is tried."""
    for number in (1, 2):
        keep(number)
    for choice, count in (
        (("--agent", "Agent 2"), 1),
        (("--source", "standard"), 0),
        (("--limit", "1"), 1),
        ((), 2),
    ):
        assert count == len(
            json.loads(command("--config", "new.toml", "--json", *choice).stdout)["changes"]
        )
    output = json.loads(command("--json").stdout)
    assert (["Busy", "Busy"], 4) == (
        [event["outcome_then"] for event in output["changes"]],
        output["requests"],
    )
    assert {"rewritten": 2, "kept": 0, "to_come": 0} == output["counts"]


def test_outcome_that_the_account_lacks_is_a_fault(
    command: Command, keep: Keep, tmp_path: Path
) -> None:
    """
    A name that Buildr does not know, and a file that is no map, are faults of
    the settings.
    """
    keep(1)
    (tmp_path / "new.toml").write_text('[outcomes]\nbusy = "No Anser"\n', encoding="utf-8")
    assert 'did you mean "no answer"?' in command("--config", "new.toml", code=1).stderr
    (tmp_path / "new.toml").write_text("[outcomes]\nbussy = 1\n", encoding="utf-8")
    assert "bussy" in command("--config", "new.toml", code=1).stderr


def test_account_whose_outcomes_were_never_read_says_what_to_do(command: Command) -> None:
    """Without the account's outcomes nothing can be compared."""
    assert "outcomes list" in command("--config", "new.toml", code=1).stderr


def test_apply_is_refused_unless_the_workers_have_the_map(
    command: Command,
    keep: Keep,
    replay_request_of: ReplayRequestOf,
    worker_has: Callable[[str], None],
) -> None:
    """
    Workers decide by their own file: without one that has the new map nothing is marked, and the
    cure is named.
    """
    ref = keep(1)
    assert (
        "no worker is running" in command("--config", "new.toml", "--apply", "--yes", code=1).stderr
    )
    worker_has("Busy")
    stderr = command("--config", "new.toml", "--apply", "--yes", code=1).stderr
    assert (
        "1 of 1 running workers decide by another map: put new.toml in place of buildr-calls.toml, "
        "restart the workers" in stderr
    )
    assert replay_request_of(ref) is None


def test_apply_asks_and_then_marks_what_changes(
    command: Command,
    keep: Keep,
    replay_request_of: ReplayRequestOf,
    worker_has: Callable[[str], None],
) -> None:
    """
    Answered with no, nothing happens; with yes, the calls that change get a replay request in the
    last lane, and the others none.
    """
    refs = [keep(1), keep(2, outcome_id="789")]
    worker_has("No Answer")
    command("--config", "new.toml", "--apply", code=1, answer="n\n")
    assert [None, None] == [replay_request_of(ref) for ref in refs]
    result = command("--config", "new.toml", "--apply", answer="y\n")
    assert "Rewrite 1 calls in Buildr?" in result.stderr
    assert [(Lane.BACKFILL, False), None] == [
        None if replay_request is None else (replay_request.lane, replay_request.is_forced)
        for replay_request in map(replay_request_of, refs)
    ]
    output = json.loads(
        command("--config", "new.toml", "--apply", "--yes", "--force", "--json").stdout
    )
    assert (True, 0) == (output["is_applied"], output["counts"]["rewritten"])


def test_force_and_yes_go_with_apply(command: Command) -> None:
    """They mean nothing alone."""
    command("--force", code=2)
    command("--yes", code=2)
