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

# A bug fails the same way at once, so this is slow enough not to flood the log with tracebacks, and
# short enough that a call goes on soon after a fixed version is deployed.
BROKEN_RETRY: Final = timedelta(seconds=60)
# Redis is usually back within seconds. The worker's pool has waited for it before this error came
# (see `connect`), so that a shorter time would only add load to its start.
REDIS_RETRY: Final = timedelta(seconds=2)

log = structlog.get_logger(__name__)


# The arguments are written by `arm` in `common.lua`. They are ids only: arq puts a job's arguments
# into its log lines and its results, where nothing of a call's content may be.
async def deliver(ctx: dict[str, Any], account: str, ref: str) -> None:
    """
    The function that arq calls.

    It never raises, since arq would drop the job for good, and never sleeps: when the call is to be
    run next is stored with the rest.
    """
    runner: Runner = ctx["runner"]
    # At the first colon: the name of a source has none, while a vendor's call id may have one.
    source, _, source_call_id = ref.partition(":")
    with structlog.contextvars.bound_contextvars(
        source=source, source_call_id=source_call_id, job_id=ctx.get("job_id"), account=account
    ):
        try:
            await runner.run(ref)
        # redis-py lets errors of sockets and of `asyncio.timeout` through beside its own. A Redis
        # that is away is expected, and is a line without a traceback.
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
        # Any other exception is a bug, or stored data that cannot be read. arq would take it as the
        # end of the job after one try, whatever `max_tries` is. CancelledError is no Exception: it
        # passes, and arq then leaves the job in its queue.
        except Exception:
            log.exception(LogEvent.JOB_BROKEN, retry_in_s=BROKEN_RETRY.total_seconds())
            with suppress(RedisError, OSError, TimeoutError):
                await runner.store.schedule.postpone(ref, at=runner.clock() + BROKEN_RETRY)
        finally:
            structlog.contextvars.unbind_contextvars("message_id")


async def rearm(ctx: dict[str, Any]) -> None:
    """
    Arq's hook after each job: sets the alarm again if the call is to be run again.

    It never raises, since that would end the worker.
    """
    runner: Runner = ctx["runner"]
    # The job's id is `account|ref`, see `job_id` in `common.lua`: arq's keys hold no name of a
    # queue, so that the account has to be in the id.
    _, _, ref = str(ctx["job_id"]).partition("|")
    # arq refuses an id while its job runs, and deletes the job's keys when it ends. So what came
    # during the job could set no alarm. This hook runs after arq has deleted them, and closes that
    # gap. If it is skipped, the sweep finds the call some seconds later.
    try:
        await runner.store.schedule.rearm(ref, worker_id=runner.worker_id)
    except (RedisError, OSError, TimeoutError) as err:
        log.warning(LogEvent.JOB_ALARM_LOST, reason=type(err).__name__, job_id=ctx["job_id"])
