"""
Writes to Buildr whose answer never came, as a part of a call's record.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Self

from msgspec import Struct, field
from msgspec.structs import replace

from service.events import UtcDatetime

# Of an outage in which requests reach Buildr and no answer comes back.
MAX_UNANSWERED: Final = 8


class UnansweredWrite(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    A write that was begun at `at` (UTC) and has had no answer: Buildr may carry it out even after a
    later one. `fields` are without the notes; `note_block` is our own text in them.
    """

    at: UtcDatetime
    buildr_call_id: str
    fields: dict[str, str] = field(default_factory=dict)
    note_block: str | None = None


class UnansweredWrites(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The writes of a call that Buildr may still carry out, oldest first.

    `recheck_at` (UTC) is when the call is read again to find out, `rechecks_made` how often it was.
    """

    writes: tuple[UnansweredWrite, ...] = ()
    recheck_at: UtcDatetime | None = None
    rechecks_made: int = 0

    def begun(
        self, at: datetime, buildr_call_id: str, fields: Mapping[str, str], note_block: str | None
    ) -> Self:
        """A write is about to be sent; it counts as unanswered until a response comes."""
        write = UnansweredWrite(
            at=at, buildr_call_id=buildr_call_id, fields=dict(fields), note_block=note_block
        )
        return replace(self, writes=(*self.writes, write)[-MAX_UNANSWERED:])

    def answered(self) -> Self:
        """The write that was begun last is answered."""
        return replace(self, writes=self.writes[:-1])

    def of(self, buildr_call_id: str | None) -> tuple[UnansweredWrite, ...]:
        """The writes to one Buildr call."""
        return tuple(write for write in self.writes if write.buildr_call_id == buildr_call_id)

    def without(self, write: UnansweredWrite) -> Self:
        """One of the writes has been carried out."""
        return replace(self, writes=tuple(item for item in self.writes if item is not write))

    def with_recheck(self, at: datetime, *, made: int) -> Self:
        """The call is to be read again at a time, after so many rechecks."""
        return replace(self, recheck_at=at, rechecks_made=made)

    def without_recheck(self) -> Self:
        """The call is not read again."""
        return replace(self, recheck_at=None, rechecks_made=0)
