"""
Expected calls: calls that were announced from Buildr, found by their phone numbers alone.

They are for telephony systems that carry no id of Buildr's. An entry is found by number, belongs to
at most one telephone call, and expires `keep_ms` after its window.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from service.store import script_calls
from service.store.expectations import (
    CandidateSnapshot,
    Expectation,
    ExpectedCall,
    ExpectedList,
    read_entry,
    read_flat_entry,
    to_json,
    to_ms,
)
from service.store.keys import Keys, name_in
from service.store.redis_client import Client
from service.store.script_runner import ScriptCall, Scripts

# A system often registers a call only when it has begun, or some minutes after it.
LEAD: Final = timedelta(minutes=15)
# A window without an end would match a call of next year with the same number.
LONGEST_WINDOW: Final = timedelta(days=31)
# Of more, the ones whose window ends first are dropped: a number that is expected so often is a
# test or a mistake.
MAX_PER_NUMBER: Final = 1000
# For one number. `is_cut` then stops a choice: what was not read may fit as well.
MAX_CANDIDATES: Final = 100
# Each of them is an index entry and a set of calls to wake, in one script.
MAX_NUMBERS: Final = 20

_MS: Final = timedelta(milliseconds=1)
_FAULTS: Final[Mapping[int, str]] = {
    -1: "not_after must be later than not_before, which is 15 minutes ago unless you state it",
    -2: "not_after is so long ago that no call could be found any more",
    -3: f"not_after must lie within {LONGEST_WINDOW.days} days from now",
    -4: f"the time from not_before to not_after must be at most {LONGEST_WINDOW.days} days",
}


class WrongWindow(ValueError):
    """Raised when no call can be expected in the stated time; the message says what to change."""


class Registered(Struct, frozen=True, kw_only=True):
    """What a registration did; `woken` is how many calls with such a number are read again."""

    expected: ExpectedCall
    is_new: bool
    woken: int


class ExpectedCalls(Struct, frozen=True):
    """
    Keeps expected calls until `keep_ms` after their window, which by default ends `wait_ms` after
    the registration. Every method raises redis-py's errors.
    """

    redis: Client
    keys: Keys
    scripts: Scripts
    keep_ms: int
    wait_ms: int

    async def put(self, expectation: Expectation) -> Registered:
        """
        Register an expected call, in place of an earlier one of the same Buildr call, and wake the
        calls that wait for its numbers.

        A call that has claimed the earlier entry keeps its claim if its number is still among the
        numbers. Raises `WrongWindow`.
        """
        registered = _registered(await self.scripts.run(self._put(expectation)))
        if isinstance(registered, WrongWindow):
            raise registered
        return registered

    async def put_many(self, expectations: Sequence[Expectation]) -> list[Registered | WrongWindow]:
        """
        The same for many, in one round trip; the answer to each is what was done, or what is wrong
        with its window. Raises the first other error; the other entries are registered all the
        same.
        """
        replies = await self.scripts.run_batch([self._put(item) for item in expectations])
        answers = []
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
            answers.append(_registered(reply))
        return answers

    def _put(self, expectation: Expectation) -> ScriptCall[object]:
        return script_calls.expect(
            buildr_call_id=expectation.buildr_call_id,
            expectation=json.dumps(self._script_body(expectation)),
        )

    def _script_body(self, expectation: Expectation) -> dict[str, object]:
        body: dict[str, object] = {
            "body": to_json(expectation),
            "numbers": sorted({number.e164 for number in expectation.numbers}),
            "lead_ms": LEAD // _MS,
            "wait_ms": self.wait_ms,
            "keep_ms": self.keep_ms,
            "longest_ms": LONGEST_WINDOW // _MS,
            "most": MAX_PER_NUMBER,
        }
        # Without them the script takes its own time for the window: the clock of Redis counts.
        if expectation.not_before is not None:
            body["opens_ms"] = to_ms(expectation.not_before)
        if expectation.not_after is not None:
            body["closes_ms"] = to_ms(expectation.not_after)
        return body

    async def get(self, buildr_call_id: str) -> ExpectedCall | None:
        """The entry of a Buildr call; None if there is none, or it cannot be read."""
        fields = await self.redis.hgetall(self._key(buildr_call_id))
        if not fields:
            return None
        return read_entry(fields)

    async def is_kept(self, buildr_call_id: str) -> bool:
        """Whether there is an entry of a Buildr call, also one that cannot be read."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.exists(self._key(buildr_call_id))
        (count,) = await pipe.execute()
        return bool(count)

    async def remove(self, buildr_call_id: str) -> bool:
        """
        Remove an entry; False if there is none.

        The call that had claimed it, and those that wait for its numbers, are read again. What is
        written to Buildr stays.
        """
        call = script_calls.expect(buildr_call_id=buildr_call_id, expectation="")
        return await self.scripts.run(call) == 1

    async def newest(self, *, limit: int = 1000) -> list[ExpectedCall]:
        """The entries that can be read, those whose window ends last coming first."""
        return list((await self.listed(limit=limit)).entries)

    async def listed(self, *, limit: int) -> ExpectedList:
        """The entries, those whose window ends last coming first, and what cannot be read."""
        ids = await self.redis.zrange(self.keys.named("expected"), -limit, -1)
        buildr_call_ids = [name_in(buildr_call_id) for buildr_call_id in reversed(ids)]
        pipe = self.redis.pipeline(transaction=False)
        for buildr_call_id in buildr_call_ids:
            pipe.hgetall(self._key(buildr_call_id))
        # An error stands for a key of another type, which is as damaged as a hash can be.
        hashes = await pipe.execute(raise_on_error=False)
        # An entry may have expired while its id is still in the index, which is cleaned at the next
        # registration.
        entries = {
            buildr_call_id: read_entry(fields) if isinstance(fields, dict) else None
            for buildr_call_id, fields in zip(buildr_call_ids, hashes, strict=True)
            if fields
        }
        return ExpectedList(
            entries=tuple(entry for entry in entries.values() if entry is not None),
            unreadable_ids=tuple(name for name, entry in entries.items() if entry is None),
        )

    async def read_candidates(
        self, ref: str, numbers: Sequence[str], *, at: datetime | None = None
    ) -> CandidateSnapshot:
        """
        The entries for numbers (E.164) that may be a call which started at a time, and the one that
        it has claimed.

        Some whose window is over are among them, so that an explanation can name them; those that
        cannot be read are not. Changes nothing.
        """
        started_ms = None
        if at is not None:
            started_ms = to_ms(at)
        call = script_calls.expected(
            ref=ref, started_ms=started_ms, limit=MAX_CANDIDATES, numbers=numbers
        )
        is_cut, revisions, entries = await self.scripts.run(call)
        revision_texts = (revision.decode() for revision in revisions)
        return CandidateSnapshot(
            candidates=tuple(filter(None, map(read_flat_entry, entries))),
            revisions=dict(zip(numbers, revision_texts, strict=True)),
            is_cut=bool(is_cut),
        )

    async def claim(self, ref: str, expected: ExpectedCall, *, number: str) -> bool:
        """
        Let a telephone call be this expected call, by the number (E.164) that both have; its claim
        on any other entry ends.

        False if another call has claimed it, or if it was changed or removed since it was read.
        Claiming twice is harmless.
        """
        call = script_calls.claim(
            ref=ref,
            buildr_call_id=expected.buildr_call_id,
            revision=expected.revision,
            number=number,
            keep_ms=0,
        )
        return await self.scripts.run(call)

    async def take(self, ref: str, buildr_call_id: str) -> bool:
        """
        Note that a telephone call is this Buildr call for certain, by its own messages or a link.

        Its claim on any other entry ends. If this Buildr call is expected too, no other telephone
        call gets it, and one that has it is read again. Returns whether there is such an entry.
        """
        call = script_calls.claim(
            ref=ref,
            buildr_call_id=buildr_call_id,
            revision=None,
            number="",
            # An entry for this Buildr call may be registered after the call: for so long it finds
            # that it is taken.
            keep_ms=min(self.keep_ms, LONGEST_WINDOW // _MS),
        )
        return await self.scripts.run(call)

    async def release(self, ref: str) -> None:
        """End the claim of a telephone call, if it has one."""
        call = script_calls.claim(ref=ref, buildr_call_id="", revision=None, number="", keep_ms=0)
        await self.scripts.run(call)

    def _key(self, buildr_call_id: str) -> str:
        return self.keys.named(f"expected:{buildr_call_id}")


def _registered(reply: object) -> Registered | WrongWindow:
    # Negative: the script refuses the window. Its own errors would arrive as exceptions.
    if isinstance(reply, int):
        return WrongWindow(_FAULTS[reply])
    if not isinstance(reply, list):
        raise TypeError("unexpected reply of the script expect")
    is_new, woken, flat_entry = reply
    entry = read_flat_entry(flat_entry)
    if entry is None:
        raise TypeError("unexpected entry of the script expect")
    return Registered(expected=entry, is_new=bool(is_new), woken=woken)
