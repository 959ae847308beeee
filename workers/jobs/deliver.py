"""
The one job as arq knows it: `deliver` runs a call.

The job's argument is the call's name. Everything else is in Redis, so that running a job twice,
late or on another machine has the same end.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import structlog

from service.errors import FailureCause
from service.logs.events import LogEvent
from service.store.calls import DamagedRecord
from service.store.failed import Failed
from service.store.redis_trouble import REDIS_ERRORS, RedisTrouble, classify_redis_error
from workers.jobs.runner import Runner

# Redis is usually back within seconds. The worker's pool has waited for it before this error came
# (see `connect`), so that a shorter time would only add load to its start.
REDIS_RETRY: Final = timedelta(seconds=2)

log = structlog.get_logger(__name__)


# The arguments are written by `arm` in `common.lua`. They are ids only: arq puts a job's arguments
# into its log lines and its results, where nothing of a call's content may be.
async def deliver(ctx: dict[str, Any], account: str, ref: str) -> bool:
    """
    The function that arq calls; returns whether the job has ended itself in Redis.

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
            with runner.observer.job(ref):
                async with asyncio.timeout(ctx.get("limit_s")):
                    return await runner.run(ref, ctx.get("first_read"))
        # redis-py lets errors of sockets and of `asyncio.timeout` through beside its own. A Redis
        # that is away is expected, and is a line without a traceback.
        except (*REDIS_ERRORS, OSError) as err:
            trouble = classify_redis_error(err)
            if trouble is RedisTrouble.REFUSED:
                await _after_refusal(runner, ref, err)
                return False
            log.warning(
                LogEvent.JOB_RETRY_SCHEDULED,
                reason="redis_away",
                error=trouble.text,
                retry_in_s=REDIS_RETRY.total_seconds(),
            )
            await _postpone(runner, ref, REDIS_RETRY)
        except DamagedRecord as err:
            await _set_aside(runner, err.ref, str(err))
            # Another call, from which this one takes in events.
            if err.ref != ref:
                await _postpone(runner, ref, REDIS_RETRY)
        # Any other exception is a bug. arq would take it as the end of the job after one try,
        # whatever `max_tries` is. CancelledError is no Exception: it passes, and the job stays in
        # its queue.
        except Exception as err:
            pause = await _postpone_broken(runner, ref)
            log.exception(LogEvent.JOB_BROKEN, retry_in_s=pause and pause.total_seconds())
            if pause is None:
                await _give_up_broken(runner, ref, err)
        finally:
            structlog.contextvars.unbind_contextvars("message_id")
        return False


async def _postpone(runner: Runner, ref: str, retry: timedelta) -> None:
    # Without Redis the alarm that is set already has to do.
    with suppress(*REDIS_ERRORS, OSError):
        await runner.store.schedule.postpone(ref, at=runner.clock() + retry)


async def _postpone_broken(runner: Runner, ref: str) -> timedelta | None:
    """Run a call with a bug again later: a mended version may be deployed. None after a day."""
    # Without Redis the alarm that is set already has to do.
    with suppress(*REDIS_ERRORS, OSError):
        return await runner.store.schedule.postpone_broken(ref)
    return REDIS_RETRY


async def _after_refusal(runner: Runner, ref: str, err: Exception) -> None:
    """
    Redis is well, and a key is of another type than it should be, or holds something else than a
    script can use: one of this call, which is set aside, or one that many calls share. These must
    not be set aside all: they wait as after a bug, until somebody has mended it.
    """
    if await runner.store.calls.is_damaged(ref):
        await _set_aside(runner, ref, str(err))
        return
    pause = await _postpone_broken(runner, ref)
    log.error(
        LogEvent.JOB_BROKEN,
        reason=RedisTrouble.REFUSED.value,
        error=str(err),
        retry_in_s=pause and pause.total_seconds(),
    )
    if pause is None:
        await _give_up_broken(runner, ref, err)


async def _give_up_broken(runner: Runner, ref: str, bug: Exception) -> None:
    # Only the type: the text of an error may quote a message.
    detail = f"each run for a day has met a bug ({type(bug).__name__}); see the log"
    await _set_aside(runner, ref, detail, cause=FailureCause.INTERNAL_ERROR)


async def _set_aside(
    runner: Runner, ref: str, detail: str, *, cause: FailureCause = FailureCause.DAMAGED_RECORD
) -> None:
    """
    File a call as failed, once, whose record cannot be used: its replay makes the call anew from
    its messages.
    """
    source, _, source_call_id = ref.partition(":")
    entry = Failed(
        entry_id=ref,
        kind="call",
        source=source,
        source_call_id=source_call_id,
        cause=cause,
        detail=detail,
        failed_at=runner.clock(),
    )
    with suppress(*REDIS_ERRORS, OSError):
        await runner.store.calls.set_aside(entry)
        log.error(LogEvent.JOB_FAILED, reason=entry.cause, error=detail)
