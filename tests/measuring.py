"""
Coverage of the tests and processes that are many or repetitive: only as much of them is measured
as shows anything new, since each step takes two to three times as long while it is measured.
"""

import signal
from collections import Counter
from collections.abc import Generator
from types import FrameType
from typing import Final

import pytest
from coverage import Coverage

# Of the variants of one test, this many are measured in each process of pytest: most are in one.
MEASURED_VARIANTS: Final = 16
# A test that repeats the same steps a thousand times reaches nothing new after this processor time.
MEASURED_S: Final = 0.6
# Of the processes of one kind that tests start, so many are started as a user does, and so many are
# measured, for each process of pytest.
PLAIN_PROCESSES: Final = 2
MEASURED_PROCESSES: Final = 8

_process_counts: Final = Counter[str]()


def count_process(kind: str) -> int:
    """How many processes of a kind there have been, with one more."""
    _process_counts[kind] += 1
    return _process_counts[kind]


def is_process_measured(kind: str) -> bool:
    """Whether the coverage of one more process of a kind is to be measured."""
    return count_process(kind) <= PLAIN_PROCESSES


class MeasuredTests:
    """A plugin of pytest that turns the measuring of coverage off and on again."""

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage
        self._is_on = True
        self._variants: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Set-up, call and teardown of one test."""
        function = item.nodeid.partition("[")[0]
        self._variants[function] += 1
        if self._variants[function] > MEASURED_VARIANTS:
            self._turn_off()
            return (yield)
        self._turn_on()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """The test itself: what it does after its measured time is not measured."""
        if not self._is_on:
            return (yield)

        def stop(_signal: int, _frame: FrameType | None) -> None:
            self._turn_off()

        signal.signal(signal.SIGVTALRM, stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, MEASURED_S)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _turn_on(self) -> None:
        if not self._is_on:
            self._coverage.start()
            self._is_on = True

    def _turn_off(self) -> None:
        if self._is_on:
            self._coverage.stop()
            self._is_on = False
