"""
CallRail: call webhooks, which describe the whole call in each message.

Kinds: https://support.callrail.com/hc/en-us/articles/5711246459149-Webhooks. Fields:
https://apidocs.callrail.com/#calls. HMAC-SHA1 over the raw body proves a message and nothing in its
address, from which therefore no more than the kind is taken.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from service.errors import IgnoredEvent, InvalidSignature, MalformedPayload
from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
    Result,
    Voicemail,
)
from service.sources.base import RetryPolicy, Source, unknown_event
from service.sources.common.fields import seconds
from service.sources.common.forms import query_value, read_form
from service.sources.common.ids import call_id, noted_ids
from service.sources.common.json_body import JsonValue, read_json_object
from service.sources.common.phone_numbers import to_e164
from service.sources.common.signatures import digest, is_hmac, one_header, read_base64
from service.sources.request import (
    FORM,
    JSON,
    MessageKeys,
    WebhookRequest,
)
from service.sources.settings import Secrets, SourceSetting

SIGNATURE: Final = "signature"
KIND: Final = "kind"
CALL: Final = "CAL"


@dataclass(frozen=True, slots=True)
class _Kind:
    """
    What a message of a kind tells: whether the call is over, and its place among the messages of
    the call.
    """

    is_over: bool
    sequence: int


PRE_CALL: Final = "pre-call"
POST_CALL: Final = "post-call"
MODIFIED: Final = "modified"
# The word in the address that the webhook is set to.
KINDS: Final[Mapping[str, _Kind]] = {
    PRE_CALL: _Kind(is_over=False, sequence=0),
    "routing-complete": _Kind(is_over=False, sequence=1),
    POST_CALL: _Kind(is_over=True, sequence=2),
    MODIFIED: _Kind(is_over=True, sequence=3),
}
# What the body calls its kind, which inbound calls lack.
TYPES: Final[Mapping[str, str]] = {"outboundpostcall": POST_CALL}
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# `call_type` only matters where the flags do not say enough; CallRail does not publish all its
# words.
ABANDONED: Final = frozenset({"abandoned", "(abandoned)"})
MISSED: Final = "missed"
BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "false": False}


class CallRail(Source):
    """The source `callrail`."""

    slug = "callrail"
    title = "CallRail"
    content_types = frozenset({JSON, FORM})
    settings = (
        SourceSetting(
            name="callrail_signing_key",
            description="CallRail signing keys, one for each company; more while rotating.",
        ),
    )
    # Whether CallRail sends again is not documented; count on it that it does not.
    retry_policy = RetryPolicy(response_timeout_s=5)
    proof = "HMAC-SHA1 over the body, with the signing key of the company"
    call_id_carrier = "the call's note"

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if the key of one of the companies signed the body.

        Raises `InvalidSignature`.
        """
        given = read_base64(one_header(request, SIGNATURE))
        if given is None:
            raise InvalidSignature(f"{SIGNATURE} is not base64")
        matches = [
            is_hmac(key.encode(), request.body, given, algorithm="sha1") for key in secrets.values
        ]
        if not any(matches):
            raise InvalidSignature(
                "no signing key gives this signature; each company at CallRail has a key of its own"
            )

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by its body, which is all that is signed, so that it counts once under
        whatever address it comes.
        """
        return MessageKeys(digest(request.body), _source_call_id(_fields(request)))

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """Turn a message into its event; a strange word beside it becomes one of type `UNKNOWN`."""
        fields = _fields(request)
        event = _common(fields, message_id)
        name, strange = _kind(request, fields)
        direction = _text(fields, "direction")
        answered = _text(fields, "answered")
        faults = [
            strange,
            None if direction is None or direction in DIRECTIONS else direction,
            None if answered is None or answered in BOOLEANS else answered,
        ]
        unknown = [unknown_event(event, word) for word in faults if word is not None]
        if name is None or (event.direction is None and direction is not None):
            return unknown
        kind = KINDS[name]
        event = replace(event, sequence=kind.sequence, vendor_status=name)
        return [
            _ended(event, fields) if kind.is_over else replace(event, event_type=EventType.RINGING),
            *unknown,
        ]

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request, signed with the first key. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        mac = hmac.digest(secrets.values[0].encode(), request.body, "sha1")
        return replace(
            request, headers={**request.headers, SIGNATURE: (base64.b64encode(mac).decode(),)}
        )


def _fields(request: WebhookRequest) -> Mapping[str, JsonValue]:
    if request.content_type != FORM:
        return request.body_as(read_json_object)
    fields: dict[str, JsonValue] = {}
    for name, value in request.body_as(read_form):
        found = fields.get(name)
        if name.endswith("[]"):
            fields[name] = [*(found if isinstance(found, list) else []), value]
        elif found is None:
            fields[name] = value
        else:
            raise MalformedPayload(
                "the form holds a name twice; which value counts cannot be known"
            )
    return {name.removesuffix("[]"): value for name, value in fields.items()}


def _source_call_id(fields: Mapping[str, JsonValue]) -> str:
    found = call_id(_text(fields, "resource_id"), name="resource_id")
    if not found.startswith(CALL):
        raise IgnoredEvent("a text message or a form, not a call")
    return found


def _common(fields: Mapping[str, JsonValue], message_id: str) -> CallEvent:
    own = _source_call_id(fields)
    direction = DIRECTIONS.get(_text(fields, "direction") or "")
    customer = to_e164(_first(fields, "customer_phone_number", "customer_number", "callernum"))
    tracking = to_e164(_first(fields, "tracking_phone_number", "trackingnum"))
    is_outbound = direction is Direction.OUTBOUND
    note, tags = _text(fields, "note"), fields.get("tags")
    return CallEvent(
        source="callrail",
        message_id=message_id,
        source_call_id=own,
        leg_id=own,
        event_type=EventType.UPDATED,
        occurred_at=_started_at(fields),
        direction=direction,
        # A message is about the call as a whole, and its flags about the person at the other
        # company.
        party=Party.CUSTOMER,
        from_number=tracking if is_outbound else customer,
        to_number=customer if is_outbound else tracking,
        agent=_text(fields, "agent_email"),
        disposition=_text(fields, "lead_status"),
        tags=tuple(tag for tag in tags if isinstance(tag, str) and tag)
        if isinstance(tags, list)
        else (),
        note=note,
        buildr_call_id=next(iter(noted_ids(note)), None),
    )


def _kind(
    request: WebhookRequest, fields: Mapping[str, JsonValue]
) -> tuple[str | None, str | None]:
    """The name of the message's kind, and the strange word if there is one."""
    told = query_value(request, KIND)
    if told is not None:
        # CallRail appends a query of its own, with a question mark, whether there is one already or
        # not.
        told = told.partition("?")[0]
        return (told, None) if told in KINDS else (None, told)
    word = _text(fields, "type")
    if word is not None:
        return (TYPES[word], None) if word in TYPES else (None, word)
    if "changes" in fields:
        return MODIFIED, None
    return (PRE_CALL if _is_placeholder(fields) else POST_CALL), None


def _is_placeholder(fields: Mapping[str, JsonValue]) -> bool:
    # A call that has only just come in looks like one that was missed, except that it has not
    # lasted any time yet.
    return (
        _text(fields, "call_type") == MISSED
        and not seconds(_text(fields, "duration"))
        and _flag(fields, "answered") is False
    )


def _ended(event: CallEvent, fields: Mapping[str, JsonValue]) -> CallEvent:
    result = _result(event.direction, fields)
    duration_s = seconds(_text(fields, "duration"))
    if result is None:
        return event
    url, length_s = (
        _first(fields, "recording", "recording_redirect"),
        seconds(_text(fields, "recording_duration")),
    )
    is_voicemail = result is Result.VOICEMAIL_RECEIVED
    return replace(
        event,
        event_type=EventType.ENDED,
        occurred_at=_later(event.occurred_at, duration_s),
        result=result,
        hangup_cause=HangupCause.COMPLETED if result is Result.CONNECTED else HangupCause.NO_ANSWER,
        duration_s=duration_s if result is Result.CONNECTED else 0,
        recording=Recording(None, url, length_s) if url is not None and not is_voicemail else None,
        voicemail=Voicemail(url, length_s, _text(fields, "transcription"))
        if is_voicemail
        else None,
    )


def _result(direction: Direction | None, fields: Mapping[str, JsonValue]) -> Result | None:
    """How the call ended, as its flags say; None if they do not."""
    is_answered, is_outbound = _flag(fields, "answered"), direction is Direction.OUTBOUND
    # Where CallRail's own voicemail picked up, some flows count the call as answered too.
    if not is_outbound and _flag(fields, "voicemail"):
        return Result.VOICEMAIL_RECEIVED
    if is_answered is None or direction is None:
        return None
    if is_answered:
        return Result.CONNECTED
    if is_outbound:
        return Result.NO_ANSWER
    is_abandoned = not ABANDONED.isdisjoint(
        (_text(fields, "call_type"), _text(fields, "formatted_duration"))
    )
    return Result.ABANDONED if is_abandoned else Result.MISSED_INBOUND


def _text(fields: Mapping[str, JsonValue], name: str) -> str | None:
    """A field as text; None if it is absent, empty, or no text or number."""
    value = fields.get(name)
    return (
        str(value)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
        else None
    )


def _first(fields: Mapping[str, JsonValue], *names: str) -> str | None:
    return next(
        (value for value in (_text(fields, name) for name in names) if value is not None), None
    )


def _flag(fields: Mapping[str, JsonValue], name: str) -> bool | None:
    """A field that is true or false, or one of these words; None if it is anything else."""
    value = fields.get(name)
    return (
        value
        if isinstance(value, bool)
        else BOOLEANS.get(value)
        if isinstance(value, str)
        else None
    )


def _started_at(fields: Mapping[str, JsonValue]) -> datetime | None:
    # `datetime` is in UTC and does not say so; all others carry the offset of the company's time
    # zone.
    for name in ("start_time", "timestamp", "datetime"):
        try:
            moment = datetime.fromisoformat(_text(fields, name) or "")
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            continue
    return None


def _later(moment: datetime | None, duration_s: int | None) -> datetime | None:
    try:
        return None if moment is None else moment + timedelta(seconds=duration_s or 0)
    except OverflowError:
        return moment
