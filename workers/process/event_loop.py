"""
The event loop of a worker: uvloop's, with which its talk to Redis and Buildr takes less time.
"""

import asyncio
import sys


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A new loop of uvloop; of asyncio on Windows, where uvloop does not run."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()
