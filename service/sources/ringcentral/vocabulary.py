"""
RingCentral's codes and reasons of a party of a session, and ours for them.

Values: https://developers.ringcentral.com/guide/voice/telephony-session-notifications (its prose
spells some codes in another way, so that case plays no part),
https://developers.ringcentral.com/guide/notifications/event-filters/account-telephony-sessions.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from service.events import (
    AnsweredBy,
    Direction,
    EventType,
    HangupCause,
)

T = TypeVar("T")

GONE: Final = "Gone"
# `status.code` of a party.
CODES: Final[Mapping[str, EventType]] = {
    "Setup": EventType.CREATED,
    "Proceeding": EventType.RINGING,
    "Answered": EventType.ANSWERED,
    # Nobody can be put on hold, or parked, before the call was taken.
    "Hold": EventType.ANSWERED,
    "Parked": EventType.ANSWERED,
    "VoiceMail": EventType.ANSWERED_BY,
    "VoiceMailScreening": EventType.ANSWERED_BY,
    "VMScreening": EventType.ANSWERED_BY,
    "FaxReceive": EventType.ANSWERED_BY,
    "Tds": EventType.UPDATED,
    "Disconnected": EventType.ENDED,
    GONE: EventType.ENDED,
}
# Who has the call once a party is in that state. RingCentral has codes of their own for its
# mailboxes, so that `Answered` is somebody's telephone.
ANSWERERS: Final[Mapping[str, AnsweredBy]] = {
    "Answered": AnsweredBy.HUMAN,
    "Hold": AnsweredBy.HUMAN,
    "Parked": AnsweredBy.HUMAN,
    "VoiceMail": AnsweredBy.MACHINE,
    "VoiceMailScreening": AnsweredBy.MACHINE,
    "VMScreening": AnsweredBy.MACHINE,
    "FaxReceive": AnsweredBy.FAX,
}
# `status.reason`: this party left, and the call goes on without it, or in another session.
# `Conference` and `Undefined` are of the forum:
# https://community.ringcentral.com/questions/118078/handling-call-transfers-and-sessions-with-sessioni.html
LEAVES: Final = frozenset(
    {
        "Pickup",
        "Supervising",
        "TakeOver",
        "BlindTransfer",
        "RccTransfer",
        "AttendedTransfer",
        "DtmfTransfer",
        "CallerInputRedirect",
        "CallRedirected",
        "CallFlip",
        "CallSwitch",
        "ParkLocation",
        "CallPark",
        "AgentAnswered",
        "Conference",
        "Undefined",
    }
)
# Those of `LEAVES` by which somebody of ours passed the call on. Only a call that was answered can
# be: https://developers.ringcentral.com/api-reference/Call-Control/transferCallParty.
TRANSFERS: Final = frozenset({"BlindTransfer", "RccTransfer", "AttendedTransfer", "DtmfTransfer"})
# Those of `LEAVES` by which a telephone stopped ringing because another one took the call.
ANSWERED_ELSEWHERE: Final = frozenset({"Pickup", "AgentAnswered"})
# `status.reason`: why this party's part is over. Most often there is none.
CAUSES: Final[Mapping[str, HangupCause]] = {
    "CallFinished": HangupCause.HUNG_UP,
    "CallDropped": HangupCause.HUNG_UP,
    "AgentDropped": HangupCause.HUNG_UP,
    "Cancelled": HangupCause.CANCELLED,
    "NoAnswer": HangupCause.NO_ANSWER,
    "Timeout": HangupCause.NO_ANSWER,
    "Voicemail": HangupCause.NO_ANSWER,
    "TargetBusy": HangupCause.BUSY,
    "Rejected": HangupCause.REJECTED,
    # The person called sent a text instead of taking the call.
    "CallReplied": HangupCause.REJECTED,
    "InvalidNumber": HangupCause.INVALID_NUMBER,
    "NoSuchUser": HangupCause.INVALID_NUMBER,
    "InternationalDisabled": HangupCause.FAILED,
    "DestinationBlocked": HangupCause.FAILED,
    "NotEnoughFunds": HangupCause.FAILED,
    "InternalError": HangupCause.FAILED,
}
REASONS: Final[Mapping[str, HangupCause | None]] = {**dict.fromkeys(LEAVES), **CAUSES}
# `direction` of a party: `Outbound` calls, `Inbound` is called, whoever it belongs to.
DIRECTIONS: Final[Mapping[str, Direction]] = {
    "Outbound": Direction.OUTBOUND,
    "Inbound": Direction.INBOUND,
}
# `origin.type` of a session: calls that ring the rep first, then the customer.
CLICK_TO_CALL: Final = frozenset({"RingOut", "RingMe", "CallOut"})
ORIGINS: Final = frozenset({"Call", "Zoom"}) | CLICK_TO_CALL
# Sessions that are no call with a customer, or a bridge whose customers have sessions of their own.
IGNORED_ORIGINS: Final = frozenset(
    {"Conference", "GreetingsRecording", "VerificationCall", "TestCall"}
)
# How the `event` of a message ends: one about the parties of a session, and others that may be sent
# to the same address.
# https://developers.ringcentral.com/guide/notifications/event-filters
SESSIONS: Final = "/telephony/sessions"
REMINDER: Final = "/restapi/v1.0/subscription/"
IGNORED_EVENTS: Final[Mapping[str, str]] = {
    "/voicemail": "a voicemail, which does not name its call",
    "/presence": "presence",
    "/presence/line": "presence",
    "/message-store": "messages",
    "/message-store/instant": "text messages",
    "/fax": "a fax",
    "/extension": "a change of extensions",
}


def find(value: str | None, table: Mapping[str, T]) -> tuple[str, T] | None:
    """
    The entry of a table for a value, spelled as RingCentral's reference spells it; None for None
    and for a value that is not in the table. Case is ignored.
    """
    if value is None:
        return None
    if value in table:
        return value, table[value]
    lower = value.lower()
    return next(((name, entry) for name, entry in table.items() if name.lower() == lower), None)
