"""
The steps of calls as they become known: what a poll finds that an earlier one had not.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from service.counts import counted
from service.store.call_feed import CallVersion
from service.store.call_parties import CallParties
from service.store.delivery_record import HISTORY_LENGTH, DeliveryRecord
from service.store.delivery_state import HistoryEntry
from service.store.refused import RefusedRequests

UNREAD: Final = "unread"
REFUSED: Final = "refused"
MISSED: Final = "missed"
# Steps after which an operator may have to do something, or that hold a call up.
TROUBLES: Final = frozenset(
    {
        "failed",
        "hand edited",
        "left to a person",
        "late write",
        MISSED,
        "not checked",
        "not filed",
        "not taken",
        "rate limited",
        REFUSED,
        "stalled",
        "unmatched",
        UNREAD,
        "waits for Buildr",
        "will retry",
    }
)


class Step(Struct, frozen=True, kw_only=True):
    """
    One line: what happened to a call at a time (UTC). `ref` is the source alone for a request that
    was refused.
    """

    at: datetime
    ref: str
    summary: str
    detail: str = ""
    numbers: tuple[str, ...] = ()
    buildr_call_id: str | None = None

    @property
    def source(self) -> str:
        """Its source."""
        return self.ref.partition(":")[0]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "at": self.at.isoformat(),
            "ref": self.ref,
            "step": self.summary,
            "detail": self.detail,
            "number": next(iter(self.numbers), None),
            "buildr_call_id": self.buildr_call_id,
        }


class StepFilter(Struct, frozen=True, kw_only=True):
    """
    Which steps are shown; what is None does not matter. `call` is a name, an id of a source, or an
    id in Buildr; `number` is E.164.
    """

    source: str | None = None
    call: str | None = None
    number: str | None = None
    is_trouble: bool = False

    def holds(self, step: Step) -> bool:
        """Whether a step is shown."""
        if self.source not in (None, step.source):
            return False
        if self.number is not None and self.number not in step.numbers:
            return False
        names = (None, step.ref, step.ref.partition(":")[2], step.buildr_call_id)
        if self.call is not None and self.call not in names:
            return False
        return not self.is_trouble or step.summary in TROUBLES


class SeenSteps(Struct):
    """What was seen of each call; of a call that is seen first, only steps from `start_at` on."""

    start_at: datetime
    histories: dict[str, tuple[HistoryEntry, ...]] = field(default_factory=dict)
    versions: dict[str, CallVersion] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    refused: set[RefusedRequests] = field(default_factory=set)

    def changed(self, versions: Mapping[str, CallVersion]) -> list[str]:
        """The calls whose records have another version than when they were last seen."""
        return [
            ref
            for ref, version in versions.items()
            if ref not in self.versions or version.version != self.versions[ref].version
        ]

    def of_record(self, record: DeliveryRecord) -> list[Step]:
        """The new steps of a call."""
        before = self.histories.get(record.ref)
        self.histories[record.ref] = record.history
        if before is None:
            entries = [entry for entry in record.history if entry.at >= self.start_at]
        else:
            entries = [entry for entry in record.history if entry not in before]
        steps = [
            _step(record, at=entry.at, summary=entry.summary, detail=entry.detail)
            for entry in entries
        ]
        if before and len(entries) == len(record.history) == HISTORY_LENGTH:
            detail = f"older steps than these {HISTORY_LENGTH} are not kept"
            steps.insert(0, _step(record, at=entries[0].at, summary=MISSED, detail=detail))
        return steps

    def of_unread(self, versions: Mapping[str, CallVersion], *, now: datetime) -> list[Step]:
        """
        A step for each call whose messages have been unread since the last poll. Calls that are not
        among these are followed no more.
        """
        steps = []
        for ref, version in versions.items():
            count = version.unread_count
            before = self.versions.get(ref)
            is_waiting = count and before is not None and before.unread_count
            if is_waiting and self.unread.get(ref) != count:
                self.unread[ref] = count
                detail = counted(count, "message waits for a worker", "messages wait for a worker")
                steps.append(Step(at=now, ref=ref, summary=UNREAD, detail=detail))
            if not count:
                self.unread.pop(ref, None)
        self.versions = dict(versions)
        for ref in [ref for ref in self.histories if ref not in versions]:
            del self.histories[ref]
        return steps

    def of_refused(self, entries: Iterable[RefusedRequests]) -> list[Step]:
        """A step for each kind of refused requests that was not seen."""
        fresh = [entry for entry in entries if entry not in self.refused]
        self.refused.update(fresh)
        return [_refused_step(entry) for entry in fresh if entry.last_at >= self.start_at]


def _step(record: DeliveryRecord, *, at: datetime, summary: str, detail: str) -> Step:
    parties = record.parties or CallParties()
    numbers = [number for number in (parties.customer, parties.line) if number]
    return Step(
        at=at,
        ref=record.ref,
        summary=summary,
        detail=detail,
        numbers=tuple(numbers),
        buildr_call_id=record.buildr_call_id,
    )


def _refused_step(entry: RefusedRequests) -> Step:
    parts = [entry.path, entry.reason]
    if entry.status_code is not None:
        parts.insert(0, str(entry.status_code))
    if entry.count > 1:
        parts.append(f"{entry.count} times")
    if entry.hint:
        parts.append(entry.hint)
    return Step(at=entry.last_at, ref=entry.source, summary=REFUSED, detail="; ".join(parts))
