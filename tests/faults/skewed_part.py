"""
Runs the command line with a clock that is wrong by SKEW_S seconds all the time.

The clock is replaced in the modules of this project and of arq once they are loaded. A preloaded
library would do it from outside, but breaks Python's own waiting.
"""

import importlib
import os
import pkgutil
import runpy
import sys
import time
from datetime import datetime, timedelta, tzinfo
from types import ModuleType
from typing import Final

SKEW_S: Final = float(os.environ.get("SKEW_S", "0"))
SKEW_NS: Final = int(SKEW_S * 1_000_000_000)
MODULE: Final = "workers.cli.main"
PACKAGES: Final = ("service", "workers", "arq")


class _Datetime(type):
    """Is `datetime` in all else, and makes times of the usual kind, which can be stored."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)

    def __call__(cls, *args: int, **fields: int) -> datetime:
        made: datetime = type.__call__(datetime, *args, **fields)
        return made

    def __getattr__(cls, name: str) -> object:
        return getattr(datetime, name)


class SkewedDatetime(metaclass=_Datetime):
    """The class `datetime` of a process whose clock is wrong."""

    @staticmethod
    def now(tz: tzinfo | None = None) -> datetime:
        """The present as this process takes it to be."""
        return datetime.now(tz) + timedelta(seconds=SKEW_S)


def skew() -> None:
    """Set the clocks of this process wrong."""
    right_time = time.time
    right_time_ns = time.time_ns
    vars(time)["time"] = lambda: right_time() + SKEW_S
    vars(time)["time_ns"] = lambda: right_time_ns() + SKEW_NS
    for name in PACKAGES:
        _load_all(importlib.import_module(name))
    for name, module in tuple(sys.modules.items()):
        is_ours = name.partition(".")[0] in PACKAGES
        if is_ours and vars(module).get("datetime") is datetime:
            vars(module)["datetime"] = SkewedDatetime


def _load_all(package: ModuleType) -> None:
    # Those that are loaded later would have the right clock.
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


if __name__ == "__main__":
    skew()
    runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
