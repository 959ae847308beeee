"""
A call in one sentence, and the command to type next.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from service.counts import counted
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from service.store.keys import split_ref
from service.store.rate_limit.backlog import Outage
from workers.matching.reasons import between
from workers.replay.explain import DeliveryExplanation

# By its name in the docs: a program that is installed from a wheel has no file of it.
RUNBOOK: Final = "docs/runbook.md"
NOT_FOUND: Final = 404
MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400


class CallSummary(Struct, frozen=True, kw_only=True):
    """
    What became of a call, for people. `next_command` lacks the program's name, or is empty;
    `runbook` is the place in the docs that has the cause and its cure, or empty.
    """

    sentence: str
    next_command: str = ""
    runbook: str = ""


def summarize(
    delivery: DeliveryExplanation,
    *,
    now: datetime,
    worker_count: int,
    outage: Outage | None = None,
) -> CallSummary:
    """The summary at a moment (UTC), with so many workers alive, and while Buildr may be away."""
    record = delivery.stored.record
    if not delivery.stored.version:
        return CallSummary(
            sentence=_waiting(len(delivery.pending_messages), worker_count),
            next_command=_to_work(worker_count),
        )
    summary = _SUMMARIES[record.state](record, now)
    if outage is not None and record.state in WAITING_FOR_BUILDR:
        summary = _during(outage, record, now)
    if delivery.failed is not None:
        summary = replace(summary, runbook=runbook_of(delivery.failed.cause))
    if not delivery.pending_messages:
        return summary
    waiting = _waiting(len(delivery.pending_messages), worker_count)
    return replace(
        summary,
        sentence=f"{summary.sentence} {waiting}",
        next_command=_to_work(worker_count) or summary.next_command,
    )


def runbook_of(cause: str) -> str:
    """Where the docs say what a cause of a failure means, and how it is cured."""
    return f"{RUNBOOK}#{cause}"


def span_text(seconds: float) -> str:
    """A span of time as people say it: `58 s`, `12 min`, `3 h`, `2 d`."""
    for unit_s, unit in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def moment_text(at: datetime, now: datetime) -> str:
    """A moment in UTC, and how far away it is: `2026-11-02 10:00:00 UTC (in 58 s)`."""
    distance_s = (at - now).total_seconds()
    distance = f"in {span_text(distance_s)}"
    if distance_s < 0:
        distance = f"{span_text(-distance_s)} ago"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC ({distance})"


def _waiting(count: int, worker_count: int) -> str:
    subject = counted(count, "message waits", "messages wait")
    if worker_count == 0:
        return f"{subject} for a worker; none is running. Start it, or its service."
    return f"{subject} for a worker; {worker_count} running."


def _to_work(worker_count: int) -> str:
    return "" if worker_count else "work"


def _open(record: DeliveryRecord, now: datetime) -> CallSummary:
    source = split_ref(record.ref)[0]
    sentences = [
        f"The call is not over, as far as {source} has reported: {record.reason}.",
        "Nothing is written to Buildr before that.",
    ]
    if record.last_received_at is not None:
        span = span_text((now - record.last_received_at).total_seconds())
        sentences.append(f"The last message of it came {span} ago.")
    if record.due_at is not None:
        sentences.append(
            "If nobody is talking any more, the message of its end is missing: without it the call "
            f"counts as stalled {_in(record.due_at, now)}."
        )
    return CallSummary(sentence=" ".join(sentences), next_command=f"tail --call {record.ref}")


def _settling(record: DeliveryRecord, now: datetime) -> CallSummary:
    due = "soon"
    if record.due_at is not None:
        due = _in(record.due_at, now)
    ended = f"The call ended as {record.result}"
    return CallSummary(sentence=f"{ended}; {_outcome(record)} goes to Buildr {due}.")


def _unmatched(record: DeliveryRecord, _: datetime) -> CallSummary:
    source, source_call_id = split_ref(record.ref)
    sentences = [
        f"The call ended as {record.result}, and no Buildr call is known for it.",
        between(record.reason),
    ]
    return CallSummary(
        sentence=" ".join(sentences).rstrip(),
        next_command=f"links set {source} {source_call_id} BUILDR_CALL_ID",
    )


def _during(outage: Outage, record: DeliveryRecord, now: datetime) -> CallSummary:
    return CallSummary(
        sentence=f"Not in Buildr yet: Buildr has been away since {moment_text(outage.since, now)}, "
        f"and is asked again {_in(outage.next_try_at, now)}. {_outcome(record)} is sent once it is "
        "back; nothing is to be done here.",
        next_command="status",
    )


def _waits(record: DeliveryRecord, _: datetime) -> CallSummary:
    return CallSummary(
        sentence=f"Not in Buildr yet: {_outcome(record)} {_waiting_reason(record)}.",
        next_command="status",
    )


def _waiting_reason(record: DeliveryRecord) -> str:
    """What a call waits for, after the name of its outcome and without the next command."""
    reason = record.reason.partition("; see: ")[0]
    if reason.startswith("waits"):
        return reason
    return f"waits: {reason}"


def _retrying(record: DeliveryRecord, now: datetime) -> CallSummary:
    again = ""
    if record.retry_at is not None:
        again = f" It is sent again {_in(record.retry_at, now)}."
    if _is_unknown_to_buildr(record):
        return CallSummary(
            sentence=f"Not in Buildr yet: it knows no call {record.buildr_call_id} (404).{again} "
            "If the id is wrong, correct it.",
            next_command=_correct_id(record),
        )
    return CallSummary(
        sentence=f"Not in Buildr yet: {_outcome(record)} was not taken: {record.reason}.{again}",
        next_command="status",
    )


def _delivered(record: DeliveryRecord, now: datetime) -> CallSummary:
    since = ""
    if record.written_at is not None:
        since = f" since {moment_text(record.written_at, now)}"
    return CallSummary(
        sentence=f"Buildr call {record.buildr_call_id} holds {_outcome(record)}{since}."
    )


def _left_alone(record: DeliveryRecord, _: datetime) -> CallSummary:
    return CallSummary(sentence=f"Nothing is written to Buildr: {record.reason}.")


def _failed(record: DeliveryRecord, _: datetime) -> CallSummary:
    if _is_unknown_to_buildr(record):
        return CallSummary(
            sentence=f"Not in Buildr: it knows no call {record.buildr_call_id} (404). Given up on "
            f"after {len(record.answers)} answers. Correct the id, then replay the call.",
            next_command=_correct_id(record),
        )
    answer = next(reversed(record.answers), None)
    words = ""
    if answer is not None and answer.text and answer.text not in record.reason:
        words = f" Its words: {answer.text}"
    return CallSummary(
        sentence=f"Not in Buildr: {_outcome(record)} was given up on. {record.reason}.{words}",
        next_command=f"failed replay {record.ref} --dry-run",
    )


def _is_unknown_to_buildr(record: DeliveryRecord) -> bool:
    """Whether Buildr answered last that there is no such call."""
    answer = next(reversed(record.answers), None)
    return answer is not None and answer.status_code == NOT_FOUND


def _correct_id(record: DeliveryRecord) -> str:
    source, source_call_id = split_ref(record.ref)
    return f"links set {source} {source_call_id} BUILDR_CALL_ID --replace"


def _stalled(record: DeliveryRecord, _: datetime) -> CallSummary:
    source = split_ref(record.ref)[0]
    return CallSummary(
        sentence=f"The call's end was never reported: {record.reason}.",
        next_command=f"backfill {source} --dry-run",
    )


def _hand_edited(record: DeliveryRecord, _: datetime) -> CallSummary:
    return CallSummary(
        sentence=f"Buildr call {record.buildr_call_id} was edited by hand, and stays so: "
        f"{record.reason}.",
        next_command=f"replay {record.ref} --force --dry-run",
    )


def _outcome(record: DeliveryRecord) -> str:
    return record.outcome or "The outcome"


def _in(at: datetime, now: datetime) -> str:
    return f"in {span_text((at - now).total_seconds())}"


WAITING_FOR_BUILDR: Final = frozenset({DeliveryState.WAITING, DeliveryState.RETRYING})
_SUMMARIES: Final[Mapping[DeliveryState, Callable[[DeliveryRecord, datetime], CallSummary]]] = {
    DeliveryState.OPEN: _open,
    DeliveryState.SETTLING: _settling,
    DeliveryState.UNMATCHED: _unmatched,
    DeliveryState.WAITING: _waits,
    DeliveryState.RETRYING: _retrying,
    DeliveryState.DELIVERED: _delivered,
    DeliveryState.LEFT_ALONE: _left_alone,
    DeliveryState.FAILED: _failed,
    DeliveryState.STALLED: _stalled,
    DeliveryState.HAND_EDITED: _hand_edited,
}
