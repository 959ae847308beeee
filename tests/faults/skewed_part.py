"""
Runs the command line with a clock that is wrong by SKEW_S seconds all the time.

The clock is replaced before anything of the service is imported. A preloaded library would do it
from outside, but breaks Python's own waiting.
"""

import datetime as dt
import os
import runpy
import time
from datetime import datetime, tzinfo
from typing import Final

SKEW_S: Final = float(os.environ.get("SKEW_S", "0"))
SKEW_NS: Final = int(SKEW_S * 1_000_000_000)
MODULE: Final = "workers.cli.main"


class _AnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


class SkewedDatetime(datetime, metaclass=_AnyDatetime):
    """The class `datetime` of a process whose clock is wrong."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "SkewedDatetime":
        """The present as this process takes it to be."""
        return cls.fromtimestamp(datetime.now(tz).timestamp() + SKEW_S, tz)


def skew() -> None:
    """Set the clocks of this process wrong."""
    right_time = time.time
    right_time_ns = time.time_ns
    vars(time)["time"] = lambda: right_time() + SKEW_S
    vars(time)["time_ns"] = lambda: right_time_ns() + SKEW_NS
    vars(dt)["datetime"] = SkewedDatetime


if __name__ == "__main__":
    skew()
    runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
