"""
Aircall: webhooks of calls, each of which describes the whole call as it was when the message was
made.

Events: https://developer.aircall.io/docs/webhooks-overview. Fields:
https://developer.aircall.io/docs/work-with-call-data. Nothing is signed: a token in the body proves
a message, and is taken out of it before it is kept.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from service.errors import IgnoredEvent, InvalidSignature, MalformedPayload
from service.events import (
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Party,
    Recording,
    Voicemail,
)
from service.sources.base import RetryPolicy, Source, unknown_event
from service.sources.common.fields import (
    Fields,
    child,
    children,
    epoch_moment,
    text,
    without_secret,
)
from service.sources.common.ids import BUILDR_CALL_ID, call_id, noted_ids
from service.sources.common.json_body import read_json_object
from service.sources.common.phone_numbers import to_e164
from service.sources.common.setting_checks import check_url
from service.sources.common.signatures import digest
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.settings import Secrets, SettingKind, SourceSetting

PROVING: Final = "token"
PREFIX: Final = "call."
CREATED: Final = "call.created"
ENDED: Final = "call.ended"
SUMMARY: Final = "summary.created"
# https://developer.aircall.io/api-references/#call-events
EVENTS: Final[Mapping[str, EventType]] = {
    CREATED: EventType.CREATED,
    "call.ringing_on_agent": EventType.RINGING,
    # One agent of perhaps several; the call goes on.
    "call.agent_declined": EventType.UPDATED,
    "call.answered": EventType.ANSWERED,
    "call.transferred": EventType.UPDATED,
    "call.external_transferred": EventType.UPDATED,
    "call.unsuccessful_transfer": EventType.UPDATED,
    "call.hold": EventType.UPDATED,
    "call.unhold": EventType.UPDATED,
    "call.ivr_option_selected": EventType.UPDATED,
    # About half a minute before `call.ended`, of a call whose voicemail and reasons may still be
    # missing: never an end.
    "call.hungup": EventType.UPDATED,
    ENDED: EventType.ENDED,
    "call.voicemail_left": EventType.VOICEMAIL,
    "call.comm_assets_generated": EventType.UPDATED,
    "call.tagged": EventType.UPDATED,
    "call.untagged": EventType.UPDATED,
    "call.commented": EventType.UPDATED,
    "call.assigned": EventType.UPDATED,
    "call.archived": EventType.UPDATED,
}
# When these happened; the others count from when their message was made.
TIMES: Final[Mapping[EventType, str]] = {
    EventType.CREATED: "started_at",
    EventType.ANSWERED: "answered_at",
}
# The agent in these did not take the call.
ASKED: Final = frozenset({"call.ringing_on_agent", "call.agent_declined"})
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# `missed_call_reason`: https://developer.aircall.io/api-references/#call
MISSED: Final[Mapping[str, HangupCause]] = {
    "agents_did_not_answer": HangupCause.NO_ANSWER,
    "no_available_agent": HangupCause.NO_ANSWER,
    "out_of_opening_hours": HangupCause.NO_ANSWER,
    "short_abandoned": HangupCause.CANCELLED,
    "abandoned_in_ivr": HangupCause.CANCELLED,
    "abandoned_in_classic": HangupCause.CANCELLED,
}


class Aircall(Source):
    """The source `aircall`."""

    slug = "aircall"
    title = "Aircall"
    settings = (
        SourceSetting(
            name="aircall_token",
            description="Tokens of the Aircall webhooks; more while one webhook takes the place of another.",
        ),
        SourceSetting(
            name="aircall_api_id",
            description="Aircall API id, for the upkeep of the webhook.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="aircall_api_token",
            description="Aircall API token, for the upkeep of the webhook.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="aircall_api_url",
            description="Aircall's API, version included.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_url,
            default="https://api.aircall.io/v1",
        ),
    )
    # Up to 50 times, but Aircall does not publish when: one more try is all that is counted on.
    retry_policy = RetryPolicy(response_timeout_s=5, retry_delays_s=(60,))
    proof = "a token in the body; nothing is signed"
    call_id_carrier = "a comment or tag of the call"
    requires_path_token = True

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if the body holds the token of one of the webhooks.

        Raises `WrongMethod`, `UnsupportedContentType`, else `InvalidSignature`.
        """
        self.check_request(request)
        try:
            given = request.body_as(read_json_object).get(PROVING)
        except MalformedPayload as err:
            raise InvalidSignature(f"the body cannot hold a token: {err}") from err
        if not isinstance(given, str) or not given:
            raise InvalidSignature("the body holds no token")
        matches = [hmac.compare_digest(each.encode(), given.encode()) for each in secrets.values]
        if not any(matches):
            raise InvalidSignature(
                "the token in the body is that of no webhook here; each webhook at Aircall has one of its own"
            )

    def redact(self, request: WebhookRequest) -> WebhookRequest:
        """The message without its token, which would prove any other."""
        return without_secret(request, PROVING)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by all of its body but the token: Aircall gives its events no id, and two
        webhooks may tell the same.
        """
        return MessageKeys(
            digest(without_secret(request, PROVING).body),
            _source_call_id(request.body_as(read_json_object)),
        )

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into events; a strange word beside what is known becomes one of type
        `UNKNOWN`.
        """
        fields = request.body_as(read_json_object)
        common, word, data = _common(fields, message_id), _event_word(fields), child(fields, "data")
        if word == SUMMARY:
            return [replace(common, note=_summary(fields), vendor_status=word)]
        strange = [
            None if word in EVENTS else word,
            _strange(data, "direction", DIRECTIONS),
            _strange(data, "missed_call_reason", MISSED),
        ]
        unknown = [unknown_event(common, each) for each in strange if each is not None]
        if word not in EVENTS or (common.direction is None and text(data, "direction") is not None):
            return unknown
        return [*_told(common, word, data), *unknown]

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same request with the first token in its body. Raises ValueError without one,
        `MalformedPayload` if it is no object.
        """
        if not secrets.values:
            raise self.no_secret()
        fields = {**request.body_as(read_json_object), PROVING: secrets.values[0]}
        return replace(
            request, body=json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        )


def _event_word(fields: Fields) -> str:
    """
    What the message tells. Raises `IgnoredEvent` for what is about no call, `MalformedPayload` if
    it does not say.
    """
    word = text(fields, "event")
    if word is None:
        # Callbacks of numbers whose text messages are sent through the API.
        if text(fields, "event_name") is not None:
            raise IgnoredEvent("a callback about a text message, not a call")
        raise MalformedPayload("event is missing or no text")
    if word != SUMMARY and not word.startswith(PREFIX):
        raise IgnoredEvent("about something else than a call, or an analysis of its talk")
    return word


def _source_call_id(fields: Fields) -> str:
    data = child(fields, "data")
    if _event_word(fields) != SUMMARY:
        return call_id(text(data, "id"), name="data.id")
    named = text(data, "call_id") or text(child(data, "call"), "id")
    if named is None or _summary(fields) is None:
        raise IgnoredEvent("a summary without a text or a call")
    return call_id(named, name="data.call_id")


def _summary(fields: Fields) -> str | None:
    data = child(fields, "data")
    return text(data, "content") or text(child(data, "summary"), "content")


def _common(fields: Fields, message_id: str) -> CallEvent:
    """
    What the message says of the call whatever it tells; of a summary only which call it is about.
    """
    own, data, word = _source_call_id(fields), child(fields, "data"), _event_word(fields)
    # A summary has no time, so that it never takes the place of what an agent wrote.
    event = CallEvent(
        source="aircall",
        message_id=message_id,
        source_call_id=own,
        leg_id=own,
        event_type=EventType.UPDATED,
    )
    if word == SUMMARY:
        return event
    direction = DIRECTIONS.get(text(data, "direction") or "")
    customer, ours = (
        to_e164(text(data, "raw_digits")),
        to_e164(text(child(data, "number"), "digits")),
    )
    ends = {Direction.INBOUND: (customer, ours), Direction.OUTBOUND: (ours, customer)}
    from_number, to_number = (None, None) if direction is None else ends[direction]
    return replace(
        event,
        occurred_at=epoch_moment(fields, "timestamp"),
        direction=direction,
        # Aircall tells no legs apart: it speaks of the conversation as a whole.
        party=Party.CUSTOMER,
        from_number=from_number,
        to_number=to_number,
        agent=None if word in ASKED else _agent(data),
    )


def _agent(data: Fields) -> str | None:
    found = (text(child(data, name), "email", "name") for name in ("user", "assigned_to"))
    return next((each for each in found if each is not None), None)


def _strange(data: Fields, name: str, known: Mapping[str, object]) -> str | None:
    """The word of a field if no table knows it."""
    word = text(data, name)
    return None if word is None or word in known else word


def _told(common: CallEvent, word: str, data: Fields) -> list[CallEvent]:
    """The events of a message of which every word but perhaps the reason is known."""
    # Each message holds all tags and comments of the call as they are by then.
    tags = tuple(
        name for each in children(data, "tags") if (name := text(each, "name")) is not None
    )
    comments = [
        content
        for each in children(data, "comments")
        if (content := text(each, "content")) is not None
    ]
    ids = noted_ids(*comments, *tags)
    # The addresses of the files hold for ten minutes; `asset` is the page in Aircall that shows the
    # file, for good.
    file, message, page = text(data, "recording"), text(data, "voicemail"), text(data, "asset")
    event = replace(
        common,
        event_type=EVENTS[word],
        vendor_status=word,
        tags=tags,
        note="\n".join(comments) or None,
        buildr_call_id=next(iter(ids), None),
        recording=None if file is None else Recording(None, page or file),
    )
    voicemail = Voicemail(page or message)
    events = _ended(event, data) if word == ENDED else [_dated(event, data)]
    if event.event_type is EventType.VOICEMAIL:
        events = [replace(event, voicemail=voicemail)]
    elif message is not None and event.direction is not Direction.OUTBOUND:
        events.append(
            replace(
                common,
                event_type=EventType.VOICEMAIL,
                vendor_status="voicemail",
                voicemail=voicemail,
            )
        )
    # Two ids are a conflict, which a person settles.
    return [
        *events,
        *(replace(common, buildr_call_id=other, vendor_status=BUILDR_CALL_ID) for other in ids[1:]),
    ]


def _dated(event: CallEvent, data: Fields) -> CallEvent:
    name = TIMES.get(event.event_type)
    return (
        event
        if name is None
        else replace(event, occurred_at=epoch_moment(data, name) or event.occurred_at)
    )


def _ended(event: CallEvent, data: Fields) -> list[CallEvent]:
    """
    What `call.ended` tells: all that is known of the call, in case that nothing before it came.
    """
    answered_at, ended_at = epoch_moment(data, "answered_at"), epoch_moment(data, "ended_at")
    bare = replace(event, recording=None, tags=(), note=None, buildr_call_id=None)
    told = [
        replace(bare, event_type=kind, vendor_status=name, occurred_at=moment)
        for kind, name in TIMES.items()
        if (moment := epoch_moment(data, name)) is not None
    ]
    # `duration` would count from the first ring.
    talk_s = (
        None
        if answered_at is None or ended_at is None
        else max(0, round((ended_at - answered_at).total_seconds()))
    )
    cause = (
        HangupCause.COMPLETED
        if answered_at is not None
        else _missed(event.direction, text(data, "missed_call_reason"))
    )
    is_unanswered = answered_at is None and cause is not None
    return [
        *told,
        replace(
            event,
            hangup_cause=cause,
            occurred_at=ended_at,
            duration_s=0 if is_unanswered else talk_s,
        ),
    ]


def _missed(direction: Direction | None, reason: str | None) -> HangupCause | None:
    """Why a call was not answered; None where that cannot be known."""
    if direction is Direction.OUTBOUND:
        # Busy, declined and failed calls are not told apart.
        return HangupCause.NO_ANSWER
    if direction is None:
        return None
    return HangupCause.NO_ANSWER if reason is None else MISSED.get(reason)
