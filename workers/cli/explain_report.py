"""
What `explain` prints for people: the answer first, then the events, what they make, and each step.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from service.events import CallEvent, Direction, Recording, Voicemail
from workers.calls.fold import Call
from workers.cli.output import echo, print_fact, print_table, utc_text
from workers.replay.call_summary import moment_text
from workers.replay.explain import CallExplanation, DeliveryExplanation


def print_explanation(explanation: CallExplanation) -> None:
    """Print the events of a call, what they make, and what Buildr is sent."""
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
        print_fact("PATCH", json.dumps(dict(explanation.patch), ensure_ascii=False))


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
        "customer": _customer_number(call) or "unknown",
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


def print_delivery(delivery: DeliveryExplanation, now: datetime) -> None:
    """Print how far a call is on its way, what Buildr answered, and each step."""
    record = delivery.stored.record
    state = f"{record.state.value}: {record.reason}"
    if not delivery.stored.version:
        state = "unread: no worker has read a message of it"
    print_fact("state", state)
    for name, value in _delivery_facts(delivery, now).items():
        print_fact(name, value)
    answers = [
        (utc_text(answer.at), str(answer.status_code or ""), answer.cause, answer.text or "")
        for answer in record.answers
    ]
    if answers:
        echo()
        print_table(("time (UTC)", "status", "cause", "Buildr's answer"), answers, empty="")
    echo()
    rows = [(utc_text(entry.at), entry.summary, entry.detail) for entry in record.history]
    print_table(("time (UTC)", "step", "detail"), rows, empty="No steps.")


def _delivery_facts(delivery: DeliveryExplanation, now: datetime) -> Mapping[str, str]:
    record = delivery.stored.record
    facts = {
        "written": ", ".join(f"{name}={value}" for name, value in record.written.items()),
        "written to": record.written_to,
        "written at": _moment(record.written_at, now),
        "attempts": str(record.attempts or ""),
        "next run": _moment(record.due_at, now),
        "unread": ", ".join(delivery.pending_messages),
    }
    return {name: value for name, value in facts.items() if value}


def _moment(at: datetime | None, now: datetime) -> str:
    if at is None:
        return ""
    return moment_text(at, now)
