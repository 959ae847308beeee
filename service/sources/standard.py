"""
The open source: JSON of our own form, signed by the Standard Webhooks specification.

Specification: https://www.standardwebhooks.com. The form is in `service.sources.standard_message`.
"""

import base64
import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from service.errors import InvalidSignature, MalformedPayload, UnsupportedContentType, WrongMethod
from service.events import AnsweredBy, CallEvent, EventType, HangupCause, Party, Recording, Result, Voicemail
from service.secrets import Secrets
from service.sources.base import JSON, Incoming, MessageKeys, Reply, call_id, digest, is_hmac, to_e164
from service.sources.signatures import one_header, read_base64, read_json_object
from service.sources.standard_message import EVENT_TYPES, StandardMessage, StandardRecording, StandardVoicemail

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
SCHEME: Final = "v1"
PREFIX: Final = "whsec_"
TOLERANCE_S: Final = 300
MAX_TIMESTAMP_DIGITS: Final = 12
MAX_ID_LENGTH: Final = 200
MAX_FAULTS: Final = 5
ACCEPTED: Final = b'{"status":"accepted"}'
VOCABULARIES: Final[Mapping[str, Collection[str]]] = {
    "type": frozenset(EVENT_TYPES),
    "answered_by": frozenset(AnsweredBy),
    "hangup_cause": frozenset(HangupCause),
    "result": frozenset(Result),
}


class Standard:
    """The source `standard`."""

    slug: str = "standard"
    title: str = "Standard (anything that can send a webhook)"
    content_types: frozenset[str] = frozenset({JSON})
    kept_headers: frozenset[str] = frozenset({"content-type", ID})

    def handshake(self, incoming: Incoming, secrets: Secrets) -> Reply | None:
        """There is no set-up challenge."""

    def verify(self, incoming: Incoming, secrets: Secrets, now: datetime) -> None:
        """
        Return if one of the secrets signed the message within the last, or next, 300 seconds.

        Raises `WrongMethod`, `UnsupportedContentType`, else `InvalidSignature`.
        """
        if incoming.method != "POST":
            raise WrongMethod("messages must be sent with POST")
        if incoming.content_type != JSON:
            raise UnsupportedContentType(f"messages must be {JSON}")
        name, timestamp, signatures = (one_header(incoming, header) for header in (ID, TIMESTAMP, SIGNATURE))
        if not _is_plain(name) or not _is_timestamp(timestamp):
            raise InvalidSignature(
                f"{ID} must be printable ASCII of at most {MAX_ID_LENGTH} characters, {TIMESTAMP} whole seconds since 1970"
            )
        keys = [key for key in map(read_secret, secrets.values) if key is not None]
        if not keys:
            raise InvalidSignature("STANDARD_SECRET holds no secret that can be read: whsec_ and base64")
        text = _signed_text(name, timestamp, incoming.body)
        given = [signature for signature in map(_read_signature, signatures.split(" ")) if signature is not None]
        matches = [is_hmac(key, text, signature, algorithm="sha256") for key in keys for signature in given]
        if not any(matches):
            raise InvalidSignature("no secret gives one of these signatures")
        if abs(now.timestamp() - int(timestamp)) > TOLERANCE_S:
            raise InvalidSignature(f"{TIMESTAMP} is more than {TOLERANCE_S} s away from this machine's clock")

    def keys(self, incoming: Incoming) -> MessageKeys:
        """Name the message by its signed `webhook-id`; without one, as offline, by its bytes."""
        value = read_json_object(incoming.body).get("call_id")
        name = call_id(value if isinstance(value, str) else None, name="call_id")
        return MessageKeys(incoming.header(ID) or digest(incoming.body), name)

    def parse(self, incoming: Incoming, message_id: str) -> list[CallEvent]:
        """Turn a message into its one event; raises `MalformedPayload` that names the fields at fault, never their values."""
        read_json_object(incoming.body)
        try:
            message = StandardMessage.model_validate_json(incoming.body)
        except ValidationError as err:
            raise MalformedPayload(_describe(err)) from err
        return [_event(message, message_id)]

    def reply(self, incoming: Incoming) -> Reply:  # noqa: ARG002 - the answer is the same for all
        """Say that the message is kept."""
        return Reply(202, ACCEPTED, JSON)

    def sign(self, incoming: Incoming, secrets: Secrets, now: datetime) -> Incoming:
        """The same request, signed with the first secret; a request without an id is named after its content. Raises ValueError."""
        key = read_secret(secrets.values[0]) if secrets.values else None
        if key is None:
            raise ValueError("there is no secret to sign with: set STANDARD_SECRET to whsec_ and base64")
        name = incoming.header(ID) or f"msg_{digest(incoming.url, incoming.body)}"
        timestamp = str(int(now.timestamp()))
        mac = hmac.digest(key, _signed_text(name, timestamp, incoming.body), "sha256")
        signature = f"{SCHEME},{base64.b64encode(mac).decode()}"
        return replace(incoming, headers={**incoming.headers, ID: (name,), TIMESTAMP: (timestamp,), SIGNATURE: (signature,)})


def read_secret(text: str) -> bytes | None:
    """The key in a secret, with or without `whsec_`, with or without padding; None if it is not base64 or empty."""
    encoded = text.strip().removeprefix(PREFIX).rstrip("=")
    return read_base64(encoded + "=" * (-len(encoded) % 4)) or None


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text) <= MAX_ID_LENGTH


def _is_timestamp(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_TIMESTAMP_DIGITS


def _signed_text(name: str, timestamp: str, body: bytes) -> bytes:
    return f"{name}.{timestamp}.".encode() + body


def _read_signature(text: str) -> bytes | None:
    scheme, _, encoded = text.partition(",")
    return read_base64(encoded) if scheme == SCHEME else None


def _describe(err: ValidationError) -> str:
    # A fault's place may hold a name that the sender made up; written as JSON it stays one short line.
    faults = err.errors(include_url=False, include_input=False, include_context=False)
    lines = [
        f"{json.dumps('.'.join(str(part) for part in fault['loc']) or 'message')[:60]}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in faults[:MAX_FAULTS]
    ]
    more = [f"and {len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
    return "; ".join([*lines, *more])


def _event(message: StandardMessage, message_id: str) -> CallEvent:
    event = CallEvent(
        source="standard",
        message_id=message_id,
        source_call_id=call_id(message.call_id, name="call_id"),
        leg_id=call_id(message.leg_id or message.call_id, name="leg_id"),
        event_type=EventType.UNKNOWN,
        parent_leg_id=message.parent_leg_id,
        occurred_at=_utc(message.occurred_at),
        sequence=message.sequence,
        direction=message.direction,
        # A source that tells no legs apart speaks of the conversation with the customer.
        party=message.party or (Party.CUSTOMER if message.leg_id is None else None),
        from_number=to_e164(message.from_),
        to_number=to_e164(message.to),
        duration_s=message.duration_s,
        recording=_recording(message.recording),
        voicemail=_voicemail(message.voicemail),
        agent=message.agent,
        disposition=message.disposition,
        tags=message.tags,
        note=message.note,
        buildr_call_id=message.buildr_call_id,
    )
    for field, known in VOCABULARIES.items():
        word = getattr(message, field)
        if word is not None and word not in known:
            return replace(event, word=word)
    return replace(
        event,
        event_type=EVENT_TYPES[message.type],
        word=message.type,
        answered_by=None if message.answered_by is None else AnsweredBy(message.answered_by),
        hangup_cause=None if message.hangup_cause is None else HangupCause(message.hangup_cause),
        result=None if message.result is None else Result(message.result),
    )


def _utc(moment: datetime | None) -> datetime | None:
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError as err:
        raise MalformedPayload("occurred_at: the time lies outside the calendar") from err


def _recording(part: StandardRecording | None) -> Recording | None:
    return None if part is None else Recording(part.id, part.url, part.duration_s)


def _voicemail(part: StandardVoicemail | None) -> Voicemail | None:
    return None if part is None else Voicemail(part.url, part.duration_s, part.transcript)
