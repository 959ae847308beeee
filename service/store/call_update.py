"""
What a job writes about its call, and how long it is kept.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from service.store.delivery_record import DeliveryRecord


class CallUpdate(Struct, frozen=True, kw_only=True):
    """
    What a job writes about its call, all or nothing.

    - `version`: the version that the job has read; another one in Redis is a conflict.
    - `before`: the record that the job has read, by which the call was indexed.
    - `events`: JSON of the events by message id, of the messages parsed in this run.
    - `done`: ids of the messages to take from the pending list.
    - `framed`: what the keys of messages hold that have to be made small, by id.
    - `failed`: JSON of the failed entries to file, by id. `drop_failed`: ids of entries to remove.
    - `wakes`: other calls that are to be run now.
    - `due_at`: when the call is to be run next, UTC; None for never.
    - `leaves_lane`: the call gives back its position in the lanes, and an unused permit.
    - `awaits_names`: run the call again once the account's outcomes have been read.

    The rest is what the job saw, so that the call is run again if it has changed meanwhile:
    `link_text` and `replay_request_text`; `numbers`, the revision of the expected calls of each
    phone number; `claimed`, the Buildr call of the expected call that it has claimed. By `numbers`
    and `started_at` (UTC) an unmatched call is found when a call with such a number is expected.
    """

    record: DeliveryRecord
    version: int
    before: DeliveryRecord | None = None
    events: Mapping[str, str] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    framed: Mapping[str, bytes] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    drop_failed: tuple[str, ...] = ()
    wakes: tuple[str, ...] = ()
    due_at: datetime | None = None
    leaves_lane: bool = False
    awaits_names: bool = False
    link_text: str | None = None
    replay_request_text: str = ""
    numbers: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime | None = None
    claimed: str | None = None


class Retention(Struct, frozen=True, kw_only=True):
    """
    How long messages, failed entries and calls are kept, in milliseconds; `open_ms` is for calls
    that are not done, and for the entries of what has failed.
    """

    messages_ms: int
    failed_ms: int
    calls_ms: int
    open_ms: int
