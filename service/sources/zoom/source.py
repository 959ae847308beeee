"""
Zoom Phone: live messages of a call, the records that are written after it, voicemails and
recordings.

Fields: https://developers.zoom.us/docs/api/phone/events/. Words are in
`service.sources.zoom_words`, what messages say with them in `service.sources.zoom_events`,
signatures in `service.sources.zoom_signature`.
"""

import json
from datetime import datetime
from typing import Final

from service.errors import IgnoredEvent, MalformedPayload
from service.events import CallEvent, EventType
from service.sources.base import RetryPolicy, Source, unknown_event
from service.sources.common.fields import (
    Fields,
    child,
    children,
    epoch_moment,
    text,
)
from service.sources.common.ids import call_id
from service.sources.common.json_body import read_json_object_with_long_ids
from service.sources.common.setting_checks import check_url
from service.sources.common.signatures import digest
from service.sources.request import MessageKeys, Reply, WebhookRequest
from service.sources.settings import Secrets, SettingKind, SourceSetting
from service.sources.zoom import signature as zoom_signature
from service.sources.zoom.events import (
    live_events,
    record_events,
    recording_events,
    voicemail_events,
)
from service.sources.zoom.parties import CallScope
from service.sources.zoom.vocabulary import (
    IGNORED,
    LIVE,
    OTHER_MATTERS,
    RECORDING,
    RECORDS,
    VOICEMAILS,
)

PREFIX: Final = "phone."
RECORDINGS: Final = "recordings"
LISTS: Final = ("call_elements", "call_logs", RECORDINGS)
OTHER_CALL: Final = "a record of another call beside those of the first"


class Zoom(Source):
    """The source `zoom`."""

    slug = "zoom"
    title = "Zoom Phone"
    settings = (
        SourceSetting(
            name="zoom_secret_token",
            description="Secret token of the Zoom app; the old and the new one while it is replaced.",
        ),
        SourceSetting(
            name="zoom_account_id",
            description="Account id of the Zoom app (server-to-server OAuth).",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="zoom_client_id",
            description="Client id of the Zoom app (server-to-server OAuth).",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="zoom_client_secret",
            description="Client secret of the Zoom app (server-to-server OAuth).",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="zoom_api_url",
            description="Zoom's API, version included.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_url,
            default="https://api.zoom.us/v2",
        ),
        SourceSetting(
            name="zoom_token_url",
            description="Where Zoom gives access tokens.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_url,
            default="https://zoom.us/oauth/token",
        ),
    )
    # https://developers.zoom.us/docs/api/webhooks/: after 5 minutes, 20 more and 60 more.
    retry_policy = RetryPolicy(response_timeout_s=3, retry_delays_s=(300, 1200, 3600))
    # Of a queue every telephone that rang has a record of its own, and they do not come at once.
    settle_s = 20
    proof = "HMAC-SHA256 over time and body, with the secret token of the app"

    def handshake(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> Reply | None:
        """
        Answer Zoom's question whether the address is ours, which is signed like any message and
        comes again every 72 hours.
        """
        return zoom_signature.validation(request, secrets, now)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if one of the secret tokens signed the message within the last, or next, 300 seconds.

        Raises `InvalidSignature`.
        """
        zoom_signature.signer(request, secrets, now)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by what it says: Zoom gives its messages no id, and two subscriptions of an
        app may tell the same.
        """
        fields = _fields(request)
        own = _source_call_id(fields)
        return MessageKeys(
            digest(
                json.dumps(
                    [fields.get(name) for name in ("event", "event_ts", "payload")], sort_keys=True
                )
            ),
            own,
        )

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into events; what in it is not understood becomes events of type `UNKNOWN`
        beside them.
        """
        fields = _fields(request)
        word, own, told = (
            _event_word(fields),
            _source_call_id(fields),
            child(fields, "payload", "object"),
        )
        common = CallEvent(
            source=self.slug,
            message_id=message_id,
            source_call_id=own,
            # What cannot be read is put where it holds up the result of a call least.
            leg_id=own + CallScope.INBOUND.value,
            event_type=EventType.UPDATED,
            occurred_at=epoch_moment(fields, "event_ts", per_second=1000),
            vendor_status=word,
        )
        if word in LIVE:
            return live_events(common, LIVE[word], told)
        if word in VOICEMAILS:
            return voicemail_events(common, told)
        if word == RECORDING:
            return [
                event
                for each in _of_call(told, RECORDINGS, own)
                for event in recording_events(common, each)
            ] + _others(common, told)
        if word in RECORDS:
            kind = RECORDS[word]
            return [
                event
                for each in _of_call(told, kind.name, own)
                for event in record_events(common, kind, each)
            ] + _others(common, told)
        return [unknown_event(common, word)]

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request, signed with the first secret token. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        return zoom_signature.sign(request, secrets.values[0], now)


def _fields(request: WebhookRequest) -> Fields:
    # Ids of calls have 19 digits: should one come as a number, it is read as the text that it is.
    return request.body_as(read_json_object_with_long_ids)


def _event_word(fields: Fields) -> str:
    """
    What the message tells. Raises `IgnoredEvent` for what is not wanted, `MalformedPayload` if it
    does not say.
    """
    word = fields.get("event")
    if not isinstance(word, str) or not word:
        raise MalformedPayload("event is missing or no text")
    if not word.startswith(PREFIX):
        raise IgnoredEvent("about something else than Zoom Phone")
    if word.startswith(OTHER_MATTERS):
        raise IgnoredEvent("about something else than a call")
    if word in IGNORED:
        raise IgnoredEvent(
            "a step of a call that does not say how it ends, or what only Zoom's API could tell"
        )
    return word


def _source_call_id(fields: Fields) -> str:
    _event_word(fields)
    told = child(fields, "payload", "object")
    named = [text(each, "call_id") for name in LISTS for each in children(told, name)]
    return call_id(
        next((each for each in (text(told, "call_id"), *named) if each is not None), None),
        name="call_id",
    )


def _of_call(told: Fields, name: str, own: str) -> list[Fields]:
    """The records of one call in a list. Raises `MalformedPayload` if there is none."""
    found = [each for each in children(told, name) if text(each, "call_id") in {None, own}]
    if not found:
        raise MalformedPayload(f"{name} holds no record of the call")
    return found


def _others(common: CallEvent, told: Fields) -> list[CallEvent]:
    """
    What is reported where a message has records of several calls, since it can only count for one.
    """
    named = {text(each, "call_id") for name in LISTS for each in children(told, name)}
    return [unknown_event(common, OTHER_CALL)] if named - {None, common.source_call_id} else []
