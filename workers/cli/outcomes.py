"""
`buildr-calls outcomes list` and `outcomes test`: the account's outcomes, and sample calls run
through the map of outcomes.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from redis.exceptions import RedisError

from service.errors import BuildrError, BuildrRateLimited, QueueUnavailable
from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.outcomes import StoredOutcomes
from workers.buildr import BuildrClient, token_provider
from workers.cli.accounts import load_settings
from workers.cli.failure import FAILED, SettingsFault, buildr_failure
from workers.cli.install_map import install_outcomes
from workers.cli.output import echo, print_json, print_table
from workers.cli.preview import preview_outcomes
from workers.cli.session import run_with_store
from workers.delivery.desired import outcome_ids_of
from workers.delivery.outcome_catalog import OutcomeCatalog
from workers.outcomes.decide import unknown_names, unknown_names_of_tests
from workers.outcomes.sample_calls import SampleResult, run_tests

BUDGET_WAIT_S: Final = 30.0
LEFT_ALONE: Final = "left alone"
NO_TESTS: Final = "There is no test: write [[outcomes.tests]] into buildr-calls.toml."


async def display_names(store: Store) -> tuple[tuple[str, str], ...]:
    """Name and id of each outcome as Buildr writes them, as last read; empty if never."""
    stored = await store.outcomes.load()
    if stored is None:
        return ()
    return stored.names


async def read_names(settings: Settings, store: Store) -> dict[str, str]:
    """
    The account's outcomes, ids by their lower-case names, read from Buildr now within the budget.

    Raises `BuildrError`, also if the budget allows no request within 30 s.
    """
    names = OutcomeCatalog(store, lambda: datetime.now(UTC))
    async with BuildrClient(settings, tokens=token_provider(settings, store.tokens)) as client:
        try:
            async with asyncio.timeout(BUDGET_WAIT_S):
                while not await names.refresh(client, hold_s=settings.buildr_timeout_s + 2):
                    await store.permits.pump()
                    await asyncio.sleep(0.1)
        except TimeoutError as err:
            raise BuildrRateLimited(
                "the budget of requests is used up; try again in a minute", retry_after_s=None
            ) from err
    return dict(await names.current() or {})


@click.group()
def outcomes() -> None:
    """
    See the call outcomes of the Buildr account, and try the map of outcomes.

    \b
    Examples:
      buildr-calls outcomes list
      buildr-calls outcomes test
    """


@outcomes.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_outcomes(*, as_json: bool) -> None:
    """
    List the account's call outcomes with their ids, for `buildr-calls.toml`.

    \b
    Example:
      buildr-calls outcomes list --json
    """

    async def work(settings: Settings, store: Store) -> tuple[tuple[str, str], ...]:
        await read_names(settings, store)
        return await display_names(store)

    try:
        names = run_with_store(work)
    except BuildrError as err:
        raise buildr_failure(err) from err
    if as_json:
        print_json([{"id": outcome_id, "name": name} for name, outcome_id in names])
    else:
        print_table(
            ("id", "name"),
            [(outcome_id, name) for name, outcome_id in names],
            empty="The account has no call outcomes.",
        )


@outcomes.command("test")
@click.option(
    "--config",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another file than the one in place.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def run_outcome_tests(*, path: Path | None, as_json: bool) -> None:
    """
    Run the sample calls of [[outcomes.tests]] through the map of outcomes in the same file.

    Nothing is sent or stored. Exit code 1 if a call does not get the outcome that its test expects.

    \b
    Examples:
      buildr-calls outcomes test
      buildr-calls outcomes test --config new.toml
    """
    overrides = {}
    if path is not None:
        overrides["CONFIG"] = str(path.resolve())
    settings = load_settings(is_local=True, overrides=overrides)
    results: Sequence[SampleResult] = ()
    if settings.outcome_config.tests:
        results = _run(settings)
    if as_json:
        print_json(_as_dict(results))
    else:
        _print(results)
    if not all(result.is_passed for result in results):
        raise SystemExit(FAILED)


def _run(settings: Settings) -> Sequence[SampleResult]:
    """
    What becomes of the sample calls. Ends the command with one line for each outcome that the
    account does not have, as far as its outcomes are known.
    """
    config = settings.outcome_config
    stored = asyncio.run(_stored_outcomes(settings))
    outcome_ids = outcome_ids_of(stored)
    if stored is None or outcome_ids is None:
        echo("The account's outcomes are not known here: names are not checked.", is_error=True)
        return run_tests(config)
    spelt_names = [name for name, _ in stored.names]
    faults = (
        *unknown_names(config, outcome_ids, display_names=spelt_names),
        *unknown_names_of_tests(config, outcome_ids, display_names=spelt_names),
    )
    if faults:
        raise SettingsFault(faults)
    return run_tests(config, outcome_ids)


async def _stored_outcomes(settings: Settings) -> StoredOutcomes | None:
    """The account's outcomes as last read; None without Redis, or if they were never read."""
    try:
        async with open_store(settings, role="cli") as store:
            return await store.outcomes.load()
    except (QueueUnavailable, RedisError, OSError):
        return None


def _as_dict(results: Sequence[SampleResult]) -> dict[str, object]:
    passed = sum(result.is_passed for result in results)
    return {
        "passed": passed,
        "failed": len(results) - passed,
        "tests": [result.as_dict() for result in results],
    }


def _print(results: Sequence[SampleResult]) -> None:
    print_table(
        ("", "test", "call", "expected", "outcome", "rule that decides"),
        [_row(result) for result in results],
        empty=NO_TESTS,
    )
    if results:
        passed = sum(result.is_passed for result in results)
        echo(f"\n{passed} passed, {len(results) - passed} failed")


def _row(result: SampleResult) -> tuple[str, ...]:
    verdict = "ok" if result.is_passed else "FAIL"
    return (
        verdict,
        result.test.name or result.place,
        result.test.call.result.value,
        str(result.test.outcome or LEFT_ALONE),
        str(result.outcome or LEFT_ALONE),
        result.rule,
    )


outcomes.add_command(preview_outcomes)
outcomes.add_command(install_outcomes)
