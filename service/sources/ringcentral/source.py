"""
RingCentral: webhooks of telephony sessions, each of which holds the parties that changed.

Delivery: https://developers.ringcentral.com/guide/notifications/webhooks/receiving. Nothing is
signed: a token of our own in a header proves a message, beside the one in the address. Words are in
`service.sources.ringcentral_words`, who is who in `service.sources.ringcentral_parties`.
"""

import hmac
import json
import re
from dataclasses import replace
from datetime import datetime
from typing import Final

from service.errors import (
    IgnoredEvent,
    InvalidSignature,
    MalformedPayload,
)
from service.events import (
    AnsweredBy,
    CallEvent,
    EventType,
    HangupCause,
    Party,
    Recording,
)
from service.sources.base import RetryPolicy, Source, unknown_event
from service.sources.common.fields import (
    Fields,
    child,
    children,
    flag,
    iso_moment,
    text,
)
from service.sources.common.ids import call_id
from service.sources.common.json_body import read_json_object
from service.sources.common.phone_numbers import to_e164
from service.sources.common.setting_checks import check_url
from service.sources.common.signatures import digest, one_header
from service.sources.request import (
    JSON,
    MessageKeys,
    Reply,
    WebhookRequest,
)
from service.sources.ringcentral.parties import (
    Member,
    Role,
    is_internal,
    read_member,
)
from service.sources.ringcentral.vocabulary import (
    ANSWERERS,
    CODES,
    GONE,
    IGNORED_EVENTS,
    IGNORED_ORIGINS,
    ORIGINS,
    REASONS,
    REMINDER,
    SESSIONS,
    find,
)
from service.sources.settings import Secrets, SettingKind, SourceSetting

VERIFICATION: Final = "verification-token"
VALIDATION: Final = "validation-token"
# With its headers, the answer to a handshake must stay below 1,024 bytes.
VISIBLE: Final = re.compile(r"[!-~]{1,256}", re.ASCII)
PARTIES: Final[dict[Role, Party | None]] = {
    Role.TALK: Party.CUSTOMER,
    Role.LINE: None,
    Role.AGENT: Party.AGENT,
}


def check_token(token: str) -> str | None:
    """
    What is wrong with a verification token, or None: it must come back as a header just as it is.
    """
    return (
        None
        if VISIBLE.fullmatch(token)
        else "must be 1 to 256 visible ASCII characters without blanks"
    )


class RingCentral(Source):
    """The source `ringcentral`."""

    slug = "ringcentral"
    title = "RingCentral"
    # The handshake has no body, and may name no type.
    content_types = frozenset({JSON, ""})
    settings = (
        SourceSetting(
            name="ringcentral_verification_token",
            description="RingCentral verification token of the subscription: a secret of your own making; several while rotating.",
            check=check_token,
        ),
        SourceSetting(
            name="ringcentral_client_id",
            description="Client id of your RingCentral app, for the upkeep of the subscription.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="ringcentral_client_secret",
            description="Client secret of your RingCentral app, for the upkeep of the subscription.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="ringcentral_jwt",
            description="JWT credential made in RingCentral's developer console, for the upkeep of the subscription.",
            kind=SettingKind.API_CREDENTIAL,
        ),
        SourceSetting(
            name="ringcentral_api_url",
            description="RingCentral's API.",
            kind=SettingKind.API_CREDENTIAL,
            check=check_url,
            default="https://platform.ringcentral.com",
        ),
    )
    # Whether a message comes again is not documented; count on it that none does.
    retry_policy = RetryPolicy(response_timeout_s=3)
    proof = "a token of yours in a header; nothing is signed"
    requires_path_token = True

    def handshake(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> Reply | None:
        """
        Give back the `Validation-Token` of a request without a body, with which RingCentral tries
        an address; None for any other request.

        RingCentral is not documented to send our own token with it always. Without one it is
        answered too: the address holds a token that is checked already, and the answer tells the
        sender nothing but its own words. A wrong one raises `InvalidSignature`.
        """
        if request.method != "POST" or request.body or VALIDATION not in request.headers:
            return None
        given = one_header(request, VALIDATION)
        if not VISIBLE.fullmatch(given):
            raise InvalidSignature(f"{VALIDATION} is no token")
        if VERIFICATION in request.headers:
            _check(request, secrets)
        return _echo(given)

    def verify(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> None:
        """
        Return if the header holds one of the tokens.

        Raises `InvalidSignature`.
        """
        if request.content_type != JSON:
            raise InvalidSignature(f"RingCentral sends {JSON}")
        _check(request, secrets)

    def keys(self, request: WebhookRequest) -> MessageKeys:
        """
        Name the message by the change that it tells.

        Where subscriptions overlap, a change comes under several ids, of messages and of
        subscriptions.
        """
        fields = request.body_as(read_json_object)
        body = child(fields, "body")
        _members(fields)
        change = [
            body.get(name) for name in ("telephonySessionId", "sequence", "eventTime", "parties")
        ]
        return MessageKeys(digest(json.dumps(change, sort_keys=True)), _session(body))

    def parse(self, request: WebhookRequest, message_id: str) -> list[CallEvent]:
        """
        Turn a message into one event for each party; a word that is not known becomes one of type
        `UNKNOWN`.
        """
        fields = request.body_as(read_json_object)
        members, body = _members(fields), child(fields, "body")
        session, sequence = _session(body), body.get("sequence")
        common = CallEvent(
            source="ringcentral",
            message_id=message_id,
            source_call_id=session,
            leg_id=session,
            event_type=EventType.UPDATED,
            occurred_at=iso_moment(text(body, "eventTime") or text(fields, "timestamp")),
            sequence=sequence
            if isinstance(sequence, int) and not isinstance(sequence, bool)
            else None,
        )
        path, origin = _path(fields), text(child(body, "origin"), "type")
        if path is not None and not path.endswith(SESSIONS):
            return [unknown_event(common, _without_ids(path))]
        if not children(body, "parties"):
            raise MalformedPayload("parties is empty or missing: nobody of the session changed")
        events = [event for party, member in members for event in _events(common, party, member)]
        if origin is None or origin in ORIGINS:
            return events
        return [*events, unknown_event(replace(common, leg_id=events[0].leg_id), origin)]

    def reply(self, request: WebhookRequest) -> Reply:
        """
        Say 200, and give back a `Validation-Token`, which older subscriptions send with every
        message.
        """
        given = request.header(VALIDATION)
        return Reply(200) if given is None or not VISIBLE.fullmatch(given) else _echo(given)

    def sign(self, request: WebhookRequest, secrets: Secrets, now: datetime) -> WebhookRequest:
        """The same request with the first token. Raises ValueError without one."""
        if not secrets.values:
            raise self.no_secret()
        return replace(request, headers={**request.headers, VERIFICATION: (secrets.values[0],)})


def _check(request: WebhookRequest, secrets: Secrets) -> None:
    """Raises `InvalidSignature` unless the request holds one of the tokens, once."""
    given = one_header(request, VERIFICATION).encode("utf-8", "surrogatepass")
    matches = [
        hmac.compare_digest(each.encode("utf-8", "surrogatepass"), given) for each in secrets.values
    ]
    if not any(matches):
        raise InvalidSignature(f"{VERIFICATION} is none of the tokens that are set here")


def _echo(token: str) -> Reply:
    # https://developers.ringcentral.com/guide/notifications/webhooks/creating-webhooks: the type is
    # wanted even without a body.
    return Reply(200, b"", JSON, {"Validation-Token": token})


def _session(body: Fields) -> str:
    return call_id(text(body, "telephonySessionId"), name="telephonySessionId")


def _path(fields: Fields) -> str | None:
    """What the message is about, as the filter that it passed; None if it does not say."""
    event = text(fields, "event")
    return None if event is None else event.partition("?")[0]


def _without_ids(path: str) -> str:
    return "/".join(part for part in path.split("/") if not part.isdigit())


def _members(fields: Fields) -> list[tuple[Fields, Member | None]]:
    """
    The parties of a call with a customer, each with who it is, as far as that can be told.

    Raises `IgnoredEvent` for a message about something else, and for a call between our own
    extensions.
    """
    path = _path(fields)
    if path is not None and not path.endswith(SESSIONS):
        told = next(
            (
                description
                for ending, description in IGNORED_EVENTS.items()
                if path.endswith(ending)
            ),
            None,
        )
        if path.startswith(REMINDER) or told is not None:
            raise IgnoredEvent(told or "a reminder that the subscription will end")
    body = child(fields, "body")
    origin = text(child(body, "origin"), "type")
    if origin in IGNORED_ORIGINS:
        raise IgnoredEvent("a conference or a call of RingCentral's own")
    parties = children(body, "parties")
    members = [
        (party, read_member(party, origin)) for party in parties if not is_internal(party, origin)
    ]
    if parties and not members:
        raise IgnoredEvent("a call between our own extensions")
    return members


def _events(common: CallEvent, party: Fields, member: Member | None) -> list[CallEvent]:
    """What one party tells: its event, and what of it is not understood."""
    event = _told(common, party, member)
    if member is None:
        return [unknown_event(event, text(party, "direction") or "")]
    status = child(party, "status")
    code, reason = text(status, "code") or "", text(status, "reason")
    known, why = find(code, CODES), None if reason is None else find(reason, REASONS)
    if known is None:
        return [unknown_event(event, code)]
    name, kind = known
    event = replace(
        event,
        event_type=kind,
        answered_by=_answerer(name, member),
        vendor_status=name if why is None else why[0],
    )
    strange = [unknown_event(event, reason)] if reason is not None and why is None else []
    if kind is not EventType.ENDED:
        return [event, *strange]
    # Who left for a reason that nobody knows may or may not have ended the call.
    is_unclear = bool(strange) and name != GONE
    has_left = name == GONE or (why is not None and why[1] is None)
    cause = None if has_left else HangupCause.HUNG_UP if why is None else why[1]
    return strange if is_unclear else [_ended(event, member, cause), *strange]


def _told(common: CallEvent, party: Fields, member: Member | None) -> CallEvent:
    """What a party says of itself, whatever it does."""
    session = common.source_call_id
    own = text(party, "id") or f"{session}:{text(party, 'extensionId') or 'outside'}"
    event = replace(
        common,
        leg_id=call_id(own, name="parties.id")
        if member is None or member.role is Role.AGENT
        else session,
        from_number=to_e164(text(child(party, "from"), "phoneNumber")),
        to_number=to_e164(text(child(party, "to"), "phoneNumber")),
        recording=_recording(party),
    )
    return (
        event
        if member is None
        else replace(
            event, direction=member.direction, party=PARTIES[member.role], agent=member.agent
        )
    )


def _answerer(code: str, member: Member) -> AnsweredBy | None:
    # Who picked up a telephone outside RingCentral cannot tell.
    found = ANSWERERS.get(code)
    is_ours = member.role is Role.AGENT and member.agent is not None
    return None if found is AnsweredBy.HUMAN and not is_ours else found


def _ended(event: CallEvent, member: Member, cause: HangupCause | None) -> CallEvent:
    """
    The end of a party's part; without a cause it left, and the call goes on.

    One that left takes its own leg with it, and ends neither the customer's line nor the talk. A
    line that ends had been picked up by the exchange, and a party that has missed the call says so
    beside its end.
    """
    if cause is None:
        return event if member.role is Role.AGENT else replace(event, event_type=EventType.UPDATED)
    is_vague = cause is HangupCause.HUNG_UP or (
        cause is HangupCause.CANCELLED and member.role is not Role.TALK
    )
    if is_vague and member.role is Role.LINE:
        cause = HangupCause.COMPLETED
    elif is_vague:
        cause = HangupCause.NO_ANSWER if flag(member.fields, "missedCall") else HangupCause.HUNG_UP
    return replace(event, hangup_cause=cause)


def _recording(party: Fields) -> Recording | None:
    # An address that plays it needs an access token of RingCentral's.
    found = [
        name for each in children(party, "recordings") if (name := text(each, "id")) is not None
    ]
    return Recording(found[-1]) if found else None
