"""
Keys of every kind with a value that cannot be read.
"""

from collections.abc import Mapping
from typing import Final, cast

from redis import Redis

PREFIX: Final = "bc:default:"
NUMBER: Final = "+15005550001"
# In place of the name of a call.
THE_CALL: Final = "REF"
# Of a type of its own for each kind of key; neither a text nor a number.
DAMAGED: Final = b"\xff\x00damaged:\xfe"
# The type of each kind of key, and the rest of the name of one with a name in it.
HASHES: Final[Mapping[str, str]] = {
    "alerts_spools": "",
    "allowance": "",
    "backfill": "",
    "breaker": "",
    "call:": THE_CALL,
    "clock": "",
    "counts": "",
    "damaged:": THE_CALL,
    "dial_log_ins": "",
    "dial_tokens": "",
    "expected:": "110",
    "figures": "",
    "heard": "",
    "hours:": "twilio",
    "lane_cost": "",
    "maps": "",
    "outcome_days": "",
    "phonebook": "",
    "phonebook:": "65286",
    "phonebook_queue": "",
    "running": "",
    "unknown_values": "",
    "upkeep": "",
}
STRINGS: Final[Mapping[str, str]] = {
    "alerts": "",
    "alerts_lease": "",
    "alerts_receiver": "",
    "asked:": THE_CALL,
    "backfill_lock:": "twilio",
    "backfill_run:": "twilio",
    "blocked": "",
    "broken:": THE_CALL,
    "calls_indexed": "",
    "calls_indexed_at": "",
    "calls_indexed_cursor": "",
    "calls_indexed_tried": "",
    "console_ended:": "s",
    "dial_calls:": "t",
    "dial_session:": "s",
    "expected_by:": THE_CALL,
    "expected_rev": "",
    "expected_rev:": NUMBER,
    "f:": "twilio:CA3",
    "identity": "",
    "keeper": "",
    "link:": THE_CALL,
    "m:": "m1",
    "outcomes": "",
    "permit:": THE_CALL,
    "permit_count": "",
    "phonebook_lock": "",
    "sealed_token": "",
    "seen:": "m1",
    "strikes": "",
    "taken:": "110",
    "token": "",
    "token_lock": "",
    "turn": "",
    "upkeep_lock:": "twilio",
    "worker:": "w1",
}
SORTED_SETS: Final[Mapping[str, str]] = {
    "ask:": "twilio",
    "calls": "",
    "due": "",
    "expected": "",
    "expected_for:": NUMBER,
    "failed": "",
    "ids": "",
    "ids:": "",
    "ids_reversed": "",
    "inbox": "",
    "lane:": "final",
    "limit": "",
    "links": "",
    "queue": "",
    "stalled": "",
    "unknown": "",
    "unmatched": "",
    "unmatched:": NUMBER,
    "woken": "",
}
LISTS: Final[Mapping[str, str]] = {"console_actions": "", "pending:": THE_CALL, "refused": ""}
SETS: Final[Mapping[str, str]] = {"awaits_names": "", "moved_to:": THE_CALL}
OF_TYPE: Final = (HASHES, STRINGS, SORTED_SETS, LISTS, SETS)
# A channel; the prefix alone and what is shared by all accounts; fields and marks in scripts.
NO_KEYS: Final = frozenset({"alarms", "bc:", "none", "nothing"})
KINDS: Final = frozenset(kind for kinds in OF_TYPE for kind in kinds)


def damage(redis: Redis, kind: str, *, ref: str) -> None:
    """
    Write what cannot be read into a key of a kind, that of the call `ref` where it is a call's:
    beside or in place of what is there.
    """
    (rest,) = [kinds[kind] for kinds in OF_TYPE if kind in kinds]
    key = f"{PREFIX}{kind}{rest.replace(THE_CALL, ref)}"
    if kind in HASHES:
        names = cast("list[bytes]", redis.hkeys(key))
        redis.hset(key, mapping=dict.fromkeys([*names, DAMAGED, b"opened_at"], DAMAGED))
    elif kind in STRINGS:
        redis.set(key, DAMAGED)
    elif kind in SORTED_SETS:
        redis.zadd(key, {DAMAGED: 1.0})
    elif kind in LISTS:
        redis.lpush(key, DAMAGED)
    else:
        redis.sadd(key, DAMAGED)
