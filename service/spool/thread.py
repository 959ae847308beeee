"""
The thread that alone touches the spool's files: what waits for it is done in one transaction, so
that many messages share one sync of the disk (group commit).
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import structlog
from msgspec import Struct

from service.logs.events import LogEvent
from service.spool.failures import FileFailed
from service.spool.files import SpoolFiles
from service.spool.messages import Depth, SpoolUnavailable

Result = TypeVar("Result")

MAX_WAITING: Final = 4000
MAX_WAITING_BYTES: Final = 32 * 1024 * 1024
# A disk that hangs must not keep the process from ending.
CLOSE_TIMEOUT_S: Final = 5.0
STOPPED: Final = "the service is stopping"

log = structlog.get_logger(__name__)


class _Job(Struct, frozen=True):
    """One thing to do with the files, and where its result goes."""

    run: Callable[[SpoolFiles], object]
    # Of whatever type `run` returns.
    future: "asyncio.Future[Any]"


class SpoolThread:
    """
    Does jobs in order, each group of them as one transaction, and answers in the event loop.

    `on_commit` is called in the loop with the depths after each group.
    """

    def __init__(self, files: SpoolFiles, on_commit: Callable[[Mapping[str, Depth]], None]) -> None:
        self._files = files
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._jobs: list[_Job] = []
        self._waiting_bytes = 0
        self._has_jobs = threading.Condition()
        self._is_closing = False
        # A daemon: a disk that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def submit(
        self, run: Callable[[SpoolFiles], Result], *, size: int = 0
    ) -> "asyncio.Future[Result]":
        """
        Have something done. The future has its result once it is on disk, or `SpoolUnavailable`.

        Raises `SpoolUnavailable` if too much waits already, or the thread has ended.
        """
        future: asyncio.Future[Result] = self._loop.create_future()
        with self._has_jobs:
            if self._is_closing:
                raise SpoolUnavailable(STOPPED)
            is_full = len(self._jobs) >= MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES
            # What makes room is never refused.
            if size and is_full:
                raise SpoolUnavailable("too many messages wait for it")
            self._waiting_bytes += size
            self._jobs.append(_Job(run, future))
            self._has_jobs.notify()
        return future

    async def close(self) -> None:
        """Do what waits, close the files, and end."""
        with self._has_jobs:
            self._is_closing = True
            self._has_jobs.notify()
        await asyncio.to_thread(self._thread.join, CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while jobs := self._next_jobs():
            outcomes = self._do(jobs)
            depths = self._depths()
            # The loop may have ended meanwhile: then nobody waits any more.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._answer, jobs, outcomes, depths)
        try:
            self._files.close()
        except Exception:
            log.exception(LogEvent.SPOOL_BROKEN)

    def _next_jobs(self) -> list[_Job]:
        """All that waits; empty at the end."""
        with self._has_jobs:
            while not self._jobs and not self._is_closing:
                self._has_jobs.wait()
            jobs = self._jobs
            self._jobs = []
            self._waiting_bytes = 0
            return jobs

    def _do(self, jobs: list[_Job]) -> list[object]:
        """The result of each job or its error, after one commit for all."""
        for _ in range(2):
            try:
                outcomes = [self._outcome(job) for job in jobs]
                self._files.commit()
            except FileFailed as err:
                self._files.rollback()
                error = SpoolUnavailable(str(err))
                # Once more with another file: the first one was put aside.
                if not self._files.put_aside(err):
                    break
            # Whatever it is, those who wait must be answered, and the thread must go on.
            except Exception as err:
                log.exception(LogEvent.SPOOL_BROKEN)
                self._files.rollback()
                error = SpoolUnavailable(type(err).__name__)
                break
            else:
                return outcomes
        return [error] * len(jobs)

    def _outcome(self, job: _Job) -> object:
        try:
            return job.run(self._files)
        except (SpoolUnavailable, OSError) as err:
            return err

    def _depths(self) -> Mapping[str, Depth]:
        try:
            return self._files.depths()
        except FileFailed:
            return {}

    def _answer(
        self, jobs: list[_Job], outcomes: list[object], depths: Mapping[str, Depth]
    ) -> None:
        self._on_commit(depths)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.future.done():
                continue
            if isinstance(outcome, OSError):
                job.future.set_exception(SpoolUnavailable(outcome.strerror or "no access"))
            elif isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
