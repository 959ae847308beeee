"""
`buildr-calls explain`, `unmatched list`, `stalled list`: what became of a call, and which calls
wait for an operator.
"""

from collections.abc import Mapping
from pathlib import Path

import click

from service.errors import IgnoredEvent, MalformedPayload
from service.events import CallEvent, Direction, Recording, Voicemail
from service.logs.phone_masking import mask_number
from service.settings import Settings
from service.sources import SOURCES
from service.sources.common.request_file import read_request
from service.store.connection import Store
from workers.calls.fold import Call
from workers.cli.output import (
    Failure,
    echo,
    load_settings,
    print_fact,
    print_json,
    print_table,
    utc_text,
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
    echo()
    for name, value in _facts(explanation.call).items():
        print_fact(name, value)
    buildr_call = explanation.match.buildr_call_id or "none"
    print_fact("Buildr call", f"{buildr_call}: {explanation.match.reason}")
    if explanation.match.considered:
        candidates = explanation.match.considered
        print_table(
            ("not Buildr call", "because it"),
            [(candidate.buildr_call_id, candidate.why) for candidate in candidates],
            empty="",
        )
    if explanation.caller is not None:
        print_fact("who called", explanation.caller.reason)
    if explanation.rule is not None:
        print_fact("outcome", f"{explanation.outcome or 'left alone'} ({explanation.rule})")
    if explanation.patch is not None:
        print_fact("PATCH", str(dict(explanation.patch)))


def _event_row(event: CallEvent) -> tuple[str, str, str, str, str]:
    leg = event.leg_id
    if event.parent_leg_id is not None:
        leg = f"{leg} (leg)"
    sequence = ""
    if event.sequence is not None:
        sequence = str(event.sequence)
    return (
        utc_text(event.occurred_at),
        sequence,
        event.event_type.value,
        event.vendor_status or "",
        leg,
    )


def _facts(call: Call) -> Mapping[str, str]:
    facts = {
        "call": f"{call.source}:{call.source_call_id}",
        "direction": call.direction or "unknown",
        "customer": mask_number(_customer_number(call) or "") or "unknown",
        "result": call.result or f"not known yet ({call.stage.value})",
        "because": call.basis.sentence,
        "answered by": call.answered_by,
        "talked": _seconds(call.duration_s),
        "waited": _seconds(call.wait_s),
        "agent": call.agent,
        "also rang": ", ".join(call.rang_agents),
        "queue": call.queue,
        "team": call.team,
        "hung up by": call.hung_up_by,
        "facts": ", ".join(_flags(call)),
        "disposition": call.disposition,
        "tags": ", ".join(call.tags),
        "recording": _url(call.recording),
        "voicemail": _url(call.voicemail),
        "unknown": ", ".join(call.unknown_values),
    }
    return {name: str(value) for name, value in facts.items() if value}


def _customer_number(call: Call) -> str | None:
    if call.direction is Direction.OUTBOUND:
        return call.to_number
    return call.from_number


def _seconds(duration_s: int | None) -> str:
    if duration_s is None:
        return ""
    return f"{duration_s} s"


def _flags(call: Call) -> list[str]:
    flags = {
        "transferred": call.is_transferred,
        "forwarded": call.is_forwarded,
        "answered elsewhere": call.is_answered_elsewhere,
    }
    return [name for name, is_set in flags.items() if is_set]


def _url(recorded: Recording | Voicemail | None) -> str:
    """Where a recording is; `yes` if its URL is not known, empty if there is none."""
    if recorded is None:
        return ""
    return recorded.url or "yes"


def _print_delivery(delivery: DeliveryExplanation) -> None:
    facts = delivery.as_dict()
    print_fact("state", f"{facts['state']}: {facts['reason']}")
    for name in ("written", "written_to", "written_at", "attempts", "due_at"):
        if facts[name]:
            print_fact(name.replace("_", " "), str(facts[name]))
    echo()
    rows = [
        (utc_text(entry.at), entry.summary, entry.detail)
        for entry in delivery.stored.record.history
    ]
    print_table(("time (UTC)", "step", "detail"), rows, empty="No steps.")
