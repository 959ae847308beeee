"""
The one job as arq knows it: `deliver` runs a call, `rearm` sets its alarm again afterwards.

The job's argument is the call's name. Everything else is in Redis, so that running a job twice,
late or on another machine has the same end.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from service.logs.events import LogEvent
from workers.jobs.runner import Runner

BROKEN_RETRY: Final = timedelta(seconds=60)
REDIS_RETRY: Final = timedelta(seconds=2)

log = structlog.get_logger(__name__)


async def deliver(ctx: dict[str, Any], account: str, ref: str) -> None:
    """
    The function that arq calls.

    It never raises, since arq would drop the job for good, and never sleeps: when the call is to be
    run next is stored with the rest.
    """
    runner: Runner = ctx["runner"]
    source, _, source_call_id = ref.partition(":")
    with structlog.contextvars.bound_contextvars(
        source=source, source_call_id=source_call_id, job_id=ctx.get("job_id"), account=account
    ):
        try:
            await runner.run(ref)
        except (RedisError, OSError, TimeoutError) as err:
            log.warning(
                LogEvent.JOB_RETRY_SCHEDULED,
                reason="redis_away",
                error=type(err).__name__,
                retry_in_s=REDIS_RETRY.total_seconds(),
            )
            # Without Redis the alarm that is set already has to do.
            with suppress(RedisError, OSError, TimeoutError):
                await runner.store.schedule.postpone(ref, at=runner.clock() + REDIS_RETRY)
        except Exception:
            log.exception(LogEvent.JOB_BROKEN, retry_in_s=BROKEN_RETRY.total_seconds())
            await runner.store.schedule.postpone(ref, at=runner.clock() + BROKEN_RETRY)
        finally:
            structlog.contextvars.unbind_contextvars("message_id")


async def rearm(ctx: dict[str, Any]) -> None:
    """
    Arq's hook after each job: sets the alarm again if the call is to be run again.

    It never raises, since that would end the worker.
    """
    runner: Runner = ctx["runner"]
    _, _, ref = str(ctx["job_id"]).partition("|")
    try:
        await runner.store.schedule.rearm(ref, worker_id=runner.worker_id)
    except (RedisError, OSError, TimeoutError) as err:
        log.warning(LogEvent.JOB_ALARM_LOST, reason=type(err).__name__, job_id=ctx["job_id"])
