"""
Runs the command line with the clocks of arq and of the worker set wrong by SKEW_S seconds; for the
tests only.
"""

import os
from datetime import datetime, timedelta, tzinfo

import arq.worker

import workers.clock
from workers.cli.main import main

SKEW = timedelta(seconds=float(os.environ["SKEW_S"]))


class SkewedDatetime(datetime):
    """A clock that is wrong by the same span all the time."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        """The present, as this machine takes it to be."""
        return datetime.now(tz) + SKEW


def skewed_timestamp_ms() -> int:
    """Arq's clock."""
    return int(SkewedDatetime.now().timestamp() * 1000)


if __name__ == "__main__":
    vars(arq.worker)["timestamp_ms"] = skewed_timestamp_ms
    vars(workers.clock)["datetime"] = SkewedDatetime
    main()
