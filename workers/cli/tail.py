"""
`buildr-calls tail`: messages and deliveries as they happen, one line for each step.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import click

from service.logs.control_characters import one_line
from service.settings import Settings
from service.sources import SOURCES
from service.store.connection import Store
from service.store.refused import UNKNOWN
from workers.cli.arguments import CallText, OneOf, e164_of
from workers.cli.output import echo, echo_escaped, print_json_line
from workers.cli.session import Age, run_with_store
from workers.cli.tail_follow import Follower
from workers.cli.tail_steps import TROUBLES, Step, StepFilter

STYLES: Final[Mapping[str, str]] = {
    "failed": "red",
    "refused": "red",
    "patched": "green",
    "received": "cyan",
}
TROUBLE: Final = "yellow"
# The longest common one is `will retry`.
STEP_WIDTH: Final = 10


@click.command()
@click.option("--source", type=OneOf((*sorted(SOURCES), UNKNOWN)), help="Only one source's.")
@click.option("--call", type=CallText(), help="Only this call: its id at the source or in Buildr.")
@click.option("--number", help="Only calls with this number, in any form.")
@click.option("--failed", "is_trouble", is_flag=True, help="Only what needs or may need you.")
@click.option("--since", type=Age(), help='Begin in the past, like 10m or "14:00" (UTC).')
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object in each line.")
def tail(
    *,
    source: str | None,
    call: str | None,
    number: str | None,
    is_trouble: bool,
    since: datetime | None,
    as_json: bool,
) -> None:
    """
    Follow messages and deliveries as they happen: time (UTC), call, number, step, and why.

    It reads what is stored once a second, and costs receiver and workers nothing. Ctrl-C ends it.

    \b
    Examples:
      buildr-calls tail
      buildr-calls tail --failed --since 1h
      buildr-calls tail --number "(500) 555-0006" --json
    """

    async def work(settings: Settings, store: Store) -> None:
        step_filter = StepFilter(
            source=source,
            call=call,
            number=number and e164_of(number, region=settings.default_region),
            is_trouble=is_trouble,
        )

        show_line = _show
        if as_json:
            show_line = _show_json

        def show(step: Step) -> None:
            if step_filter.holds(step):
                show_line(step)

        follower = Follower(
            store=store,
            start_at=since or await store.time(),
            on_step=show,
            on_note=lambda text: echo(text, is_error=True),
        )
        await follower.run()

    try:
        run_with_store(work)
    except KeyboardInterrupt:
        # The usual end: no traceback, no "Aborted!", and the exit code of success.
        return


def _show(step: Step) -> None:
    """One step for people; what vendors wrote cannot steer the terminal."""
    style = STYLES.get(step.summary)
    if style is None and step.summary in TROUBLES:
        style = TROUBLE
    parts = [
        click.style(f"{step.at:%H:%M:%S}", dim=True),
        one_line(step.ref),
        one_line(next(iter(step.numbers), "-")),
        click.style(f"{one_line(step.summary):<{STEP_WIDTH}}", fg=style),
        one_line(step.detail),
    ]
    echo_escaped("  ".join(parts).rstrip())


def _show_json(step: Step) -> None:
    print_json_line(step.as_dict())
