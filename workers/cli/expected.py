"""
`buildr-calls expect` and `buildr-calls expected`: calls that carry no id of Buildr's, announced by
their numbers.
"""

from datetime import datetime
from typing import Final

import click

from service.events import Direction
from service.logs.phone_masking import mask_number
from service.phone_numbers import MAX_LENGTH, Number, read_number
from service.settings import Settings
from service.store.connection import Store
from service.store.expectations import Expectation, ExpectedCall, ExpectedList, as_dict
from service.store.expected_calls import MAX_NUMBERS, Registered, WrongWindow
from workers.cli.accounts import note_cut
from workers.cli.arguments import CallDigits, Digits
from workers.cli.expected_import import import_expected
from workers.cli.failure import Failure
from workers.cli.output import echo, print_json, print_table
from workers.cli.program import PROGRAM
from workers.cli.session import run_with_store


class Moment(click.ParamType[datetime]):
    """A moment in ISO 8601 with its offset."""

    name = "moment"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read it. Raises click's usage error."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value).strip())
        except ValueError:
            self.fail(f"{str(value)!r} is no moment like 2026-11-02T10:00Z", param, ctx)
        # Refused here, while `--since` takes it as UTC: a window that is some hours off matches
        # another call, or none.
        if moment.tzinfo is None:
            self.fail(
                f"{str(value)!r} has no offset; "
                "write it like 2026-11-02T10:00Z or 2026-11-02T10:00-05:00",
                param,
                ctx,
            )
        return moment


ONE: Final = "call"


class ExpectCommands(click.Group):
    """A group in which one call is meant where no command is named: `expect 110 --number ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command's name before what is none."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [ONE, *args]
        return super().parse_args(ctx, args)


@click.group(cls=ExpectCommands)
def expect() -> None:
    """
    Say that a Buildr call will be a call with a number.

    \b
    Examples:
      buildr-calls expect 110 --number "+1 500 555 0006" --direction outbound
      buildr-calls expect import calls.csv
    """


expect.add_command(import_expected)


@expect.command(ONE)
@click.argument("buildr_call_id", type=CallDigits())
@click.option(
    "--number",
    "numbers",
    multiple=True,
    required=True,
    help="The customer's number, in any writing; may come up to 20 times.",
)
@click.option(
    "--agent", help="Whose call it is, as the telephony system names them, like ana@example.com."
)
@click.option(
    "--direction",
    type=click.Choice([direction.value for direction in Direction]),
    help="Who calls whom.",
)
@click.option(
    "--from",
    "not_before",
    type=Moment(),
    help="The call starts at this moment or later; if not given: 15 minutes ago.",
)
@click.option(
    "--until",
    "not_after",
    type=Moment(),
    help="The call starts at this moment or earlier; if not given: EXPECTED_CALL_H from now.",
)
@click.option("--company-id", type=Digits(), help="File the call under this company of Buildr's.")
@click.option("--contact-id", type=Digits(), help="File the call under this contact of Buildr's.")
@click.option("--project-id", type=Digits(), help="File the call under this project of Buildr's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def expect_call(
    *,
    buildr_call_id: str,
    numbers: tuple[str, ...],
    agent: str | None,
    direction: str | None,
    not_before: datetime | None,
    not_after: datetime | None,
    company_id: str | None,
    contact_id: str | None,
    project_id: str | None,
    as_json: bool,
) -> None:
    """
    Say that a Buildr call will be a call with a number; a call that waits for it goes on at once.

    \b
    Example:
      buildr-calls expect 110 --number "+1 500 555 0006" --direction outbound
    """
    if len(numbers) > MAX_NUMBERS:
        raise click.UsageError(f"at most {MAX_NUMBERS} numbers can be given")

    async def work(settings: Settings, store: Store) -> Registered:
        expectation = Expectation(
            buildr_call_id=buildr_call_id,
            numbers=_read_numbers(numbers, settings.default_region),
            agent=(agent or "").strip() or None,
            direction=Direction(direction) if direction is not None else None,
            not_before=not_before,
            not_after=not_after,
            company_id=company_id,
            contact_id=contact_id,
            project_id=project_id,
        )
        try:
            return await store.expected.put(expectation)
        except WrongWindow as err:
            raise Failure(f"{err}; not_before is --from and not_after is --until") from err

    done = run_with_store(work)
    if as_json:
        print_json({**as_dict(done.expected), "is_new": done.is_new, "woken": done.woken})
        return
    step = "registered" if done.is_new else "replaced"
    text = f"{step}: Buildr call {buildr_call_id} is expected {_window(done.expected)}"
    if done.woken:
        text += f"; calls that waited for it and go on now: {done.woken}"
    echo(text)


@click.group()
def expected() -> None:
    """
    See the calls that are expected.

    \b
    Example:
      buildr-calls expected list
    """


@expected.command("list")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Show at most so many.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the numbers in full.")
def list_expected(limit: int, *, as_json: bool) -> None:
    """
    List expected calls, those whose window ends last coming first.

    \b
    Example:
      buildr-calls expected list --json
    """

    async def work(settings: Settings, store: Store) -> tuple[Settings, ExpectedList]:
        # One more, to know whether there are more.
        return settings, await store.expected.listed(limit=limit + 1)

    settings, newest = run_with_store(work)
    expected_calls = newest.entries[:limit]
    if len(newest.entries) + len(newest.unreadable_ids) > limit:
        note_cut(settings, limit)
    for buildr_call_id in newest.unreadable_ids:
        echo(
            f"left out: what is stored of the expected call {buildr_call_id} cannot be read; "
            f"remove it: {PROGRAM} expected rm {buildr_call_id}",
            is_error=True,
        )
    if as_json:
        print_json([as_dict(expected_call) for expected_call in expected_calls])
        return
    rows = [
        (
            item.buildr_call_id,
            # A table is shown on screens and pasted into tickets; `--json` has the numbers in
            # full.
            ", ".join(mask_number(number.e164) for number in item.numbers),
            item.agent or "",
            item.direction or "",
            f"{item.opens_at:%Y-%m-%d %H:%M:%S}",
            f"{item.closes_at:%Y-%m-%d %H:%M:%S}",
            item.claimed_by or "",
        )
        for item in expected_calls
    ]
    print_table(
        ("Buildr call", "numbers", "agent", "direction", "from (UTC)", "until (UTC)", "call"),
        rows,
        empty="No call is expected.",
    )


@expected.command("rm")
@click.argument("buildr_call_id", type=Digits(), metavar="ID")
def remove_expected(buildr_call_id: str) -> None:
    """
    Take an expected call away, by the id of the Buildr call; what was written to Buildr stays.

    \b
    Example:
      buildr-calls expected rm 110
    """
    if not run_with_store(lambda _, store: store.expected.remove(buildr_call_id)):
        raise Failure(
            f"Buildr call {buildr_call_id} is not expected; see: buildr-calls expected list"
        )
    echo(f"removed: Buildr call {buildr_call_id} is no longer expected")


def _read_numbers(texts: tuple[str, ...], region: str) -> tuple[Number, ...]:
    unique_numbers: dict[Number, None] = {}
    for text in texts:
        number = read_number(text, region=region)
        if number is None:
            raise click.UsageError(
                f"{text[:MAX_LENGTH]!r} is no telephone number; "
                "write it with its country code, like +15005550006"
            )
        unique_numbers[number] = None
    return tuple(unique_numbers)


def _window(call: ExpectedCall) -> str:
    return f"from {call.opens_at:%Y-%m-%d %H:%M:%S} to {call.closes_at:%Y-%m-%d %H:%M:%S} UTC"
