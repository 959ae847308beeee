"""
`buildr-calls outcomes install`: a map of outcomes that was tried, written into the settings' file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from service.clock import utc_now
from service.settings import Settings
from service.settings.reading import OUTCOME_TABLES, OUTCOMES, TESTS, TomlFile
from service.store.connection import Store
from service.store.console import ConsoleAction
from workers.cli.accounts import command_line, load_accounts, load_settings
from workers.cli.failure import Failure, SettingsFault
from workers.cli.output import echo
from workers.cli.session import run_with_store
from workers.outcomes.decide import unknown_names
from workers.outcomes.map_file import (
    InstalledMap,
    NotInstalled,
    differing_tables,
    install,
    tables_of,
)
from workers.outcomes.map_text import place_of
from workers.replay.assessment import ReplayContext

NAMES: Final = (*sorted(OUTCOME_TABLES), TESTS)
NEXT: Final = (
    "Restart the receiver and the workers. Calls from then on get the new outcomes. To rewrite "
    "what was written before:\n  "
)
AGAIN: Final = "outcomes preview --since 7d --apply"


@click.command("install")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", "is_agreed", is_flag=True, help="Do not ask.")
def install_outcomes(*, path: Path, is_agreed: bool) -> None:
    """
    Write the map of outcomes of a file into buildr-calls.toml: [outcomes], [[rules]], hours, notes.

    All else in buildr-calls.toml stays, and a copy of it is kept. Try the map first with: outcomes
    preview --config FILE. With --account the tables are those of the account in both files, like
    [accounts.acme.outcomes].

    \b
    Examples:
      buildr-calls outcomes install new.toml
      buildr-calls outcomes install new.toml --account acme
    """
    installation = load_accounts(is_local=True)
    config = load_settings(is_local=True, overrides={"CONFIG": str(path.resolve())}).outcome_config
    toml_file = installation.toml_file
    if toml_file is None:
        raise Failure("there is no file of settings")
    if not is_agreed:
        click.confirm(f"Write the map of {path} into {toml_file.path}?", abort=True, err=True)

    async def work(settings: Settings, store: Store) -> InstalledMap:
        context = await ReplayContext.of(settings, store)
        if context.outcome_ids is not None:
            faults = unknown_names(
                config, context.outcome_ids, display_names=context.names.values()
            )
            if faults:
                raise SettingsFault(faults)
        installed = _install(toml_file, path, place_of(settings))
        await store.console.add(
            ConsoleAction(
                at=utc_now(),
                action="install rules",
                role="command line",
                session="",
                address="",
                detail=str(installed.path.name),
            )
        )
        return installed

    installed = run_with_store(work)
    before = ""
    if installed.backup is not None:
        before = f"; the file of before is {installed.backup}"
    again = command_line(installation.default, AGAIN)
    echo(f"written: {installed.path}{before}\n{NEXT}{again}")


def _install(toml_file: TomlFile, path: Path, place: Sequence[str]) -> InstalledMap:
    text = path.read_text(encoding="utf-8")
    names = [*OUTCOME_TABLES]
    # A file without sample calls leaves those in place.
    if tables_of(text, NAMES, place) != tables_of(text, names, place):
        names.append(TESTS)
    tables = tables_of(text, names, place)
    try:
        if place:
            _check_account(toml_file, path, text, tables, place)
        return install(toml_file, tables, names=names, at=utc_now(), place=place)
    except NotInstalled as err:
        raise Failure(f"{err}; nothing was changed") from err


def _check_account(
    toml_file: TomlFile, path: Path, text: str, tables: str, place: Sequence[str]
) -> None:
    """Raises `NotInstalled` unless the account's map would become the one that was tried."""
    table = ".".join(place)
    if not tables:
        raise NotInstalled(f"{path} has no tables of the account, like [{table}.{OUTCOMES}]")
    if names := differing_tables(text, tables, toml_file, place=place):
        raise NotInstalled(
            f"the map would not be the one of {path}: {', '.join(names)} would come from the top "
            f"of {toml_file.path.name}. Write the account's own below [{table}] in {path}, "
            f"like [{table}.{OUTCOMES}]"
        )
