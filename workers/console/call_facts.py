"""
One call as its page shows it: messages, what each changed, and what was done with Buildr.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

from msgspec import Struct

from service.counts import counted
from service.events import CallEvent, Direction
from service.sources.request import FORM, JSON
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.messages import Message
from workers.calls.fold import Call, fold
from workers.console.masker import Masker, with_numbers_of
from workers.replay.explain import DeliveryExplanation, StoredCallExplanation

# A conference of an hour has some hundred events; each is folded with all before it.
MAX_EVENTS: Final = 150
MAX_MESSAGES: Final = 60
MAX_BODY: Final = 20_000
GONE: Final = "No longer kept; the events that were read from it are."


class Step(Struct, frozen=True):
    """An event, and what the call was after it; `decides` the one that its result rests on."""

    event: CallEvent
    state: str
    changes: bool
    decides: bool


class RawMessage(Struct, frozen=True, kw_only=True):
    """A message as it came, with what became of it."""

    message_id: str
    received_at: datetime | None
    verdict: str
    tone: str
    detail: str
    request: str
    body: str


def answer_of(explanation: StoredCallExplanation, *, workers: int) -> str:
    """What became of a call, in one sentence."""
    delivery = explanation.delivery
    record = delivery.stored.record
    pending = len(delivery.pending_messages)
    waiting = counted(pending, "message waits", "messages wait")
    if pending and not workers:
        return f"{waiting} for a worker, and none is running."
    if explanation.call is None:
        return f"{waiting} for a worker; nothing was read of this call yet."
    sentences: Mapping[DeliveryState, str] = {
        DeliveryState.OPEN: "The call is not over: no final event has come yet.",
        DeliveryState.SETTLING: "The call is over, and waits a moment for further messages.",
        DeliveryState.UNMATCHED: "The call is over, and no Buildr call is known for it.",
        DeliveryState.WAITING: "The write to Buildr waits for its turn.",
        DeliveryState.RETRYING: "The write to Buildr did not succeed yet, and is tried again.",
        DeliveryState.DELIVERED: (
            f"Buildr call {record.written_to or record.buildr_call_id} holds "
            f"“{record.outcome or 'its fields'}”."
        ),
        DeliveryState.LEFT_ALONE: "Nothing is written to Buildr about this call.",
        DeliveryState.FAILED: "The write to Buildr was given up on, and is kept for replay.",
        DeliveryState.STALLED: "The call's end was never reported.",
        DeliveryState.HAND_EDITED: (
            "Somebody has changed the outcome in Buildr, which is left as it is."
        ),
    }
    return sentences[record.state]


def next_step_of(explanation: StoredCallExplanation) -> str:
    """What an operator can do about a call; empty if there is nothing."""
    steps: Mapping[DeliveryState, str] = {
        DeliveryState.UNMATCHED: "Set a link to its Buildr call; it then goes on at once.",
        DeliveryState.FAILED: "Fix the cause below, then replay it.",
        DeliveryState.STALLED: "A late end still corrects it. Check the source's webhooks.",
        DeliveryState.HAND_EDITED: "A forced replay writes over it all the same.",
    }
    return steps.get(explanation.delivery.stored.record.state, "")


def steps_of(explanation: StoredCallExplanation) -> list[Step]:
    """The call's events in their order, each with what was known of the call after it."""
    if explanation.call is None:
        return []
    events = explanation.call.events
    basis = explanation.call.call.basis
    steps: list[Step] = []
    before = ""
    for end, event in enumerate(events[:MAX_EVENTS], start=1):
        state = _state_of(fold(events[:end]))
        decides = (
            basis.result is not None
            and event.leg_id == basis.leg_id
            and event.occurred_at == basis.occurred_at
            and event.vendor_status == basis.vendor_status
        )
        steps.append(Step(event, state, state != before, decides))
        before = state
    return steps


def facts_of(call: Call, masker: Masker) -> dict[str, str]:
    """What is known of a call, by name, without what is empty."""
    customer = call.from_number
    line = call.to_number
    if call.direction is Direction.OUTBOUND:
        customer, line = line, customer
    flags = {
        "transferred": call.is_transferred,
        "forwarded": call.is_forwarded,
        "answered elsewhere": call.is_answered_elsewhere,
    }
    facts: Mapping[str, object] = {
        "Customer": masker.number(customer),
        "Our number": masker.number(line),
        "Direction": call.direction,
        "Agent": call.agent,
        "Also rang": ", ".join(call.rang_agents),
        "Queue": call.queue,
        "Team": call.team,
        "Answered by": call.answered_by,
        "Talked": _seconds(call.duration_s),
        "Waited": _seconds(call.wait_s),
        "Hung up by": call.hung_up_by,
        "Facts": ", ".join(name for name, is_set in flags.items() if is_set),
        "Disposition": call.disposition,
        "Tags": ", ".join(call.tags),
        "Note": call.note,
        "Unknown values": ", ".join(call.unknown_values),
    }
    return {name: masker.field(name, value) for name, value in facts.items() if value}


async def read_messages(
    store: Store, explanation: StoredCallExplanation, masker: Masker
) -> list[RawMessage]:
    """The newest messages of a call, oldest first, as they came."""
    delivery = explanation.delivery
    ids = list(dict.fromkeys((*delivery.stored.events, *delivery.pending_messages)))
    messages = await store.messages.get_many(ids[-MAX_MESSAGES:])
    masker = with_numbers_of(masker, (message.request.body for message in messages.values()))
    rows = []
    for message_id in ids[-MAX_MESSAGES:]:
        verdict, tone, detail = _verdict_of(message_id, delivery)
        request = ""
        body = GONE
        received_at = None
        message = messages.get(message_id)
        if message is not None:
            request = _request_of(message, masker)
            body = masker.text(_body_of(message, masker))
            received_at = message.received_at
        rows.append(
            RawMessage(
                message_id=message_id,
                received_at=received_at,
                verdict=verdict,
                tone=tone,
                detail=masker.text(detail),
                request=request,
                body=body,
            )
        )
    return sorted(rows, key=_by_time)


def _verdict_of(message_id: str, delivery: DeliveryExplanation) -> tuple[str, str, str]:
    """What became of a message: in a few words, how it is coloured, and why."""
    if message_id in delivery.pending_messages:
        return "not read yet", "busy", "waits for a worker"
    for entry in delivery.failed_messages:
        if entry.entry_id == message_id:
            return entry.cause.replace("_", " "), "bad", entry.detail
    if not delivery.stored.events.get(message_id):
        return "read", "rest", "reports nothing of the call"
    return "read", "fine", ""


def _by_time(row: RawMessage) -> tuple[bool, float]:
    if row.received_at is None:
        return False, 0.0
    return True, row.received_at.timestamp()


def _state_of(call: Call) -> str:
    if call.result is not None:
        return call.result.value
    return call.stage.value


def _seconds(duration_s: int | None) -> str:
    if duration_s is None:
        return ""
    minutes, seconds = divmod(duration_s, 60)
    if not minutes:
        return f"{seconds} s"
    return f"{minutes} min {seconds:02} s"


def _request_of(message: Message, masker: Masker) -> str:
    request = message.request
    lines = [f"{request.method} {request.url}"]
    lines += [f"{name}: {value}" for name, values in request.headers.items() for value in values]
    return masker.text("\n".join(lines))


def _body_of(message: Message, masker: Masker) -> str:
    """A body as people read it: JSON indented, a form one field a line."""
    text = message.request.body.decode("utf-8", errors="replace")
    content_type = (message.request.header("content-type") or "").partition(";")[0].strip().lower()
    if content_type == FORM:
        text = "\n".join(_form_lines(text, masker))
    elif content_type == JSON or text.startswith("{"):
        text = _indented(text)
    if len(text) > MAX_BODY:
        return f"{text[:MAX_BODY]}\n… {len(text) - MAX_BODY:,} more characters"
    return text


def _form_lines(text: str, masker: Masker) -> Iterator[str]:
    for name, value in parse_qsl(text, keep_blank_values=True):
        yield f"{name} = {masker.field(name, value)}"


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    # RecursionError: a body may be nested as deep as its length allows.
    except (ValueError, RecursionError):
        return text
