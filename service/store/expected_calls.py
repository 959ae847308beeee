"""
Expected calls: telephone calls that somebody in Buildr has begun, known by their numbers alone.

They are for telephony systems that carry no id of Buildr's. An entry is found by number, belongs to
at most one telephone call, and goes by itself when its window has been over for as long as links
are kept.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import TypeAdapter

from service.events import Direction, UtcDatetime
from service.phone_numbers import Number
from service.store.keys import Keys
from service.store.links import Link
from service.store.redis_client import Client
from service.store.script_runner import Scripts

LEAD: Final = timedelta(minutes=15)
LONGEST_WINDOW: Final = timedelta(days=31)
MOST_PER_NUMBER: Final = 1000
MOST_CANDIDATES: Final = 100
MOST_NUMBERS: Final = 20

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_FAULTS: Final[Mapping[int, str]] = {
    -1: "not_after must be later than not_before, which is 15 minutes ago unless you state it",
    -2: "not_after is so long ago that no call could be found any more",
    -3: f"not_after must lie within {LONGEST_WINDOW.days} days from now",
    -4: f"the time from not_before to not_after must be at most {LONGEST_WINDOW.days} days",
}


class WrongWindow(ValueError):
    """
    Raised when no call can be expected in the time that was stated; the message says what to
    change.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """
    What somebody states: this Buildr call will be a call with one of these numbers; the ids are
    Buildr's, digits.
    """

    buildr_call_id: str
    numbers: tuple[Number, ...]
    agent: str | None = None
    direction: Direction | None = None
    not_before: UtcDatetime | None = None
    not_after: UtcDatetime | None = None
    company_id: str | None = None
    contact_id: str | None = None
    project_id: str | None = None

    def as_link(self) -> Link:
        """The Buildr call and what it is filed under, as a link says it."""
        return Link(
            buildr_call_id=self.buildr_call_id,
            company_id=self.company_id,
            contact_id=self.contact_id,
            project_id=self.project_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCall(Expectation):
    """
    An expectation as it is kept.

    A call fits that starts between `opens_at` and `closes_at`. `revision` is another one each time
    the entry is registered; `claimed_by` is the telephone call (`twilio:CA...`) that has turned out
    to be it, `is_certain` if that rests on an id or a link.
    """

    registered_at: datetime
    opens_at: datetime
    closes_at: datetime
    revision: int
    claimed_by: str | None = None
    is_certain: bool = False

    @property
    def expected_at(self) -> datetime:
        """
        The moment at which the call is expected most: the beginning that was stated, else the
        registration.
        """
        return self.not_before or self.registered_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What a registration did: `woken` calls that waited for such a number are looked at again."""

    expected: ExpectedCall
    is_new: bool
    woken: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateSnapshot:
    """
    What was expected when a job looked: by `seen`, a revision per number, the commit notices what
    was registered since.

    `is_cut` says that there are more candidates than were read.
    """

    candidates: tuple[ExpectedCall, ...] = ()
    seen: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False


_EXPECTATION: Final = TypeAdapter(Expectation)


@dataclass(frozen=True, slots=True)
class ExpectedCalls:
    """
    Keeps expected calls until `keep_ms` after their window, which by default ends `wait_ms` after
    the registration.
    """

    redis: Client
    keys: Keys
    scripts: Scripts
    keep_ms: int
    wait_ms: int

    async def put(self, wish: Expectation) -> Registered:
        """
        Register an expected call, in place of an earlier one of the same Buildr call, and wake the
        calls that wait for its numbers.

        A call that has claimed the earlier entry keeps its claim if its number is still among the
        numbers. Raises `WrongWindow`.
        """
        body = {
            "body": _EXPECTATION.dump_json(wish, exclude_none=True).decode(),
            "numbers": sorted({number.e164 for number in wish.numbers}),
            "lead_ms": LEAD // _MS,
            "wait_ms": self.wait_ms,
            "keep_ms": self.keep_ms,
            "longest_ms": LONGEST_WINDOW // _MS,
            "most": MOST_PER_NUMBER,
            **({} if wish.not_before is None else {"opens_ms": to_ms(wish.not_before)}),
            **({} if wish.not_after is None else {"closes_ms": to_ms(wish.not_after)}),
        }
        answer = await self.scripts.run("expect", wish.buildr_call_id, json.dumps(body))
        if isinstance(answer, int):
            raise WrongWindow(_FAULTS[answer])
        code, woken, fields = answer if isinstance(answer, list) else (0, 0, ())
        return Registered(expected=_read(_pairs(fields)), is_new=bool(code), woken=woken)

    async def get(self, buildr_call_id: str) -> ExpectedCall | None:
        """The entry of a Buildr call, or None."""
        fields = await self.redis.hgetall(self._key(buildr_call_id))
        return _read(fields) if fields else None

    async def remove(self, buildr_call_id: str) -> bool:
        """
        Take an entry away; False if there is none.

        The call that had claimed it, and those that wait for its numbers, are looked at again. What
        is written to Buildr stays.
        """
        return await self.scripts.run("expect", buildr_call_id, "") == 1

    async def newest(self, *, limit: int = 1000) -> list[ExpectedCall]:
        """The entries, those whose window ends last coming first."""
        ids = await self.redis.zrange(self.keys.named("expected"), -limit, -1)
        pipe = self.redis.pipeline(transaction=False)
        for each in reversed(ids):
            pipe.hgetall(self._key(each.decode()))
        found: list[dict[bytes, bytes]] = await pipe.execute()
        return [_read(fields) for fields in found if fields]

    async def look(
        self, ref: str, numbers: Sequence[str], *, at: datetime | None = None
    ) -> CandidateSnapshot:
        """
        The entries for numbers (E.164) that a call which started at a time may be, and the one that
        it has claimed.

        A few whose window is over are there too, so that one can say why they are not it. Changes
        nothing.
        """
        answer = await self.scripts.run(
            "expected", ref, "" if at is None else to_ms(at), MOST_CANDIDATES, *numbers
        )
        is_cut, revisions, entries = answer if isinstance(answer, list) else (0, [], [])
        return CandidateSnapshot(
            candidates=tuple(_read(_pairs(fields)) for fields in entries),
            seen={
                number: revision.decode()
                for number, revision in zip(numbers, revisions, strict=True)
            },
            is_cut=bool(is_cut),
        )

    async def claim(self, ref: str, expected: ExpectedCall, *, number: str) -> bool:
        """
        Make an expected call this telephone call's own, by the number (E.164) that both have; its
        claim on any other entry ends.

        False if another call has claimed it, or if it was changed or removed since it was read.
        Claiming twice is harmless.
        """
        return (
            await self.scripts.run("claim", ref, expected.buildr_call_id, expected.revision, number)
            == 1
        )

    async def take(self, ref: str, buildr_call_id: str) -> bool:
        """
        Note that a telephone call is this Buildr call for certain, by its own messages or by a
        link.

        Its claim on any other entry ends. If this Buildr call is expected too, no other telephone
        call gets it, and one that has it is looked at again. Returns whether there is such an
        entry.
        """
        return (
            await self.scripts.run("claim", ref, buildr_call_id, "", "", LONGEST_WINDOW // _MS) == 1
        )

    async def release(self, ref: str) -> None:
        """End the claim of a telephone call, if it has one."""
        await self.scripts.run("claim", ref, "", "", "")

    def _key(self, buildr_call_id: str) -> str:
        return self.keys.named(f"expected:{buildr_call_id}")


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since the epoch, as the scripts count."""
    return (moment - _EPOCH) // _MS


def as_dict(expected: ExpectedCall) -> dict[str, object]:
    """An entry as plain JSON values, every field present."""
    return {
        "buildr_call_id": expected.buildr_call_id,
        "numbers": [number.text for number in expected.numbers],
        "agent": expected.agent,
        "direction": None if expected.direction is None else expected.direction.value,
        "not_before": expected.opens_at.isoformat(),
        "not_after": expected.closes_at.isoformat(),
        "company_id": expected.company_id,
        "contact_id": expected.contact_id,
        "project_id": expected.project_id,
        "registered_at": expected.registered_at.isoformat(),
        "call": expected.claimed_by,
    }


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _read(fields: Mapping[bytes, bytes]) -> ExpectedCall:
    said = _EXPECTATION.validate_json(fields[b"body"])
    claimed_by = fields.get(b"ref")
    return ExpectedCall(
        buildr_call_id=said.buildr_call_id,
        numbers=said.numbers,
        agent=said.agent,
        direction=said.direction,
        not_before=said.not_before,
        not_after=said.not_after,
        company_id=said.company_id,
        contact_id=said.contact_id,
        project_id=said.project_id,
        registered_at=_from_ms(fields[b"registered"]),
        opens_at=_from_ms(fields[b"opens"]),
        closes_at=_from_ms(fields[b"closes"]),
        revision=int(fields[b"rev"]),
        claimed_by=None if claimed_by is None else claimed_by.decode(),
        is_certain=claimed_by is not None and not fields.get(b"by"),
    )


def _from_ms(text: bytes) -> datetime:
    return _EPOCH + int(text) * _MS
