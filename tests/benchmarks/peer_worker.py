"""
A worker as a plain arq project has it: a job for each event, which writes to Buildr at once and
asks arq to try again after a 429.

Run by the benchmark as processes of their own. `PEER_REDIS` and `PEER_API` say where,
`PEER_MAX_TRIES` how often arq tries a job.
"""

import os
from typing import Any

import httpx
from arq import Retry
from arq.connections import RedisSettings
from arq.worker import Worker

from workers.sandbox.config import READY_TOKEN


async def patch_event(ctx: dict[str, Any], buildr_call_id: str, fields: dict[str, str]) -> None:
    """Write what an event says."""
    http: httpx.AsyncClient = ctx["http"]
    answer = await http.patch(f"/calls/{buildr_call_id}", json={"call": fields})
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise Retry(defer=float(answer.headers["X-Rate-Limited-For"]))
    answer.raise_for_status()


async def open_http(ctx: dict[str, Any]) -> None:
    """Have one client for all jobs."""
    ctx["http"] = httpx.AsyncClient(
        base_url=os.environ["PEER_API"],
        headers={"Authorization": f"Bearer {READY_TOKEN}"},
        timeout=10,
    )


async def close_http(ctx: dict[str, Any]) -> None:
    """Close it."""
    await ctx["http"].aclose()


def main() -> None:
    """Work until reported to stop; everything but the number of tries is arq's default."""
    Worker(
        functions=[patch_event],
        redis_settings=RedisSettings.from_dsn(os.environ["PEER_REDIS"]),
        on_startup=open_http,
        on_shutdown=close_http,
        max_tries=int(os.environ["PEER_MAX_TRIES"]),
    ).run()


if __name__ == "__main__":
    main()
