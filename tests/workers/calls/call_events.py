"""
Events of made-up calls for the tests of the fold: inbound and outbound, by one leg or several.
"""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from service.events import (
    AnsweredBy,
    CallEvent,
    Direction,
    EventType,
    HangupCause,
    Recording,
    Result,
    Voicemail,
)
from workers.calls.fold import fold

T0 = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
PARENT = "CA1"
CHILD = "CA2"
OTHER = "CA3"
OURS = "+15005550006"
CUSTOMER = "+15005550001"
REP = "+15005550002"
CREATED = EventType.CREATED
RINGING = EventType.RINGING
ANSWERED = EventType.ANSWERED
ENDED = EventType.ENDED
OUT = Direction.OUTBOUND
IN = Direction.INBOUND


def event(kind: EventType, at_s: float | None = None, **more: object) -> CallEvent:
    """An event of the parent leg; `at_s` seconds after the start."""
    occurred_at = None
    if at_s is not None:
        occurred_at = T0 + timedelta(seconds=at_s)
    first = CallEvent(
        source="twilio",
        message_id="m1",
        source_call_id=PARENT,
        leg_id=PARENT,
        event_type=kind,
        occurred_at=occurred_at,
    )
    return replace(first, **more)


class Line:
    """Makes the events of one leg, numbered as Twilio numbers them."""

    def __init__(self, leg_id: str = PARENT, /, **common: object) -> None:
        self.common = {
            "leg_id": leg_id,
            "parent_leg_id": None if leg_id == PARENT else PARENT,
            **common,
        }
        self.sequence = 0

    def __call__(self, kind: EventType, at_s: float, **more: object) -> CallEvent:
        """The next event of the leg."""
        made = event(kind, at_s, sequence=self.sequence, **{**self.common, **more})
        self.sequence += 1
        return made

    def end(self, at_s: float, cause: HangupCause, duration_s: int = 0) -> CallEvent:
        """The leg's end."""
        return self(ENDED, at_s, hangup_cause=cause, duration_s=duration_s)


def outbound(**more: object) -> Line:
    """A call that the API made to the customer."""
    return Line(direction=OUT, from_number=OURS, to_number=CUSTOMER, **more)


def inbound(**more: object) -> Line:
    """A call from the customer."""
    return Line(direction=IN, from_number=CUSTOMER, to_number=OURS, **more)


def dialled(to_number: str | None, leg_id: str = CHILD, **more: object) -> Line:
    """A leg that was dialled from the parent."""
    return Line(leg_id, direction=OUT, from_number=OURS, to_number=to_number, **more)


def unanswered(cause: HangupCause) -> list[CallEvent]:
    """An outbound call that nobody took."""
    line = outbound()
    return [line(CREATED, 0), line(RINGING, 2), line.end(30, cause)]


def outbound_answered() -> list[CallEvent]:
    """The four callbacks of an outbound call, and its recording."""
    line = outbound()
    recording = event(
        EventType.RECORDING, recording=Recording("RE1", "https://rec.example.test/1", 49)
    )
    return [
        line(CREATED, 0),
        line(RINGING, 2),
        line(ANSWERED, 11),
        line.end(60, HangupCause.COMPLETED, 49),
        recording,
    ]


def outbound_machine() -> list[CallEvent]:
    """The same with a machine that was detected while the call ran."""
    detected = event(EventType.ANSWERED_BY, answered_by=AnsweredBy.MACHINE)
    return [*outbound_answered()[:4], detected]


def inbound_answered() -> list[CallEvent]:
    """A caller whom the exchange picks up at once and an agent's softphone then takes."""
    line = inbound()
    agent = dialled("client:alice", agent="alice")
    return [
        line(ANSWERED, 0),
        agent(CREATED, 1),
        agent(RINGING, 2),
        agent(ANSWERED, 8),
        agent.end(50, HangupCause.COMPLETED, 42),
        line.end(51, HangupCause.COMPLETED, 51),
    ]


def inbound_untaken(cause: HangupCause) -> list[CallEvent]:
    """A caller for whom an agent's telephone rang in vain."""
    line = inbound()
    agent = dialled("client:alice")
    return [
        line(ANSWERED, 0),
        agent(RINGING, 2),
        agent.end(20, cause),
        line.end(21, HangupCause.COMPLETED, 21),
    ]


def inbound_voicemail() -> list[CallEvent]:
    """A caller who then leaves a message."""
    left = event(EventType.VOICEMAIL, 40, voicemail=Voicemail("https://rec.example.test/2", 15))
    return [*inbound_untaken(HangupCause.NO_ANSWER), left]


def click_to_call(
    cause: HangupCause = HangupCause.COMPLETED, duration_s: int = 42
) -> list[CallEvent]:
    """The rep's telephone is rung first, the customer is dialled from it."""
    rep = Line(direction=OUT, from_number=OURS, to_number=REP)
    customer = dialled(CUSTOMER)
    return [
        rep(RINGING, 0),
        rep(ANSWERED, 5),
        customer(CREATED, 6),
        customer(RINGING, 7),
        customer.end(60, cause, duration_s),
        rep.end(61, HangupCause.COMPLETED, 56),
    ]


def browser_call(
    cause: HangupCause = HangupCause.COMPLETED, duration_s: int = 42, caller: str = "client:alice"
) -> list[CallEvent]:
    """A softphone calls out; to the exchange its own leg is an inbound one."""
    rep = Line(direction=IN, from_number=caller, to_number=CUSTOMER, agent="alice")
    customer = dialled(CUSTOMER)
    return [
        rep(RINGING, 0),
        rep(ANSWERED, 1),
        customer(RINGING, 3),
        customer(ANSWERED, 9),
        customer.end(51, cause, duration_s),
        rep.end(52, HangupCause.COMPLETED, 51),
    ]


def results(*events: CallEvent) -> tuple[Result | None, int | None]:
    """The result and the talk time of some events."""
    call = fold(events)
    return call.result, call.duration_s
