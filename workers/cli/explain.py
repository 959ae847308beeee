"""
`buildr-calls explain`, `unmatched list`, `stalled list`: what became of a call, and which calls
wait for a person.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import click

from service.errors import IgnoredEvent, MalformedPayload
from service.events import CallEvent, Direction
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
    DeliveryExplanation,
    StoredCallExplanation,
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
        explanation = explain_events(events, settings.outcome_config)
    except ValueError as err:
        raise Failure(str(err)) from err
    if as_json:
        print_json(explanation.as_dict())
    else:
        _print_explanation(explanation)


def _explain_call(text: str, *, as_json: bool) -> None:
    async def work(
        settings: Settings, store: Store
    ) -> tuple[list[str], StoredCallExplanation | None]:
        refs = await find(store, text)
        if len(refs) != 1:
            return refs, None
        rules = MatchingRules.of(settings)
        return refs, await explain_call(store, refs[0], settings.outcome_config, rules=rules)

    refs, explanation = run_with_store(work)
    if len(refs) > 1:
        raise Failure("several calls fit; which one?\n  " + "\n  ".join(refs))
    if explanation is None:
        raise Failure(
            f"nothing is known of a call {text}: either no webhook of it came "
            "(is the callback URL set at the source?), "
            "or its signature was refused (look for message.rejected in the receiver's log)"
        )
    if as_json:
        call: dict[str, object] = {}
        if explanation.call is not None:
            call = explanation.call.as_dict()
        print_json({"ref": refs[0], **call, "delivery": explanation.delivery.as_dict()})
        return
    if explanation.call is not None:
        _print_explanation(explanation.call)
    _print_delivery(explanation.delivery)


def _print_explanation(explanation: CallExplanation) -> None:
    rows = [_event_row(event) for event in explanation.events]
    print_table(("time (UTC)", "no.", "event", "vendor's status", "leg"), rows, empty="No events.")
    console().print()
    for name, value in _facts(explanation.call).items():
        _print_fact(name, value)
    buildr_call = explanation.match.buildr_call_id or "none"
    _print_fact("Buildr call", f"{buildr_call}: {explanation.match.reason}")
    if explanation.match.considered:
        candidates = explanation.match.considered
        print_table(
            ("not Buildr call", "because it"),
            [(candidate.buildr_call_id, candidate.why) for candidate in candidates],
            empty="",
        )
    if explanation.rule is not None:
        _print_fact("outcome", f"{explanation.outcome or 'left alone'} ({explanation.rule})")
    if explanation.patch is not None:
        _print_fact("PATCH", str(dict(explanation.patch)))


def _print_fact(name: str, value: str) -> None:
    console().print(f"[bold]{name:<12}[/bold] {value}", highlight=False)


def _event_row(event: CallEvent) -> tuple[str, str, str, str, str]:
    leg = event.leg_id
    if event.parent_leg_id is not None:
        leg = f"{leg} (leg)"
    sequence = ""
    if event.sequence is not None:
        sequence = str(event.sequence)
    return (
        _utc(event.occurred_at),
        sequence,
        event.event_type.value,
        event.vendor_status or "",
        leg,
    )


def _utc(at: datetime | None) -> str:
    if at is None:
        return ""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _facts(call: Call) -> Mapping[str, str]:
    customer = call.from_number
    if call.direction is Direction.OUTBOUND:
        customer = call.to_number
    talk = ""
    if call.duration_s is not None:
        talk = f"{call.duration_s} s"
    facts = {
        "call": f"{call.source}:{call.source_call_id}",
        "direction": call.direction or "unknown",
        "customer": mask_number(customer or "") or "unknown",
        "result": call.result or f"not known yet ({call.stage.value})",
        "answered by": call.answered_by or "",
        "talked": talk,
        "agent": call.agent or "",
        "disposition": call.disposition or "",
        "tags": ", ".join(call.tags),
        "recording": call.recording and (call.recording.url or "yes"),
        "voicemail": call.voicemail and (call.voicemail.url or "yes"),
        "unknown": ", ".join(call.unknown_values),
    }
    return {name: str(value) for name, value in facts.items() if value}


def _print_delivery(delivery: DeliveryExplanation) -> None:
    facts = delivery.as_dict()
    _print_fact("state", f"{facts['state']}: {facts['reason']}")
    for name in ("written", "written_to", "written_at", "attempts", "due_at"):
        if facts[name]:
            _print_fact(name.replace("_", " "), str(facts[name]))
    console().print()
    rows = [
        (_utc(entry.at), entry.summary, entry.detail) for entry in delivery.stored.record.history
    ]
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

    calls = run_with_store(work)
    if as_json:
        print_json(
            [
                {
                    "call": ref,
                    "first_received_at": at and at.isoformat(),
                    "result": result or None,
                    "reason": reason,
                }
                for ref, at, result, reason in calls
            ]
        )
        return
    rows = [(ref, _utc(at), result, reason) for ref, at, result, reason in calls]
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
