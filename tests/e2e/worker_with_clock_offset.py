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
    def now(cls, tz: tzinfo | None = None) -> "SkewedDatetime":
        """The present, as this machine takes it to be."""
        moment = datetime.now(tz) + SKEW
        return cls.fromtimestamp(moment.timestamp(), tz)


def skewed_timestamp_ms() -> int:
    """Arq's clock."""
    return int(SkewedDatetime.now().timestamp() * 1000)


if __name__ == "__main__":
    vars(arq.worker)["timestamp_ms"] = skewed_timestamp_ms
    vars(workers.clock)["datetime"] = SkewedDatetime
    main()
