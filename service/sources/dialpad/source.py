"""
Dialpad: call event subscriptions, of which each message tells what became of one leg of a call.

States and fields: https://developers.dialpad.com/docs/call-events, the list of states:
https://developers.dialpad.com/reference/webhook_call_event_subscriptioncreate. The whole body is
one JSON Web Token (`service.sources.jwt`), of which the middle part is the message.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from service.errors import IgnoredEvent, MalformedPayload
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
from service.sources.common import jwt
from service.sources.common.fields import (
    Fields,
    child,
    children,
    epoch_moment,
    text,
    texts,
    walk,
    whole_seconds,
)
from service.sources.common.ids import call_id, echoed_id
from service.sources.common.json_body import JsonValue, read_json_object
from service.sources.common.phone_numbers import to_e164
from service.sources.common.setting_checks import check_url
from service.sources.common.signatures import digest
from service.sources.request import MessageKeys, WebhookRequest
from service.sources.settings import Secrets, SettingKind, SourceSetting

MS: Final = 1000
CONNECTED: Final = "connected"
HANGUP: Final = "hangup"
MISSED: Final = "missed"
BLOCKED: Final = "blocked"
SUMMARY: Final = "recap_summary"
STATES: Final[Mapping[str, EventType]] = {
    "calling": EventType.CREATED,
    "preanswer": EventType.RINGING,
    "ringing": EventType.RINGING,
    "queued": EventType.RINGING,
    CONNECTED: EventType.ANSWERED,
    "hold": EventType.UPDATED,
    "merged": EventType.UPDATED,
    "parked": EventType.UPDATED,
    HANGUP: EventType.ENDED,
    MISSED: EventType.ENDED,
    BLOCKED: EventType.ENDED,
    # The caller was sent to voicemail and may still hang up without a word.
    "voicemail": EventType.UPDATED,
    "voicemail_uploaded": EventType.VOICEMAIL,
    "transcription": EventType.UPDATED,
    "recording": EventType.RECORDING,
    "admin_recording": EventType.RECORDING,
    "dispositions": EventType.UPDATED,
    "postcall": EventType.UPDATED,
    SUMMARY: EventType.UPDATED,
}
# Supervisors, surveys, and what Dialpad's AI makes of the talk besides a summary; and two words
# that only a subscription has.
IGNORED: Final = frozenset(
    {
        "admin",
        "ai_playbook",
        "all",
        "barge",
        "call_transcription",
        "csat",
        "eavesdrop",
        "monitor",
        "pcsat",
        "recap_action_items",
        "recap_outcome",
        "recap_purposes",
        "takeover",
    }
)
WRAP_UP: Final = frozenset({"dispositions", "postcall"})
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
# `target.type`: whether a person is behind it, or a group that may let a caller wait for one.
TARGETS: Final[Mapping[str, bool]] = {
    "user": True,
    "room": True,
    "callcenter": False,
    "callrouter": False,
    "channel": False,
    "coachinggroup": False,
    "coachingteam": False,
    "department": False,
    "office": False,
    "staffgroup": False,
}
# When these happened; all else counts from `event_timestamp`.
TIMES: Final[Mapping[EventType, str]] = {
    EventType.CREATED: "date_started",
    EventType.ANSWERED: "date_connected",
}
IDS: Final = ("entry_point_call_id", "master_call_id", "call_id")
NO_ID: Final = "0"
# What stands in place of a number of ours that is not shown to the other side.
HIDDEN: Final = "blocked"


class Dialpad(Source):
    """The source `dialpad`."""

    slug = "dialpad"
    title = "Dialpad"
    # The body is a JWT whatever its type is said to be, which is not documented.
    content_types = frozenset()
    settings = (
        SourceSetting(
            name="dialpad_webhook_secret",
            description="Secret of the Dialpad webhook; several while rotating.",
        ),
        SourceSetting(
            name="dialpad_api_key",
            description="Dialpad API key, for the upkeep of webhook and subscription.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="dialpad_api_url",
            description="Dialpad's API, version included.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_url,
            default="https://dialpad.com/api/v2",
        ),
    )
    # https://developers.dialpad.com/docs/webhook-delivery-failures
    retry_policy = RetryPolicy(response_timeout_s=5, retry_delays_s=(2, 4, 8))
    proof = "a JWT (HMAC-SHA256) that is the whole body, with the secret of the webhook"
    call_id_carrier = "`custom_data` of the call"

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if the body is a JWT that one of the secrets signed.

        Its age plays no part. Nothing but `event_timestamp` in it is a time, and whether that is
        the time of the message or of the call is not documented for what comes minutes after it; a
        message that is refused is lost, since no retry comes after 15 seconds. A repetition is
        known by its key, and tells nothing new afterwards. Raises `WrongMethod`, else
        `InvalidSignature`.
        """
        self.check_request(request)
        jwt.read_token(request.body.strip(), secrets)

    def redact(self, request: WebhookRequest) -> WebhookRequest:
        """The message as the JSON in its JWT, without the signature."""
        return replace(request, body=_message(request.body))

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by all that is in it, which a retry repeats.

        Leg, state and time are not enough: which time `event_timestamp` is, for what comes after
        the call, is not documented, and a second disposition or recording would be lost if it is
        the call's. Another subscription's copy that says the same makes no difference.
        """
        fields = _fields(request)
        whole = _ids(fields)[1]
        _state(fields)
        return MessageKeys(digest(_message(request.body)), whole)

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into events; a strange word beside what is known becomes one of type
        `UNKNOWN`.
        """
        fields = _fields(request)
        common, state = _common(fields, message_id), _state(fields)
        target = text(child(fields, "target"), "type")
        strange = [
            None if state in STATES else state,
            None if common.direction is not None else text(fields, "direction"),
            None if target is None or target in TARGETS else target,
            echoed_id(text(fields, "custom_data"))[1],
        ]
        unknown = [unknown_event(common, each) for each in strange if each is not None]
        if state not in STATES or (
            common.direction is None and text(fields, "direction") is not None
        ):
            return unknown
        return [*_told(common, state, fields), *unknown]

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """
        The same message as a JWT, signed with the first secret. Raises ValueError without one.
        """
        if not secrets.values:
            raise self.no_secret()
        return replace(request, body=jwt.write_token(request.body, secrets.values[0]))


def _message(body: bytes) -> bytes:
    """
    The message in a token; what is no token is taken to be the message itself, as offline and as it
    is kept.
    """
    found = jwt.unproved_payload(body.strip())
    return body if found is None else found


def _fields(request: WebhookRequest) -> Fields:
    """The message, from the JWT as it came or from the JSON that is kept of it."""
    return read_json_object(_message(request.body))


def _state(fields: Fields) -> str:
    state = text(fields, "state")
    if state is None:
        raise MalformedPayload("state is missing or no text")
    return state


def _ids(fields: Fields) -> tuple[str, str]:
    """
    The ids of the leg and of the call that it belongs to.

    A leg that has come from another one names the one at which the call came in
    (`entry_point_call_id`), which itself names none, or at least the one that it goes back to
    (`master_call_id`). Raises `IgnoredEvent` for what is not wanted, `MalformedPayload` without an
    id.
    """
    state = text(fields, "state")
    if state is None and "call_id" not in fields:
        raise IgnoredEvent("an event of another kind of subscription, not of a call")
    if state in IGNORED or (state == SUMMARY and text(fields, SUMMARY) is None):
        raise IgnoredEvent("nothing that is told of a call here")
    found = [each if each != NO_ID else None for each in (text(fields, name) for name in IDS)]
    own = call_id(found[-1], name="call_id")
    return own, call_id(
        next(each for each in found if each is not None),
        name="entry_point_call_id or master_call_id",
    )


def _common(fields: Fields, message_id: str) -> CallEvent:
    (own, whole), target = _ids(fields), child(fields, "target")
    direction = DIRECTIONS.get(text(fields, "direction") or "")
    own_numbers = (
        to_e164(text(fields, name)) for name in ("internal_number", "selected_caller_id")
    )
    customer, ours = (
        to_e164(text(fields, "external_number")),
        next((each for each in own_numbers if each not in {None, HIDDEN}), None),
    )
    ends = {
        Direction.INBOUND: (customer, ours),
        Direction.OUTBOUND: (ours, customer),
        None: (None, None),
    }
    return CallEvent(
        source="dialpad",
        message_id=message_id,
        source_call_id=whole,
        leg_id=own,
        event_type=EventType.UPDATED,
        parent_leg_id=None if own == whole else whole,
        occurred_at=epoch_moment(fields, "event_timestamp", per_second=MS),
        direction=direction,
        # The leg at which the call came in, or went out, is the customer's; those that it was
        # passed on to are agents'.
        party=Party.CUSTOMER if own == whole else Party.AGENT,
        from_number=ends[direction][0],
        to_number=ends[direction][1],
        agent=text(target, "email", "name") if TARGETS.get(text(target, "type") or "") else None,
        buildr_call_id=echoed_id(text(fields, "custom_data"))[0],
    )


def _told(common: CallEvent, state: str, fields: Fields) -> list[CallEvent]:
    """The events of a message of a known state."""
    event = replace(
        common,
        event_type=STATES[state],
        vendor_status=state,
        tags=texts(fields, "labels"),
        recording=_recording(fields),
    )
    if event.event_type is EventType.ENDED:
        return [*_ended(event, state, fields), *_voicemail(common, state, fields)]
    if state == CONNECTED and not _is_talk(event.direction, fields):
        event = replace(event, event_type=EventType.RINGING)
    if state in WRAP_UP:
        disposition, note = _wrap_up(fields)
        event = replace(event, disposition=disposition, note=note)
    if state == SUMMARY:
        # Without a time it never takes the place of what an agent wrote.
        event = replace(event, note=text(fields, SUMMARY), occurred_at=None)
    name = TIMES.get(event.event_type)
    if name is not None:
        event = replace(
            event, occurred_at=epoch_moment(fields, name, per_second=MS) or event.occurred_at
        )
    voicemail = _voicemail(common, state, fields)
    return voicemail if event.event_type is EventType.VOICEMAIL else [event, *voicemail]


def _ended(event: CallEvent, state: str, fields: Fields) -> list[CallEvent]:
    """
    The end of a leg, and what is known of its start and answer, in case that nothing before it
    came.
    """
    cause = _cause(event.direction, state, fields)
    times = {
        kind: name
        for kind, name in TIMES.items()
        if kind is not EventType.ANSWERED or cause is HangupCause.COMPLETED
    }
    bare = replace(event, recording=None, tags=())
    told = [
        replace(bare, event_type=kind, vendor_status=name, occurred_at=moment)
        for kind, name in times.items()
        if (moment := epoch_moment(fields, name, per_second=MS)) is not None
    ]
    talk_s = (
        whole_seconds(fields, "duration", per_second=MS)
        if cause is HangupCause.COMPLETED
        else None
        if cause is None
        else 0
    )
    end = replace(
        event,
        hangup_cause=cause,
        duration_s=talk_s,
        occurred_at=epoch_moment(fields, "date_ended", per_second=MS) or event.occurred_at,
        # A caller who is blocked got no further than Dialpad: that is the outcome of the call. An
        # agent's leg says nothing of the others.
        result=Result.REJECTED
        if cause is HangupCause.REJECTED and event.party is Party.CUSTOMER
        else None,
    )
    return [*told, end]


def _cause(direction: Direction | None, state: str, fields: Fields) -> HangupCause | None:
    """Why a leg ended; None where that cannot be known."""
    kind = text(child(fields, "target"), "type")
    is_picked_up, is_queued = (
        epoch_moment(fields, name, per_second=MS) is not None
        for name in ("date_connected", "date_queued")
    )
    if state == BLOCKED and not (is_picked_up and _is_talk(direction, fields)):
        return HangupCause.REJECTED
    # Whoever is blocked while they talk has been talked to.
    if state in {HANGUP, BLOCKED} and is_picked_up:
        if _is_talk(direction, fields):
            return HangupCause.COMPLETED
        if kind not in TARGETS:
            return None
    if direction is None:
        return None
    is_waiting = (
        (is_queued or is_picked_up)
        and not _has_operator(fields)
        and TARGETS.get(kind or "") is not True
    )
    # Busy, declined and failed calls are not told apart.
    return (
        HangupCause.CANCELLED
        if direction is Direction.INBOUND and is_waiting
        else HangupCause.NO_ANSWER
    )


def _is_talk(direction: Direction | None, fields: Fields) -> bool:
    """
    Whether a leg that was picked up was picked up by a person: a call centre may only have put the
    caller into its queue.
    """
    kind = text(child(fields, "target"), "type")
    return (
        direction is Direction.OUTBOUND
        or _has_operator(fields)
        or kind is None
        or TARGETS.get(kind, False)
    )


def _has_operator(fields: Fields) -> bool:
    return text(fields, "operator_call_id") not in {None, NO_ID}


def _recording(fields: Fields) -> Recording | None:
    for each in children(fields, "recording_details"):
        found, url = text(each, "id"), text(each, "url")
        if found is not None or url is not None:
            return Recording(found, url, whole_seconds(each, "duration", per_second=MS))
    urls = (*texts(fields, "recording_url"), *texts(fields, "admin_recording_urls"))
    return Recording(None, urls[0], None) if urls else None


def _voicemail(common: CallEvent, state: str, fields: Fields) -> list[CallEvent]:
    """That a message of the caller exists, where any message about the call says so."""
    link, named = text(fields, "voicemail_link"), text(fields, "voicemail_recording_id")
    is_left = link is not None or named not in {None, NO_ID} or STATES[state] is EventType.VOICEMAIL
    if not is_left or common.direction is Direction.OUTBOUND:
        return []
    voicemail = Voicemail(link, None, text(fields, "transcription_text"))
    return [
        replace(
            common,
            event_type=EventType.VOICEMAIL,
            vendor_status=state,
            tags=texts(fields, "labels"),
            voicemail=voicemail,
        )
    ]


def _wrap_up(fields: Fields) -> tuple[str | None, str | None]:
    """
    What the agent chose and wrote after the call.

    Dialpad does not document under which names: whatever is called a note is one, and whatever is
    called a disposition otherwise.
    """
    found: dict[str, str] = {}
    for name, value in walk(dict(fields)):
        kind = next((each for each in ("note", "disposition") if each in name.lower()), None)
        # Not the id of one.
        word = None if name.lower().endswith("id") else _word(value)
        if kind is not None and word is not None:
            found[kind] = word
    return found.get("disposition"), found.get("note")


def _word(value: JsonValue) -> str | None:
    """A text, the last one of a list, or the name of an object."""
    found = value if isinstance(value, list) else [value]
    words = [
        text(each, "name", "label", "value") if isinstance(each, dict) else each for each in found
    ]
    return next(
        (word.strip() for word in reversed(words) if isinstance(word, str) and word.strip()), None
    )
