"""
The calls that are simulated, and what Buildr shall hold about each.

Every message shows at the sandbox: either the outcome would be another one without it, or it leaves
a tag of its own in the notes. So each acknowledged message can be checked there by itself.
"""

import itertools
import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final
from urllib.parse import urlencode

from tests.e2e.harness import twilio_forms
from tests.faults.senders import (
    DIALPAD,
    DIALPAD_ONCE,
    STANDARD,
    STANDARD_ONCE,
    TWILIO,
    TWILIO_ONCE,
    TWILIO_RETRYING,
    ZOOM,
    SenderModel,
)

# Messages of one call that do not wait for one another, well within the time for settling.
SPACING_S: Final = 0.05
TRANSCRIPT_BYTES: Final = 16_000
FIRST_CALL: Final = 100_000
TAGGED_MESSAGES: Final = 10
CONNECTED: Final = "786"
VOICEMAIL_RECEIVED: Final = "788"
NO_ANSWER: Final = "789"
BUSY: Final = "790"
MISSED: Final = "792"

Json = Mapping[str, object]
Positions = frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallKind:
    """
    A way in which calls go.

    `payloads` makes the messages of a call from its number, in order: forms or JSON objects.
    `outcome` is the id of the outcome that follows from some of its messages, by their positions,
    or None if nothing may be written. `has_tags`: message number `n` leaves the tag `t<n>` in the
    notes.
    """

    name: str
    source: str
    models: tuple[SenderModel, ...]
    payloads: Callable[[int], list[Json]]
    outcome: Callable[[Positions], str | None]
    has_tags: bool = False
    needs_link: bool = False
    is_in_turn: bool = False
    spacing_s: float = SPACING_S


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """One call with its place in the trial."""

    number: int
    kind: CallKind
    model: SenderModel

    @property
    def buildr_call_id(self) -> str:
        """Its id in Buildr, which no other call has."""
        return buildr_call_id(self.number)

    @property
    def source_call_id(self) -> str:
        """Its id at its source, for a link."""
        return f"741{self.number:016d}"

    def outcomes(self, taken: Iterable[int], unsure: Iterable[int]) -> set[str | None]:
        """
        The outcomes that are right: `taken` messages were acknowledged, of the `unsure` ones any
        may have arrived.
        """
        certain = frozenset(taken)
        doubtful = tuple(unsure)
        if self.kind.has_tags:
            # Only the last one decides, and each message is checked by its tag.
            doubtful = tuple(position for position in doubtful if position == TAGGED_MESSAGES - 1)
        return {
            self.kind.outcome(certain | frozenset(some))
            for size in range(len(doubtful) + 1)
            for some in itertools.combinations(doubtful, size)
        }


def buildr_call_id(number: int) -> str:
    """The id in Buildr of call number `number`."""
    return str(FIRST_CALL + number)


def _began_at() -> datetime:
    """When a call began whose last message is sent now."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _twilio(status: str) -> Callable[[int], list[Json]]:
    def payloads(number: int) -> list[Json]:
        ended_at = format_datetime(datetime.now(UTC))
        return [twilio_forms(number, status=status, Timestamp=ended_at)[-1]]

    return payloads


def _standard(number: int, position: int, event_type: str, **fields: object) -> Json:
    return {
        "version": "1",
        "type": event_type,
        "call_id": f"pbx-{number}",
        "occurred_at": _iso(_began_at() + timedelta(seconds=position)),
        "sequence": position,
        "buildr_call_id": buildr_call_id(number),
        **fields,
    }


def _voicemail(number: int) -> list[Json]:
    inbound = {"direction": "inbound", "from": "+15005550001", "to": "+15005550006"}
    return [
        _standard(number, 0, "call.ended", hangup_cause="no_answer", agent="ana", **inbound),
        _standard(number, 1, "call.voicemail", voicemail={"duration_s": 12}, **inbound),
    ]


def _long_voicemail(number: int) -> list[Json]:
    end, voicemail = _voicemail(number)
    # Of chance, so that it cannot be compressed much.
    transcript = random.Random(number).randbytes(TRANSCRIPT_BYTES // 2).hex()
    return [end, {**voicemail, "voicemail": {"duration_s": 12, "transcript": transcript}}]


def _tagged(number: int) -> list[Json]:
    types = ["call.created", "call.ringing", "call.answered"]
    types += ["call.updated"] * (TAGGED_MESSAGES - len(types))
    outbound = {"direction": "outbound", "from": "+15005550006", "to": "+15005550001"}
    messages = [
        _standard(number, position, event_type, tags=[f"t{position}"], **outbound)
        for position, event_type in enumerate(types)
    ]
    end = {"type": "call.ended", "hangup_cause": "completed", "duration_s": 49}
    messages[-1] = {**messages[-1], **end}
    return messages


def _dialpad(number: int) -> list[Json]:
    started_ms = int(_began_at().timestamp()) * 1000
    return [
        {
            "call_id": 4_800_000_000_000_000 + number,
            "state": "hangup",
            "direction": "outbound",
            "external_number": "+15005550001",
            "internal_number": "+15005550006",
            "date_started": started_ms,
            "date_connected": started_ms + 9_000,
            "date_ended": started_ms + 46_000,
            "target": {"id": 5_100_000_000_000_001, "type": "user", "email": "ana@example.com"},
            "custom_data": json.dumps({"buildr_call_id": buildr_call_id(number)}),
        }
    ]


def _zoom(number: int) -> list[Json]:
    began_at = _began_at()
    ended_at = began_at + timedelta(seconds=45)
    caller = {
        "extension_id": "FAKEEXT0000000000000001",
        "extension_type": "user",
        "extension_number": 801,
        "user_id": "FAKEUSER000000000000001",
        "phone_number": "+15005550006",
        "connection_type": "voip",
    }
    call = {
        "call_id": f"741{number:016d}",
        "caller": caller,
        "callee": {
            "phone_number": "+15005550001",
            "extension_type": "pstn",
            "connection_type": "pstn_off_net",
        },
        "ringing_start_time": _iso(began_at),
        "call_end_time": _iso(ended_at),
        "handup_result": "No Answer",
    }
    payload = {"account_id": "FAKEACCOUNT00000000001", "object": call}
    event_ts = int(ended_at.timestamp()) * 1000
    return [{"event": "phone.caller_ended", "event_ts": event_ts, "payload": payload}]


def _decided_by(position: int, outcome_id: str) -> Callable[[Positions], str | None]:
    def outcome(positions: Positions) -> str | None:
        if position in positions:
            return outcome_id
        return None

    return outcome


def _voicemail_outcome(positions: Positions) -> str | None:
    if 0 not in positions:
        return None
    if 1 in positions:
        return VOICEMAIL_RECEIVED
    return MISSED


TWILIO_MODELS: Final = (TWILIO_ONCE, TWILIO_RETRYING, TWILIO_ONCE, TWILIO)
TWILIO_CONNECTED: Final = CallKind(
    name="Twilio, connected",
    source="twilio",
    models=TWILIO_MODELS,
    payloads=_twilio("completed"),
    outcome=_decided_by(0, CONNECTED),
)
TWILIO_BUSY: Final = CallKind(
    name="Twilio, busy",
    source="twilio",
    models=TWILIO_MODELS,
    payloads=_twilio("busy"),
    outcome=_decided_by(0, BUSY),
)
STANDARD_VOICEMAIL: Final = CallKind(
    name="standard, missed and a voicemail",
    source="standard",
    models=(STANDARD_ONCE, STANDARD),
    payloads=_voicemail,
    outcome=_voicemail_outcome,
)
STANDARD_LATE_VOICEMAIL: Final = replace(
    STANDARD_VOICEMAIL, name="standard, missed and a voicemail 4 s later", spacing_s=4
)
STANDARD_LONG_VOICEMAIL: Final = replace(
    STANDARD_VOICEMAIL, name="standard, a long voicemail", payloads=_long_voicemail
)
STANDARD_TAGGED: Final = CallKind(
    name="standard, ten messages",
    source="standard",
    models=(STANDARD_ONCE, STANDARD),
    payloads=_tagged,
    outcome=_decided_by(TAGGED_MESSAGES - 1, CONNECTED),
    has_tags=True,
    is_in_turn=True,
)
DIALPAD_CONNECTED: Final = CallKind(
    name="Dialpad, connected",
    source="dialpad",
    models=(DIALPAD, DIALPAD_ONCE),
    payloads=_dialpad,
    outcome=_decided_by(0, CONNECTED),
)
ZOOM_NO_ANSWER: Final = CallKind(
    name="Zoom, no answer",
    source="zoom",
    models=(ZOOM,),
    payloads=_zoom,
    outcome=_decided_by(0, NO_ANSWER),
    needs_link=True,
)
MIXED: Final = (TWILIO_CONNECTED, STANDARD_VOICEMAIL, DIALPAD_CONNECTED, TWILIO_BUSY)
WITH_ZOOM: Final = (*MIXED, ZOOM_NO_ANSWER)


def make_calls(count: int, kinds: tuple[CallKind, ...]) -> list[SimulatedCall]:
    """So many calls, of each kind and each of its senders in turn."""
    calls = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        model = kind.models[number // len(kinds) % len(kind.models)]
        calls.append(SimulatedCall(number, kind, model))
    return calls


def encode_form(form: Json) -> bytes:
    """A form as it is sent."""
    return urlencode({name: str(value) for name, value in form.items()}).encode()
