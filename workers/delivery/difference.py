"""
What Buildr does not hold yet of what it should hold about a call.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from service.store.delivery_record import DeliveryRecord
from workers.delivery.desired import DesiredState

# A change of these alone is not worth a request.
IMMATERIAL: Final = frozenset({"recorded_at"})
# Buildr's name of the field: https://buildr.dev/api-reference/call/update-call.
OUTCOME_FIELD: Final = "call_outcome_id"
NOTES_FIELD: Final = "notes"


class Difference(Struct, frozen=True, kw_only=True):
    """The fields that Buildr does not hold yet, and the new note block, if it is new."""

    fields: Mapping[str, str]
    note_block: str | None
    is_forced: bool

    @property
    def is_worth_a_request(self) -> bool:
        """Whether there is more to write than what is immaterial, or a replay is forced."""
        has_material_field = bool(self.fields.keys() - IMMATERIAL)
        return self.is_forced or has_material_field or self.note_block is not None


def difference_of(record: DeliveryRecord, desired: DesiredState) -> Difference:
    """What is to be written of the desired state, given what was written and what was left."""
    # A forced replay is for an operator who knows that Buildr differs from our record: what we
    # believe to be there says nothing then.
    is_forced = record.replay_request is not None and record.replay_request.is_forced
    # An outcome that was sent and never confirmed may be in Buildr or not: only writing it again
    # makes that certain.
    writes_all = is_forced or record.buildr_call_id in record.in_doubt
    settled: dict[str, str] = {}
    if not writes_all:
        settled |= record.written
    if not is_forced:
        # Ids that were left count as written: otherwise each message would read the call once more,
        # only to find again what somebody chose there, and one that Buildr refuses would keep the
        # outcome from being written.
        settled |= record.left_ids.get(record.buildr_call_id or "", {})
    fields = {name: value for name, value in desired.fields.items() if settled.get(name) != value}
    note_block = desired.note_block
    # Our last text, not Buildr's notes: what people write around it must not cause a request.
    if note_block == record.note_block:
        note_block = None
    return Difference(fields=fields, note_block=note_block, is_forced=is_forced)


def least_write(fields: Mapping[str, str]) -> dict[str, str]:
    """One field that is written already: the least request whose response shows the notes."""
    # The least harmful one: writing the outcome again could start an automation in Buildr that runs
    # on a change of it.
    if "recorded_at" in fields:
        return {"recorded_at": fields["recorded_at"]}
    return {OUTCOME_FIELD: fields[OUTCOME_FIELD]}
