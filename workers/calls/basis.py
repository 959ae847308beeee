"""
What decided the result of a call, or why it has none: a code, a sentence for operators, and the
leg and the event that it rests on.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct, field

from service.events import Result
from workers.calls.legs import Leg


class Reason(StrEnum):
    """Why a call has the result that it has, or none yet."""

    # Reasons for a result.
    RESULT_STATED = "result_stated"
    CUSTOMER_LEG_ENDED = "customer_leg_ended"
    MACHINE_ANSWERED = "machine_answered"
    NEVER_JOINED = "never_joined"
    BROKEN_OFF = "broken_off"
    REP_HUNG_UP = "rep_hung_up"
    CUSTOMER_NEVER_DIALLED = "customer_never_dialled"
    AGENT_ANSWERED = "agent_answered"
    HUMAN_ANSWERED = "human_answered"
    JOINED_ELSEWHERE = "joined_elsewhere"
    CONFERENCE_SHARED = "conference_shared"
    VOICEMAIL_LEFT = "voicemail_left"
    AGENT_UNREACHED = "agent_unreached"
    CALLER_GAVE_UP = "caller_gave_up"
    END_NEVER_CAME = "end_never_came"
    # Reasons for none.
    NOT_OVER = "not_over"
    DIRECTION_UNKNOWN = "direction_unknown"
    CUSTOMER_LEG_MISSING = "customer_leg_missing"
    CALLERS_LEG_MISSING = "callers_leg_missing"
    CAUSE_MISSING = "cause_missing"
    ALONE_IN_CONFERENCE = "alone_in_conference"
    AGENT_LEG_UNKNOWN = "agent_leg_unknown"
    CUSTOMER_LEG_UNKNOWN = "customer_leg_unknown"


SENTENCES: Final[Mapping[Reason, str]] = {
    Reason.RESULT_STATED: "the source states the result",
    Reason.CUSTOMER_LEG_ENDED: "the customer's leg ended so",
    Reason.MACHINE_ANSWERED: "a machine answered the customer's telephone",
    Reason.NEVER_JOINED: "the customer's leg was answered and never joined with another",
    Reason.BROKEN_OFF: "the call failed after both sides had answered",
    Reason.REP_HUNG_UP: "the rep's leg ended while the customer's telephone rang",
    Reason.CUSTOMER_NEVER_DIALLED: "the rep's leg ended before the customer was dialled",
    Reason.AGENT_ANSWERED: "an agent answered, and the call is over",
    Reason.HUMAN_ANSWERED: "the source states that a human took the call, and it is over",
    Reason.JOINED_ELSEWHERE: (
        "the caller's leg was joined with one that is not part of this call, and is over"
    ),
    Reason.CONFERENCE_SHARED: "customer and agent were in one conference, and the call is over",
    Reason.VOICEMAIL_LEFT: "no agent answered, and the caller left a message",
    Reason.AGENT_UNREACHED: "an agent's telephone was rung in vain",
    Reason.CALLER_GAVE_UP: "the call ended before an agent's telephone gave up or answered",
    Reason.END_NEVER_CAME: "no final event came within the time for it",
    Reason.NOT_OVER: "no final event yet",
    Reason.DIRECTION_UNKNOWN: (
        "no event of the call's first leg says yet whether the call is inbound or outbound"
    ),
    Reason.CUSTOMER_LEG_MISSING: "no event of the customer's leg shows whether it was answered",
    Reason.CALLERS_LEG_MISSING: (
        "no event of the caller's leg has come: another telephone may have taken the call"
    ),
    Reason.CAUSE_MISSING: "the last event says neither how the leg ended nor that it was answered",
    Reason.ALONE_IN_CONFERENCE: (
        "this leg was in a conference, and no event shows that the other side was there too"
    ),
    Reason.AGENT_LEG_UNKNOWN: "an agent's leg has an event that is not known and no end",
    Reason.CUSTOMER_LEG_UNKNOWN: "the customer's leg has an event that is not known and no end",
}


class Basis(Struct, frozen=True):
    """
    What decided the result of a call, or why it has none.

    `leg_id`, `vendor_status` (the vendor's own name for the event) and `occurred_at` (UTC) are of
    the event that decided, None where that is not one event or the vendor gives no such value.
    """

    reason: Reason
    result: Result | None = None
    leg_id: str | None = None
    vendor_status: str | None = field(default=None, name="word")
    occurred_at: datetime | None = None

    @property
    def sentence(self) -> str:
        """One sentence for an operator: the reason, and the event that it rests on."""
        facts = [self.vendor_status, self.leg_id and f"leg {self.leg_id}"]
        if self.occurred_at is not None:
            facts.append(f"{self.occurred_at:%Y-%m-%d %H:%M:%S} UTC")
        event = ", ".join(fact for fact in facts if fact)
        if not event:
            return SENTENCES[self.reason]
        return f"{SENTENCES[self.reason]} ({event})"


def of_end(reason: Reason, leg: Leg, result: Result | None = None) -> Basis:
    """A basis that rests on the end of a leg."""
    return Basis(reason, result, leg.leg_id, leg.vendor_status, leg.ended_at)
