"""
The open source: JSON of our own form, signed by the Standard Webhooks specification.

Specification: https://www.standardwebhooks.com. The form is in `service.sources.standard_message`.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from service.errors import MalformedPayload
from service.events import (
    AnsweredBy,
    CallEvent,
    EventType,
    HangupCause,
    Party,
    Recording,
    Result,
    Voicemail,
)
from service.sources.base import RetryPolicy, Source
from service.sources.common import standard_webhooks as standard_signature
from service.sources.common.ids import call_id
from service.sources.common.json_body import read_json_object
from service.sources.common.phone_numbers import to_e164
from service.sources.common.signatures import digest
from service.sources.common.standard_webhooks import check_secret, make_secret
from service.sources.request import (
    JSON,
    MessageKeys,
    Reply,
    WebhookRequest,
)
from service.sources.settings import Secrets, SourceSetting
from service.sources.standard.payload import (
    EVENT_TYPES,
    StandardMessage,
    StandardRecording,
    StandardVoicemail,
)

MAX_FAULTS: Final = 5
ACCEPTED: Final = b'{"status":"accepted"}'
VOCABULARIES: Final[Mapping[str, Collection[str]]] = {
    "type": frozenset(EVENT_TYPES),
    "answered_by": frozenset(AnsweredBy),
    "hangup_cause": frozenset(HangupCause),
    "result": frozenset(Result),
}


class Standard(Source):
    """The source `standard`."""

    slug = "standard"
    title = "Standard (anything that can send a webhook)"
    settings = (
        SourceSetting(
            name="standard_secret",
            description="Standard Webhooks secret (whsec_...) of the source `standard`; several while rotating.",
            check=check_secret,
            generate=make_secret,
        ),
    )
    # What the specification recommends to senders; yours does what you made it do.
    retry_policy = RetryPolicy(
        response_timeout_s=15,
        retry_delays_s=(5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
    )
    proof = "HMAC-SHA256 over id, time and body (Standard Webhooks)"
    call_id_carrier = "`buildr_call_id` in the body"
    has_address_per_call = True
    kept_headers = frozenset({"content-type", standard_signature.ID})

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if one of the secrets signed the message within the last, or next, 300 seconds.

        Raises `InvalidSignature`.
        """
        standard_signature.verify(request, secrets, now)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """Name the message by its signed `webhook-id`; without one, as offline, by its bytes."""
        value = request.body_as(read_json_object).get("call_id")
        name = call_id(value if isinstance(value, str) else None, name="call_id")
        return MessageKeys(request.header(standard_signature.ID) or digest(request.body), name)

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into its one event; raises `MalformedPayload` that names the fields at fault,
        never their values.
        """
        request.body_as(read_json_object)
        try:
            message = StandardMessage.model_validate_json(request.body)
        except ValidationError as err:
            raise MalformedPayload(_describe(err)) from err
        return [_event(message, message_id)]

    def reply(self, request: WebhookRequest) -> Reply:
        """Say that the message is kept."""
        return Reply(202, ACCEPTED, JSON)

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request, signed with the first secret; a request without an id is named after its
        content. Raises ValueError.
        """
        if not secrets.values:
            raise self.no_secret()
        return standard_signature.sign(request, secrets, now)


def _describe(err: ValidationError) -> str:
    # A fault's place may hold a name that the sender made up; written as JSON it stays one short
    # line.
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
            return replace(event, vendor_status=word)
    return replace(
        event,
        event_type=EVENT_TYPES[message.type],
        vendor_status=message.type,
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
