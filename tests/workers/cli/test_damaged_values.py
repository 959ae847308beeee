"""
Every kind of key with a value that cannot be read: no command ends with a traceback, other calls
are listed and written, and none is set aside for what is not its own.
"""

from collections.abc import Mapping
from typing import Final

import pytest
from redis import Redis

from tests.service.store.damaged_keys import KINDS, NO_KEYS, NUMBER, PREFIX, damage
from tests.service.store.script_files import kinds_of_keys
from tests.workers.cli.conftest import Invoke, Seed, ended

REF: Final = "twilio:CA1"
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
    assert set() == kinds_of_keys() - KINDS - NO_KEYS


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_damaged_value_stops_nothing_else(
    invoke: Invoke, seed: Seed, redis_url: str, kind: str
) -> None:
    """Commands say what they can, and a call that comes then is matched and planned."""
    seed(ended("CA1"))
    with Redis.from_url(redis_url) as redis:
        damage(redis, kind, ref=REF)
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
