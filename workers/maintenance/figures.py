"""
Figures of a worker: what it counts, and how often it adds that to those of all processes.
"""

from collections.abc import Callable
from typing import Final

from service.store.figures import Tally
from workers.buildr import RequestReport

ADD_EVERY_S: Final = 5.0
NO_ANSWER: Final = "none"


def request_counter(tally: Tally) -> Callable[[RequestReport], None]:
    """Counts how long requests to Buildr take, by the class of their status."""

    def count(report: RequestReport) -> None:
        label = NO_ANSWER
        if report.status_code is not None:
            label = f"{report.status_code // 100}xx"
        tally.note_time("buildr_request_seconds", label, report.seconds)

    return count
