"""
The event loop of a worker.
"""

import asyncio
import sys

from workers.process.event_loop import new_event_loop


def test_the_loop_runs_and_is_uvloops_where_there_is_one() -> None:
    """It is asyncio's own on Windows only."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        module = type(runner.get_loop()).__module__
        assert 1 == runner.run(asyncio.sleep(0, 1))
    assert (sys.platform != "win32") == module.startswith("uvloop")
