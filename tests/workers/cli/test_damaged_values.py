"""
Every kind of key with a value that cannot be read: no command ends with a traceback, other calls
are listed and written, and none is set aside for what is not its own.
"""

from collections.abc import Mapping
from typing import Final, cast

import pytest
from redis import Redis

from tests.service.store.script_files import kinds_of_keys
from tests.workers.cli.conftest import Invoke, Seed, ended

PREFIX: Final = "bc:default:"
REF: Final = "twilio:CA1"
NUMBER: Final = "+15005550001"
# Of a type of its own for each kind of key; neither a text nor a number.
DAMAGED: Final = b"\xff\x00damaged:\xfe"
# The type of each kind of key, and the rest of the name of one with a name in it.
HASHES: Final[Mapping[str, str]] = {
    "alerts_spools": "",
    "allowance": "",
    "backfill": "",
    "breaker": "",
    "call:": REF,
    "clock": "",
    "counts": "",
    "damaged:": REF,
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
    "asked:": REF,
    "backfill_lock:": "twilio",
    "backfill_run:": "twilio",
    "blocked": "",
    "broken:": REF,
    "calls_indexed": "",
    "calls_indexed_at": "",
    "calls_indexed_cursor": "",
    "calls_indexed_tried": "",
    "console_ended:": "s",
    "dial_calls:": "t",
    "dial_session:": "s",
    "expected_by:": REF,
    "expected_rev": "",
    "expected_rev:": NUMBER,
    "f:": "twilio:CA3",
    "identity": "",
    "keeper": "",
    "link:": REF,
    "m:": "m1",
    "outcomes": "",
    "permit:": REF,
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
LISTS: Final[Mapping[str, str]] = {"console_actions": "", "pending:": REF, "refused": ""}
SETS: Final[Mapping[str, str]] = {"awaits_names": "", "moved_to:": REF}
OF_TYPE: Final = (HASHES, STRINGS, SORTED_SETS, LISTS, SETS)
# A channel; the prefix alone and what is shared by all accounts; fields and marks in scripts.
NO_KEYS: Final = frozenset({"alarms", "bc:", "none", "nothing"})
# What reads a kind of key, where it is more than `USUAL`.
USUAL: Final = (("status",), ("explain", REF))
READ_BY: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "alerts": (("alerts", "list"),),
    "call:": (("calls",), ("forget", NUMBER, "--dry-run")),
    "calls": (("calls",),),
    "dial_log_ins": (("dial-token", "list"),),
    "dial_tokens": (("dial-token", "list"),),
    "expected": (("expected", "list"), ("forget", NUMBER, "--dry-run")),
    "expected:": (("expected", "list"), ("forget", NUMBER, "--dry-run")),
    "expected_by:": (("forget", REF, "--dry-run"),),
    "expected_for:": (("forget", NUMBER, "--dry-run"),),
    "f:": (("failed", "list"),),
    "failed": (("failed", "list"),),
    "heard": (("sources",),),
    "hours:": (("sources",),),
    "ids": (("explain", "CA1"),),
    "ids:": (("explain", "CA1"),),
    "link:": (("links", "list"), ("unmatched", "list")),
    "links": (("links", "list"), ("forget", NUMBER, "--dry-run")),
    "outcomes": (("outcomes", "list"), ("replay", REF, "--dry-run")),
    "phonebook": (("phonebook", "status"),),
    "refused": (("refused", "list"), ("sources",)),
    "stalled": (("stalled", "list"),),
    "unmatched": (("unmatched", "list"), ("calls", "--state", "unmatched")),
    "upkeep": (("sources",), ("subscriptions", "list")),
}
# Commands that cannot do what they are asked: one line says why.
REFUSALS: Final = {
    ("call:", "explain"): "what is stored of twilio:CA1 cannot be read",
    ("outcomes", "outcomes"): "",
    ("phonebook", "phonebook"): "",
    ("upkeep", "subscriptions"): "",
}


def test_every_kind_of_key_has_its_type() -> None:
    """A new kind must be in one of the tables."""
    assert set() == kinds_of_keys() - {kind for kinds in OF_TYPE for kind in kinds} - NO_KEYS


def _damage(redis: Redis, kind: str) -> None:
    """Write what cannot be read into a key of a kind, beside or in place of what is there."""
    (rest,) = [kinds[kind] for kinds in OF_TYPE if kind in kinds]
    key = f"{PREFIX}{kind}{rest}"
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


@pytest.mark.parametrize("kind", sorted({kind for kinds in OF_TYPE for kind in kinds}))
def test_a_damaged_value_stops_nothing_else(
    invoke: Invoke, seed: Seed, redis_url: str, kind: str
) -> None:
    """Commands say what they can, and a call that comes then is matched and planned."""
    seed(ended("CA1"))
    with Redis.from_url(redis_url) as redis:
        _damage(redis, kind)
        for command in (*USUAL, *READ_BY.get(kind, ())):
            result = invoke(*command)
            assert result.exception is None or isinstance(result.exception, SystemExit), command
            reason = REFUSALS.get((kind, command[0]))
            if reason is None:
                assert result.exit_code == 0, (command, result.output)
            else:
                assert reason in result.stderr
        seed(ended("CA7"), query="buildr_call_id=117")
        seed(ended("CA8"))
        for ref in ("twilio:CA7", "twilio:CA8"):
            assert redis.hexists(f"{PREFIX}call:{ref}", "rec"), ref
            assert not redis.exists(f"{PREFIX}f:{ref}"), ref
