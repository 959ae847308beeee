"""
`buildr-calls explain`, `unmatched list`, `stalled list`: what became of a call, and which calls
wait for a person.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import click

from service.errors import IgnoredEvent, MalformedPayload
from service.events import CallEvent
from service.logs.phone_masking import mask_number
from service.settings import Settings
from service.sources import SOURCES
from service.sources.common.request_file import read_request
from service.store.connection import Store
from workers.calls.fold import Call
from workers.cli.output import (
    Failure,
    console,
    load_settings,
    print_json,
    print_table,
)
from workers.cli.session import run_with_store
from workers.matching.customer_numbers import MatchingRules
from workers.replay.explain import (
    CallExplanation,
    explain_call,
    explain_events,
    find,
    parse,
)


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="FILE... | CALL")
@click.option(
    "--source",
    type=click.Choice(sorted(SOURCES)),
    help="The files are requests of this source; nothing is sent or stored.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(what: tuple[str, ...], source: str | None, *, as_json: bool) -> None:
    """
    Explain a call: its events, how it ended, which rule decided, what Buildr is sent.

    With --source the arguments are request files, read offline. Without, it is a call that the
    service knows, by its id at the source.

    \b
    Examples:
      buildr-calls explain request1.json request2.json --source twilio
      buildr-calls explain twilio:CA00000000000000000000000000000001
    """
    if source is not None:
        _explain_files(tuple(Path(each) for each in what), source, as_json=as_json)
        return
    if len(what) != 1:
        raise click.UsageError("name one call, or say which --source the files are of")
    if Path(what[0]).is_file():
        raise click.UsageError(f"{what[0]} is a file: say which --source it is of")
    _explain_call(what[0], as_json=as_json)


def _explain_files(paths: tuple[Path, ...], source: str, *, as_json: bool) -> None:
    settings = load_settings(is_local=True)
    events: list[CallEvent] = []
    for path in paths:
        try:
            events += parse(
                source, read_request(path.read_text(encoding="utf-8"), base_url=settings.base_url)
            )
        except IgnoredEvent as err:
            click.echo(f"{path}: left out, since it is known and not wanted: {err}", err=True)
        except (OSError, UnicodeDecodeError) as err:
            raise Failure(
                f"{path}: cannot be read: {getattr(err, 'strerror', None) or 'not a text file'}"
            ) from err
        except MalformedPayload as err:
            raise Failure(f"{path}: {err}") from err
    try:
        story = explain_events(events, settings.outcome_config)
    except ValueError as err:
        raise Failure(str(err)) from err
    if as_json:
        print_json(story.as_dict())
    else:
        _print_story(story)


def _explain_call(text: str, *, as_json: bool) -> None:
    async def work(
        settings: Settings, store: Store
    ) -> tuple[list[str], tuple[CallExplanation | None, dict[str, object]] | None]:
        refs = await find(store, text)
        if len(refs) != 1:
            return refs, None
        rules = MatchingRules.of(settings)
        return refs, await explain_call(
            store, refs[0], settings.outcome_config, expected=store.expected, rules=rules
        )

    refs, told = run_with_store(work)
    if len(refs) > 1:
        raise Failure("several calls fit; which one?\n  " + "\n  ".join(refs))
    if told is None:
        raise Failure(
            f"nothing is known of a call {text}: either no webhook of it came (is the callback URL set at the source?), "
            "or its signature was refused (look for message.rejected in the receiver's log)"
        )
    story, delivery = told
    if as_json:
        print_json(
            {"ref": refs[0], **(story.as_dict() if story is not None else {}), "delivery": delivery}
        )
        return
    if story is not None:
        _print_story(story)
    _print_delivery(delivery)


def _print_story(story: CallExplanation) -> None:
    rows = [
        (
            "" if event.occurred_at is None else f"{event.occurred_at:%Y-%m-%d %H:%M:%S}",
            "" if event.sequence is None else str(event.sequence),
            event.event_type.value,
            event.vendor_status or "",
            event.leg_id if event.parent_leg_id is None else f"{event.leg_id} (leg)",
        )
        for event in story.events
    ]
    print_table(
        ("time (UTC)", "no.", "event", "the source's word", "leg"), rows, empty="No events."
    )
    call = story.call
    out = console()
    out.print()
    for name, value in _facts(call).items():
        out.print(f"[bold]{name:<12}[/bold] {value}", highlight=False)
    out.print(
        f"[bold]{'Buildr call':<12}[/bold] {story.match.buildr_call_id or 'none'}: {story.match.reason}",
        highlight=False,
    )
    if story.match.considered:
        print_table(
            ("not Buildr call", "because it"),
            [(each.buildr_call_id, each.why) for each in story.match.considered],
            empty="",
        )
    if story.rule is not None:
        out.print(
            f"[bold]{'outcome':<12}[/bold] {story.outcome or 'left alone'} ({story.rule})",
            highlight=False,
        )
    if story.patch is not None:
        out.print(f"[bold]{'PATCH':<12}[/bold] {dict(story.patch)}", highlight=False)


def _facts(call: Call) -> Mapping[str, str]:
    customer = call.to_number if call.direction == "outbound" else call.from_number
    facts = {
        "call": f"{call.source}:{call.source_call_id}",
        "direction": call.direction or "unknown",
        "customer": mask_number(customer) if customer else "unknown",
        "result": call.result or f"not known yet ({call.stage.value})",
        "answered by": call.answered_by or "",
        "talked": "" if call.duration_s is None else f"{call.duration_s} s",
        "agent": call.agent or "",
        "disposition": call.disposition or "",
        "tags": ", ".join(call.tags),
        "recording": (call.recording.url or "yes") if call.recording else "",
        "voicemail": (call.voicemail.url or "yes") if call.voicemail else "",
        "unknown": ", ".join(call.unknown_values),
    }
    return {name: str(value) for name, value in facts.items() if value}


def _print_delivery(delivery: dict[str, object]) -> None:
    out = console()
    out.print(
        f"[bold]{'state':<12}[/bold] {delivery['state']}: {delivery['reason']}", highlight=False
    )
    for name in ("written", "written_to", "written_at", "attempts", "due_at"):
        if delivery[name]:
            out.print(
                f"[bold]{name.replace('_', ' '):<12}[/bold] {delivery[name]}", highlight=False
            )
    out.print()
    history = delivery["history"]
    rows = (
        [
            (str(step["at"])[:19].replace("T", " "), str(step["what"]), str(step["detail"]))
            for step in history
        ]
        if isinstance(history, list)
        else []
    )
    print_table(("time (UTC)", "step", "detail"), rows, empty="No steps.")


@click.group()
def unmatched() -> None:
    """
    See calls that no Buildr call is known for.

    \b
    Example:
      buildr-calls unmatched list
    """


@click.group()
def stalled() -> None:
    """
    See calls whose final event never came.

    \b
    Example:
      buildr-calls stalled list
    """


def _list_index(name: str, *, limit: int, as_json: bool, empty: str) -> None:
    async def work(_: Settings, store: Store) -> list[tuple[str, datetime | None, str, str]]:
        return [
            (
                stored.record.ref,
                stored.record.first_received_at,
                stored.record.result or "",
                stored.record.reason,
            )
            async for stored in store.calls.indexed(name, limit=limit)
        ]

    found = run_with_store(work)
    if as_json:
        print_json(
            [
                {
                    "call": ref,
                    "first_received_at": None if at is None else at.isoformat(),
                    "result": result or None,
                    "reason": reason,
                }
                for ref, at, result, reason in found
            ]
        )
        return
    rows = [
        (ref, "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}", result, reason)
        for ref, at, result, reason in found
    ]
    print_table(("call", "first webhook (UTC)", "result", "reason"), rows, empty=empty)


@unmatched.command("list")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Show at most so many, the oldest first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_unmatched(limit: int, *, as_json: bool) -> None:
    """
    List calls that have ended and wait for a link.

    \b
    Example:
      buildr-calls unmatched list --json
    """
    _list_index(
        "unmatched", limit=limit, as_json=as_json, empty="Every call that has ended is matched."
    )


@stalled.command("list")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Show at most so many, the oldest first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_stalled(limit: int, *, as_json: bool) -> None:
    """
    List calls whose final event never came.

    \b
    Example:
      buildr-calls stalled list --json
    """
    _list_index("stalled", limit=limit, as_json=as_json, empty="No call has stalled.")
