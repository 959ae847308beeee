"""
The end of connections that are kept open between two uses.
"""

import asyncio

from redis.asyncio.connection import AbstractConnection


async def close_idle(idle: list[AbstractConnection]) -> None:
    """Close all connections of a list, and empty it."""
    closing = list(idle)
    idle.clear()
    # All of them at first: whoever closes may be cancelled while it waits for one.
    for connection in closing:
        await connection.disconnect(nowait=True)
    # Sockets are closed in the next turn of the loop, which may be its last one.
    if closing:
        await asyncio.sleep(0)
