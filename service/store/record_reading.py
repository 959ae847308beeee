"""
The records of many calls, read in few round trips.
"""

from collections.abc import Sequence
from typing import Final

from service.errors import MalformedPayload
from service.store import index_scripts
from service.store.calls import read_record
from service.store.delivery_record import DeliveryRecord
from service.store.keys import Keys
from service.store.redis_client import Client
from service.store.script_runner import Scripts

# Calls per run of the script: Redis does nothing else for less than a millisecond.
AT_ONCE: Final = 500


async def read_packed(redis: Client, keys: Keys, refs: Sequence[str]) -> list[bytes | int]:
    """
    The packed records of these calls, in their order; of a call without one, how many of its
    messages no worker has read.
    """
    scripts = Scripts(redis, keys)
    answers: list[bytes | int] = []
    for start in range(0, len(refs), AT_ONCE):
        call = index_scripts.records(refs=refs[start : start + AT_ONCE])
        some = await scripts.run(call)
        answers += some
    return answers


async def read_records(redis: Client, keys: Keys, refs: Sequence[str]) -> list[DeliveryRecord]:
    """The records of these calls, without those that are gone or cannot be read."""
    records = []
    for ref, packed in zip(refs, await read_packed(redis, keys, refs), strict=True):
        if not isinstance(packed, bytes):
            continue
        try:
            records.append(read_record(ref, packed))
        except MalformedPayload:
            continue
    return records
