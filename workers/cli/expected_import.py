"""
`buildr-calls expect import`: a list of calls, exported from Buildr, as expected calls.
"""

from collections import defaultdict
from datetime import UTC, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from service.clock import utc_now
from service.settings import Settings
from service.store.connection import Store
from service.store.expected_calls import WrongWindow
from workers.cli.accounts import load_settings
from workers.cli.csv_file import CsvFileError, Fault
from workers.cli.expected_csv import FIELDS, Reading, read_expectations
from workers.cli.failure import Failure
from workers.cli.imports import (
    AS_JSON,
    DRY_RUN,
    FILE,
    SKIP_INVALID,
    check_rows,
    in_batches,
    open_csv,
    print_faults,
    report,
)
from workers.cli.session import run_with_store


class Zone(click.ParamType[tzinfo]):
    """A time zone by its name."""

    name = "time zone"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tzinfo:
        """Read it. Raises click's usage error."""
        try:
            return ZoneInfo(str(value))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.fail(f"no time zone is called {value!r}; use one like America/Chicago", param, ctx)


class FieldColumn(click.ParamType[tuple[str, str]]):
    """A field and the column that holds it: `numbers=Mobile`."""

    name = "field=column"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split it. Raises click's usage error."""
        field, equals, column = str(value).partition("=")
        if field not in FIELDS or not equals or not column:
            self.fail(
                f"write it like numbers=Mobile; the fields are {', '.join(FIELDS)}", param, ctx
            )
        return field, column


ZONE: Final = click.option(
    "--timezone",
    "zone",
    type=Zone(),
    help="Of which time zone the days are; that of [business_hours] without it, else UTC.",
)
MAP: Final = click.option(
    "--map",
    "mapped",
    type=FieldColumn(),
    multiple=True,
    help="Which column holds a field, like numbers=Mobile; may come several times.",
)


@click.command("import")
@FILE
@ZONE
@MAP
@DRY_RUN
@SKIP_INVALID
@AS_JSON
def import_expected(
    file: str,
    *,
    zone: tzinfo | None,
    mapped: tuple[tuple[str, str], ...],
    is_dry_run: bool,
    skips: bool,
    as_json: bool,
) -> None:
    """
    Say of many Buildr calls which numbers they will be calls with, by a list of calls as CSV.

    Columns are found by their usual names: an id (`id`, `call id`), one or more numbers (`phone`,
    `mobile`, `to`), and if they are there `agent`, `day`, `direction`, `company_id`, `contact_id`,
    `project_id`. UTF-8, UTF-16 and Latin-1 are read, with commas, semicolons or tabs. Nothing is
    set unless every row is right, or the others are to be skipped. `-` reads standard input.

    \b
    Examples:
      buildr-calls expect import calls.csv --dry-run
      buildr-calls expect import calls.csv --timezone America/Chicago
      buildr-calls expect import calls.csv --map buildr_call_id="Call #" --map numbers=Mobile
    """
    settings = load_settings(is_local=True)
    mapping: dict[str, list[str]] = defaultdict(list)
    for field, column in mapped:
        mapping[field].append(column)
    reading = Reading(
        region=settings.default_region, zone=zone or _own_zone(settings), now=utc_now()
    )
    try:
        # The whole file before the first write: half an import is hard to take back.
        result = read_expectations(open_csv(file), reading, mapping=mapping)
    except CsvFileError as err:
        raise Failure(f"nothing was set: {err}") from err
    check_rows(result, skips=skips, is_dry_run=is_dry_run, as_json=as_json)

    async def work(_settings: Settings, store: Store) -> None:
        with in_batches("Expecting calls", result.values) as batches:
            for batch in batches:
                answers = await store.expected.put_many([item for _, item in batch])
                for (line, _), answer in zip(batch, answers, strict=True):
                    if isinstance(answer, WrongWindow):
                        result.faults.append(Fault(line=line, column="day", cause=str(answer)))
                        continue
                    result.done += 1
                    result.new += answer.is_new
                    result.woken += answer.woken

    if not is_dry_run:
        checked = len(result.faults)
        run_with_store(work)
        if not as_json:
            print_faults(result.faults[checked:])
    report(result, is_dry_run=is_dry_run, as_json=as_json)


def _own_zone(settings: Settings) -> tzinfo:
    """The time zone of the business hours, else UTC."""
    hours = settings.outcome_config.business_hours
    if hours is None or hours.timezone is None:
        return UTC
    return ZoneInfo(hours.timezone)
