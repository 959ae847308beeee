"""
Announcements of due jobs: a channel on which the scripts say that a job is due, or is soon.

Nothing is stored by it, and an announcement may be lost at any time: who listens looks into the
queue by itself too.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

# A connection that was cut without a trace shows by a PING that nobody answers.
SILENCE_S: Final = 10.0
ANSWER_S: Final = 3.0


class Announcements(Struct, frozen=True):
    """Listens on the channel of one account."""

    redis: Redis
    channel: str

    async def listen(self, on_announcement: Callable[[], None]) -> None:
        """
        Call `on_announcement` for each one until cancelled, and once when listening has begun.

        Raises redis-py's errors, `NoPermissionError` where the user may not read the channel.
        """
        async with self.redis.pubsub() as subscription:
            await subscription.subscribe(self.channel)
            timeout_s = SILENCE_S
            while True:
                message = await subscription.get_message(timeout=timeout_s)
                if message is None:
                    if timeout_s == ANSWER_S:
                        raise RedisConnectionError("no answer to a PING")
                    await subscription.ping()
                    timeout_s = ANSWER_S
                    continue
                timeout_s = SILENCE_S
                # Also the confirmation of the subscription, at the begin and after a reconnect:
                # what was announced before it was missed.
                if message["type"] != "pong":
                    on_announcement()
