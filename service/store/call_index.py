"""
The index of calls: one sorted set of all of them by the time of their last message, and small ones
by number, agent and Buildr call.

Most customers' numbers, and nearly all Buildr calls, have one call each: a sorted set for each
would cost three times the memory of its entry. They share buckets, since Redis packs a short sorted
set into little more than its members, and each call of a bucket is compared by its record. Agents
and numbers of our own end have many calls, and a sorted set each.

Each holds its newest `MOST` calls; older ones are found by the sorted set of all.
"""

from collections.abc import Iterator
from typing import Final
from zlib import crc32

from service.store.delivery_record import DeliveryRecord
from service.store.policy import StorePolicy

# Sorted set: the calls by the time of their last message, ms since the epoch.
ALL_CALLS: Final = "calls"
# `calls_indexed`, once all calls have been seen. Before the index of names (`call_ids`) it was 1.
INDEXED: Final = b"2"
BUCKET: Final = "calls_by:"
E164: Final = "+"
MOST: Final = StorePolicy().calls_per_bucket
# A million calls make thirty in a bucket: above 128 Redis does not pack a sorted set any more.
BUCKETS: Final = 65_536


def customer_bucket(number: str) -> str:
    """The bucket of a customer's number (E.164)."""
    return f"{BUCKET}{_hash(f'n:{number}') % BUCKETS:x}"


def buildr_bucket(buildr_call_id: str) -> str:
    """The bucket of a Buildr call."""
    return f"{BUCKET}{_hash(f'b:{buildr_call_id}') % BUCKETS:x}"


def line_bucket(number: str) -> str:
    """The calls of a number of ours (E.164)."""
    return f"{BUCKET}l{_hash(number):x}"


def agent_bucket(agent: str) -> str:
    """The calls of an agent; upper and lower case are the same."""
    return f"{BUCKET}a{_hash(agent.casefold()):x}"


def buckets_of(record: DeliveryRecord) -> frozenset[str]:
    """The buckets in which a call belongs."""
    return frozenset(_buckets_of(record))


def _buckets_of(record: DeliveryRecord) -> Iterator[str]:
    if record.buildr_call_id is not None:
        yield buildr_bucket(record.buildr_call_id)
    parties = record.parties
    if parties is None:
        return
    # Only what can be searched for: one bucket of all withheld numbers would serve nobody.
    if parties.customer is not None and parties.customer.startswith(E164):
        yield customer_bucket(parties.customer)
    if parties.line is not None and parties.line.startswith(E164):
        yield line_bucket(parties.line)
    if parties.agent is not None:
        yield agent_bucket(parties.agent)


def _hash(text: str) -> int:
    return crc32(text.encode())
