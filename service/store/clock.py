"""
By how much the clock that all share is ahead of that of Redis, for status output.
"""

from collections.abc import Mapping
from typing import Final

from service.store.policy import StorePolicy
from service.store.stored_values import read_integer

POLICY: Final = StorePolicy()


def read_ahead_ms(redis_ms: int, fields: Mapping[bytes, bytes]) -> int:
    """
    The lead at the time `redis_ms` of Redis, by the fields of the hash `clock`: as `now_ms` of
    `common.lua` computes it, without noting anything.
    """
    last = read_integer(fields.get(b"last")) or 0
    offset_ms = read_integer(fields.get(b"offset")) or 0
    passed_ms = redis_ms + offset_ms - last
    if passed_ms <= -POLICY.clock_noted_ms:
        return offset_ms - passed_ms + POLICY.clock_noted_ms
    return max(0, offset_ms - int(max(0, passed_ms) * POLICY.clock_slew))


def agrees_in_s(ahead_s: float) -> float:
    """After how many seconds a lead is gone."""
    return round(ahead_s / POLICY.clock_slew, 1)
