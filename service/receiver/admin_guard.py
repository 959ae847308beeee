"""
Slows down who guesses admin tokens: after a few failures an address has to wait, longer each time.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from service.receiver.client_address import client_address
from service.receiver.public_url import Network

# A mistake when a token is set up costs a few requests; a guesser needs millions.
FREE_FAILURES: Final = 5
MAX_DELAY_S: Final = 60.0
# 2**6 s is above `MAX_DELAY_S`; without a limit the power would grow for ever.
MAX_DOUBLINGS: Final = 6
# Without a failure for so long, an address begins anew.
FORGOTTEN_AFTER_S: Final = 900.0
MAX_ADDRESSES: Final = 10_000
MAX_PROVED: Final = 1_000

Key = TypeVar("Key")
Value = TypeVar("Value")


class _Failures(Struct):
    """The failures of one address, and when it may try again, in seconds of the clock."""

    count: int = 0
    free_at: float = 0.0


class AdminGuard:
    """
    Counts the failures of each address, for one process.

    While an address has to wait, tokens from it are not looked at, except one that was right from
    there before: nobody who shares an address with a client of ours, or with all the world behind a
    proxy that is not trusted, can lock it out.
    """

    def __init__(
        self, *, trusted: Sequence[Network] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._trusted: Final = tuple(trusted)
        self._clock: Final = clock
        # The least recent first: that one makes room for a new one.
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._proved: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def address(self, scope: Mapping[str, object], headers: Mapping[str, tuple[str, ...]]) -> str:
        """What failures of a request are counted by."""
        return client_address(scope, headers, self._trusted)

    def wait_s(self, address: str, token_digest: bytes) -> float:
        """How many seconds an address has to wait with this token; 0 or less if it may try."""
        failures = self._failures.get(address)
        if failures is None or (address, token_digest) in self._proved:
            return 0.0
        return failures.free_at - self._clock()

    def note_failure(self, address: str) -> None:
        """Count a wrong token."""
        now = self._clock()
        failures = self._failures.pop(address, None)
        if failures is None or now > failures.free_at + FORGOTTEN_AFTER_S:
            failures = _Failures()
        self._failures[address] = failures
        failures.count += 1
        failures.free_at = now
        if failures.count >= FREE_FAILURES:
            doublings = min(failures.count - FREE_FAILURES, MAX_DOUBLINGS)
            failures.free_at = now + min(2.0**doublings, MAX_DELAY_S)
        _drop_oldest(self._failures, MAX_ADDRESSES)

    def note_success(self, address: str, token_digest: bytes) -> None:
        """
        Remember a token that was right from an address.

        The failures of the address stay: they may be of somebody else behind it.
        """
        self._proved[address, token_digest] = None
        self._proved.move_to_end((address, token_digest))
        _drop_oldest(self._proved, MAX_PROVED)


def _drop_oldest(entries: "OrderedDict[Key, Value]", limit: int) -> None:
    while len(entries) > limit:
        entries.popitem(last=False)
