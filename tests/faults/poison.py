"""
Rubbish in Redis: jobs that are none of ours or damaged, records that cannot be read.
"""

import time
from typing import Final

from tests.faults.stage import Stage

QUEUE: Final = "bc:default:queue"
DAMAGED: Final = {"rec": "\ufffd{", "e:m1": "\x00", "v": "?"}
DUE: Final = "bc:default:due"
RUBBISH: Final = (b"", b"\x00\xff\xfe", b"not a job", b"\x80\x04N.", b"{", b"[]", b"x" * 100_000)


async def poison_queue(stage: Stage) -> None:
    """Put foreign and damaged jobs into arq's queue."""
    async with stage.redis.connect() as client:
        now_ms = int(time.time() * 1000)
        for number in range(20):
            job_id = f"foreign-{number}"
            if number % 2:
                job_id = f"default|twilio:none-{number}"
            body = RUBBISH[number % len(RUBBISH)]
            if body:
                await client.set(f"arq:job:{job_id}", body)
            await client.zadd(QUEUE, {job_id: now_ms})


async def damage_records(stage: Stage) -> None:
    """
    Put calls into Redis that nobody can read, and alarms for calls that do not exist; the calls of
    the trial stay as they are.
    """
    async with stage.redis.connect() as client:
        for number in range(20):
            ref = f"twilio:CAdamaged{number}"
            key = f"bc:default:call:{ref}"
            if number % 3 == 0:
                await client.set(key, b"a text where a hash belongs")
            else:
                for field, value in DAMAGED.items():
                    await stage.redis.command("HSET", key, field, value)
            await client.zadd(DUE, {ref: int(time.time() * 1000)})
