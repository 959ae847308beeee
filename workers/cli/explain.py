"""
`buildr-calls explain`: what became of a call, and why.
"""

from pathlib import Path

import click

from service.errors import IgnoredEvent, MalformedPayload
from service.events import CallEvent
from service.sources import SOURCES
from service.sources.common.request_file import read_request
from workers.cli.accounts import load_settings
from workers.cli.arguments import CallText, OneOf
from workers.cli.explain_call import explain_stored_call
from workers.cli.explain_report import print_explanation
from workers.cli.failure import Failure
from workers.cli.output import echo, mask_option, print_json
from workers.replay.explain import explain_events, parse


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="FILE... | CALL", type=CallText())
@click.option(
    "--source",
    type=OneOf(sorted(SOURCES)),
    help="The files are requests of this source; nothing is sent or stored.",
)
@mask_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(what: tuple[str, ...], source: str | None, *, as_json: bool) -> None:
    """
    Explain a call: its events, how it ended, which rule decided, what Buildr is sent.

    With --source the arguments are request files, read offline. Without, it is a call that the
    service knows: by its id at the source or in Buildr, or by a telephone number. All accounts are
    looked at, unless --account names one.

    \b
    Examples:
      buildr-calls explain request1.json request2.json --source twilio
      buildr-calls explain twilio:CA00000000000000000000000000000001
      buildr-calls explain "(500) 555-0006"
    """
    if source is not None:
        _explain_files(tuple(map(Path, what)), source, as_json=as_json)
        return
    if len(what) != 1:
        raise click.UsageError("name one call, or say which --source the files are of")
    if Path(what[0]).is_file():
        raise click.UsageError(f"{what[0]} is a file: say which --source it is of")
    explain_stored_call(what[0], as_json=as_json)


def _explain_files(paths: tuple[Path, ...], source: str, *, as_json: bool) -> None:
    settings = load_settings(is_local=True)
    events: list[CallEvent] = []
    for path in paths:
        try:
            events += parse(
                source, read_request(path.read_text(encoding="utf-8"), base_url=settings.base_url)
            )
        except IgnoredEvent as err:
            echo(f"{path}: left out, since it is known and not wanted: {err}", is_error=True)
        except (OSError, UnicodeDecodeError) as err:
            raise Failure(
                f"{path}: cannot be read: {getattr(err, 'strerror', None) or 'not a text file'}"
            ) from err
        except MalformedPayload as err:
            raise Failure(f"{path}: {err}") from err
    try:
        explanation = explain_events(events, settings.outcome_config)
    except ValueError as err:
        raise Failure(str(err)) from err
    if as_json:
        print_json(explanation.as_dict())
    else:
        print_explanation(explanation)
