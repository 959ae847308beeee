"""
What an expected call is: as it is stated, as it is stored, and as a job reads it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct, field

from service.events import Direction, UtcDatetime
from service.phone_numbers import Number
from service.store.links import Link

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


class Expectation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What a client of the API or the command line states: this Buildr call will be a call with one of
    these numbers.

    Ids are Buildr's, digits. `not_before` and `not_after` (UTC) bound the start of the call.
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
        """The Buildr call and what it is filed under, in the form of a link."""
        return Link(
            buildr_call_id=self.buildr_call_id,
            company_id=self.company_id,
            contact_id=self.contact_id,
            project_id=self.project_id,
        )


class ExpectedCall(Expectation, frozen=True, kw_only=True):
    """
    An expectation as it is stored; times are UTC.

    A call matches that starts between `opens_at` and `closes_at`. `revision` is a new number each
    time the entry is registered. `claimed_by` is the telephone call (`twilio:CA...`) that was found
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
        """When the call is most likely: the beginning that was stated, else the registration."""
        return self.not_before or self.registered_at


class ExpectedList(Struct, frozen=True, kw_only=True):
    """Expected calls as they are listed, and the Buildr calls of those that cannot be read."""

    entries: tuple[ExpectedCall, ...] = ()
    unreadable_ids: tuple[str, ...] = ()


class CandidateSnapshot(Struct, frozen=True, kw_only=True):
    """
    What was expected with some numbers when a job read it.

    `revisions` by number (E.164) let the commit detect what was registered since. `is_cut` if there
    are more candidates than were read.
    """

    candidates: tuple[ExpectedCall, ...] = ()
    revisions: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False


_EXPECTATION: Final = msgspec.json.Decoder(Expectation)


def to_json(expectation: Expectation) -> str:
    """An expectation as it is stored."""
    return msgspec.json.encode(expectation).decode()


def read_entry(fields: Mapping[bytes, bytes]) -> ExpectedCall | None:
    """
    The entry that a hash holds: `body` (JSON), `registered`, `opens` and `closes` (ms since the
    epoch), `rev`, and `ref` and `by` once it is claimed, `by` empty for a certain claim. None of
    one that cannot be read.
    """
    # One that is damaged must not keep the others from being listed, nor calls from being matched.
    try:
        return _read_entry(fields)
    except (KeyError, ValueError, OverflowError):
        return None


def _read_entry(fields: Mapping[bytes, bytes]) -> ExpectedCall:
    stated = _EXPECTATION.decode(fields[b"body"])
    claimed_by = _optional_text(fields.get(b"ref"))
    return ExpectedCall(
        buildr_call_id=stated.buildr_call_id,
        numbers=stated.numbers,
        agent=stated.agent,
        direction=stated.direction,
        not_before=stated.not_before,
        not_after=stated.not_after,
        company_id=stated.company_id,
        contact_id=stated.contact_id,
        project_id=stated.project_id,
        registered_at=_from_ms(fields[b"registered"]),
        opens_at=_from_ms(fields[b"opens"]),
        closes_at=_from_ms(fields[b"closes"]),
        revision=int(fields[b"rev"]),
        claimed_by=claimed_by,
        # `by` is the number that was found; empty where no number was needed.
        is_certain=claimed_by is not None and not fields.get(b"by"),
    )


def read_flat_entry(flat: Sequence[bytes]) -> ExpectedCall | None:
    """The same from the list of fields and values that a script returns for a hash."""
    return read_entry(dict(zip(flat[::2], flat[1::2], strict=True)))


def as_dict(expected: ExpectedCall) -> dict[str, object]:
    """
    An entry as the API and `--json` show it, every field present: ids, texts and numbers as stated,
    times as ISO 8601 (the window under `not_before` and `not_after`), the claiming call under
    `call`.
    """
    direction = expected.direction and expected.direction.value
    return {
        "buildr_call_id": expected.buildr_call_id,
        "numbers": [number.text for number in expected.numbers],
        "agent": expected.agent,
        "direction": direction,
        "not_before": expected.opens_at.isoformat(),
        "not_after": expected.closes_at.isoformat(),
        "company_id": expected.company_id,
        "contact_id": expected.contact_id,
        "project_id": expected.project_id,
        "registered_at": expected.registered_at.isoformat(),
        "call": expected.claimed_by,
    }


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since the epoch, as the scripts count."""
    # In whole numbers: `timestamp` is a float, and its milliseconds would differ from those that
    # the client sent by one now and then.
    return (moment - _EPOCH) // _MS


def _from_ms(text: bytes) -> datetime:
    return _EPOCH + int(text) * _MS


def _optional_text(value: bytes | None) -> str | None:
    if value is None:
        return None
    return value.decode()
