"""
What became of everything that was sent: the figures of one scenario, and whether they are what is
required.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from tests.faults.calls import SimulatedCall
from tests.faults.scenario import Scenario
from tests.faults.stage import Stage
from tests.faults.traffic import SentMessage

EXAMPLES: Final = 5
KB_PER_MB: Final = 1024
# What comes in time but needs nearly all of it is no comfort: the strictest vendor here waits 3 s.
OK_STATUSES: Final = (200, 204)


@dataclass(frozen=True, slots=True)
class Holding:
    """What Buildr holds about a call."""

    outcome_id: str | None
    notes: str


@dataclass(slots=True)
class Row:
    """
    The figures of one scenario; counts are of messages unless they say calls.

    `not_taken` were never acknowledged; `exempt` of them were in the hands of something that the
    fault took away. `lost` were acknowledged and do not show in Buildr, `wrong` are calls that
    hold another outcome than theirs, `repeated` are writes of an outcome that the call had been
    given already. Times are in seconds; `recovery_*` from the end of the fault to the first and
    the last delivery of what had been sent by then.
    """

    name: str
    title: str
    sent: int = 0
    calls: int = 0
    acknowledged: int = 0
    not_taken: int = 0
    exempt: int = 0
    lost: int = 0
    wrong: int = 0
    repeated: int = 0
    writes: int = 0
    worst_acknowledgement_s: float = 0
    p99_acknowledgement_s: float = 0
    recovery_first_s: float | None = None
    recovery_all_s: float | None = None
    refused_by_limit: int = 0
    most_in_a_window: int = 0
    exits: int = 0
    most_memory_mb: int = 0
    lasted_s: float = 0
    endings: dict[str, int] = field(default_factory=dict)
    not_taken_by_sender: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    exemption: str = ""
    skipped: str = ""

    def as_json(self) -> dict[str, object]:
        """The row as plain JSON values."""
        return asdict(self)


@dataclass(slots=True)
class Evidence:
    """What the senders and the sandbox saw."""

    calls: Sequence[SimulatedCall]
    messages: Sequence[SentMessage]
    holdings: Mapping[str, Holding]
    requests: Sequence[Mapping[str, object]]
    state: Mapping[str, object]


def positions_by_call(
    messages: Iterable[SentMessage], *, is_acknowledged: bool
) -> dict[int, list[int]]:
    """The positions of the messages of each call that were acknowledged, or were not."""
    positions: dict[int, list[int]] = defaultdict(list)
    for message in messages:
        if message.is_acknowledged is is_acknowledged:
            positions[message.call.number].append(message.position)
    return positions


@dataclass(slots=True)
class Verdicts:
    """Whether each call is as it should be."""

    messages: Sequence[SentMessage]
    _taken: dict[int, list[int]] = field(init=False)
    _unsure: dict[int, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self._taken = positions_by_call(self.messages, is_acknowledged=True)
        self._unsure = positions_by_call(self.messages, is_acknowledged=False)

    def lost(self, call: SimulatedCall, holding: Holding | None) -> int:
        """How many acknowledged messages of a call do not show."""
        taken = self._taken.get(call.number, [])
        outcomes = call.outcomes(taken, self._unsure.get(call.number, []))
        if holding is None or holding.outcome_id is None:
            if None in outcomes:
                return 0
            return len(taken)
        if not call.kind.has_tags:
            return 0
        tags = set(holding.notes.split())
        return sum(f"t{position}" not in tags for position in taken)

    def is_wrong(self, call: SimulatedCall, holding: Holding | None) -> bool:
        """Whether a call holds an outcome that its messages do not make."""
        if holding is None or holding.outcome_id is None:
            return False
        taken = self._taken.get(call.number, [])
        return holding.outcome_id not in call.outcomes(taken, self._unsure.get(call.number, []))

    def is_right(self, call: SimulatedCall, holding: Holding | None) -> bool:
        """Whether nothing of a call is missing or wrong."""
        return not self.lost(call, holding) and not self.is_wrong(call, holding)


def judge(stage: Stage, evidence: Evidence) -> Row:
    """The row of a scenario."""
    scenario = stage.scenario
    row = Row(scenario.name, scenario.title)
    _count_messages(row, evidence.messages, stage)
    _count_calls(row, evidence)
    _count_writes(row, evidence, stage)
    parts = stage.parts.by_name.values()
    row.exits = sum(len(part.exits) for part in parts)
    receivers = [part.most_memory_kb for part in parts if part.name in stage.receivers]
    row.most_memory_mb = max(receivers, default=0) // KB_PER_MB
    row.faults = _faults(row, scenario)
    return row


def _count_messages(row: Row, messages: Sequence[SentMessage], stage: Stage) -> None:
    row.sent = len(messages)
    taken = [message for message in messages if message.is_acknowledged]
    missed = [message for message in messages if not message.is_acknowledged]
    row.acknowledged = len(taken)
    row.not_taken = len(missed)
    exemption = stage.scenario.exemption
    if exemption is not None:
        exempt = [message for message in missed if exemption.covers(message, stage)]
        row.exempt = len(exempt)
        row.exemption = exemption.reason
    row.not_taken_by_sender = dict(Counter(message.call.model.name for message in missed))
    _measure_acknowledgements(row, messages)


def _measure_acknowledgements(row: Row, messages: Sequence[SentMessage]) -> None:
    times = sorted(message.acknowledgement_s for message in messages if message.is_acknowledged)
    if times:
        row.worst_acknowledgement_s = times[-1]
        row.p99_acknowledgement_s = times[len(times) * 99 // 100]
    endings = Counter(
        f"{attempt.ending} {attempt.status or ''}".strip()
        for message in messages
        for attempt in message.attempts
    )
    row.endings = dict(endings)


def _count_calls(row: Row, evidence: Evidence) -> None:
    verdicts = Verdicts(evidence.messages)
    row.calls = len(evidence.calls)
    for call in evidence.calls:
        holding = evidence.holdings.get(call.buildr_call_id)
        lost = verdicts.lost(call, holding)
        is_wrong = verdicts.is_wrong(call, holding)
        row.lost += lost
        row.wrong += is_wrong
        if (lost or is_wrong) and len(row.examples) < EXAMPLES:
            row.examples.append(f"{call.kind.name} {call.buildr_call_id}: holds {holding}")


def _count_writes(row: Row, evidence: Evidence, stage: Stage) -> None:
    first_sent_at = {
        message.call.buildr_call_id: message.attempts[0].began_at
        for message in evidence.messages
        if message.attempts
    }
    last_outcome: dict[str, str] = {}
    deliveries: list[float] = []
    backlog: list[float] = []
    end = stage.fault_ended_at
    for request in evidence.requests:
        outcome_id = _written_outcome(request)
        if outcome_id is None:
            continue
        row.writes += 1
        call_id = str(request["path"]).rpartition("/")[2]
        at = float(str(request["at_s"]))
        row.repeated += last_outcome.get(call_id) == outcome_id
        if last_outcome.get(call_id) != outcome_id and at >= end:
            deliveries.append(at - end)
            if first_sent_at.get(call_id, end) < end:
                backlog.append(at - end)
        last_outcome[call_id] = outcome_id
    if stage.scenario.steps:
        row.recovery_first_s = min(deliveries, default=None)
        row.recovery_all_s = max(backlog, default=None)
    row.refused_by_limit = int(str(evidence.state["rate_limited"])) - sum(
        request["fault"] == "rate_limit" for request in evidence.requests
    )
    windows = evidence.state["most_in_a_window"]
    if isinstance(windows, list) and windows:
        row.most_in_a_window = int(windows[0]["most"])


def _written_outcome(request: Mapping[str, object]) -> str | None:
    """The outcome that a request has written as far as its sender could see, else None."""
    body = request["body"]
    if request["method"] != "PATCH" or request["status"] != OK_STATUSES[0]:
        return None
    if request["fault"] not in (None, "slow") or not isinstance(body, dict):
        return None
    outcome_id = body.get("call", {}).get("call_outcome_id")
    if outcome_id is None:
        return None
    return str(outcome_id)


def _faults(row: Row, scenario: Scenario) -> list[str]:
    required = (
        (row.lost, "acknowledged and lost"),
        (row.wrong, "calls with a wrong outcome"),
        (row.not_taken - row.exempt, "messages not taken"),
        (row.repeated * scenario.is_faultless, "writes repeated without a fault"),
        (max(0, row.refused_by_limit - scenario.refusals), "requests refused by Buildr's limit"),
        (row.exits * (not scenario.may_exit), "processes ended by themselves"),
    )
    faults = [f"{count} {text}" for count, text in required if count]
    resumed_s = row.recovery_first_s or 0
    if scenario.resume_within_s is not None and resumed_s > scenario.resume_within_s:
        faults.append(f"no delivery for {resumed_s:.1f} s after the fault")
    limit = scenario.layout.sandbox_limit
    if limit is not None and row.most_in_a_window > limit[0]:
        faults.append(f"{row.most_in_a_window} requests in a window of {limit[0]}")
    if scenario.max_memory_mb is not None and row.most_memory_mb > scenario.max_memory_mb:
        faults.append(f"{row.most_memory_mb} MB, more than {scenario.max_memory_mb}")
    return faults
