"""
The way of a call through one job: load, parse, fold, plan, send, commit.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from msgspec import Struct, field
from msgspec.structs import replace

from service.logs.events import LogEvent
from service.store.call_update import CallUpdate
from service.store.calls import FirstRead, LoadedCall
from service.store.connection import Store
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from service.store.keys import split_ref
from service.store.rate_limit.grants import Grant, GrantStatus
from workers.calls.fold import Call, fold
from workers.delivery.difference import OUTCOME_FIELD
from workers.delivery.plan_types import BuildrWrite
from workers.delivery.send import Sender
from workers.jobs.job_log import log_folded, record_with_news
from workers.jobs.job_run import JobRun, begin_run
from workers.jobs.observer import JobObserver
from workers.jobs.parse_messages import parse_messages
from workers.jobs.planner import ClaimConflict, Planner, PlanResult
from workers.jobs.request_places import RequestPlaces
from workers.matching.continued_calls import load_whole

# Long enough for the other calls to commit what they have claimed.
CONTENDED_RETRY: Final = timedelta(seconds=1)
# So many requests are under way that another one soon ends.
NO_PLACE_RETRY: Final = timedelta(seconds=0.5)
log = structlog.get_logger(__name__)


class Runner(Struct, frozen=True, kw_only=True):
    """
    Everything that a job needs, made once per worker and account.

    `hold_s` is the longest that one request to Buildr may take, in seconds; `on_budget` is called
    when permits may be free or wanted.
    """

    store: Store
    planner: Planner
    sender: Sender
    hold_s: float
    worker_id: str
    clock: Callable[[], datetime]
    # Kicks the pump of this process: without it, a permit that is free again would be noticed only
    # at the pump's next turn, up to a second later.
    on_budget: Callable[[], None]
    places: RequestPlaces
    observer: JobObserver = field(default_factory=JobObserver)

    async def run(self, ref: str, first_read: FirstRead | None = None) -> bool:
        """
        Run the job of one call, of which `first_read` was read when it was taken; returns whether
        its last commit has ended the job. Raises redis-py's errors; nothing is lost then, and the
        call is to be run again.
        """
        if first_read:
            loaded = self.store.calls.read(ref, first_read)
        else:
            # Registers the run in the same step. A worker that dies after it leaves an entry in
            # `running`, from which another worker's sweep sees whose call to run again.
            loaded = await self.store.calls.begin(ref, worker_id=self.worker_id)
        # An alarm without a call: the call has expired or was forgotten since the alarm was set.
        # The script checks again that no message has arrived meanwhile, whose alarm would be lost.
        if not loaded.is_known:
            await self.store.schedule.clear(ref)
            return False
        run = await self._parse(loaded)
        structlog.contextvars.bind_contextvars(message_id=run.record.message_id)
        # All messages were ignored or unreadable. They are committed all the same, to take them off
        # the pending list; the call stays open without an alarm until its next message.
        if not run.events:
            record = run.record.with_reason("no readable message yet")
            return await self._commit(run.update(record), ends_job=True)
        whole = await load_whole(self.store, ref, run.events, is_registered=True)
        run = run.within(whole)
        call = fold(whole.events)
        log_folded(run, call)
        self.observer.folded(run, call, loaded.unread.messages, self.clock())
        try:
            result = await self.planner.plan(
                run.record,
                call,
                link_text=loaded.link_text,
                replay_request=loaded.stored.replay_request,
                part_reason=whole.part_reason,
            )
        except ClaimConflict:
            # Nothing is committed, so that the messages are still pending and are parsed again.
            # That is harmless, since the events of a message are always the same.
            await self.store.schedule.postpone(ref, at=self.clock() + CONTENDED_RETRY)
            return False
        record = record_with_news(run, result.plan, self.clock())
        self.observer.planned(record)
        if result.plan.sending is None:
            if result.certain is not None:
                await self.store.expected.take(record.ref, result.certain)
            return await self._commit_without_sending(run, record, result, call)
        return await self._send(run, record, result, result.plan.sending, call)

    async def _parse(self, loaded: LoadedCall) -> JobRun:
        # A pending message has no expiry. One without a body, deleted in Redis by hand, is not
        # among them, and is taken off the list with the others, or the call would run for ever.
        unread = loaded.unread
        messages = unread.messages
        parsed = parse_messages(messages, clock=self.clock)
        if unread.damaged_ids:
            source, source_call_id = split_ref(loaded.stored.record.ref)
            parsed = parsed.with_damaged(
                unread.damaged_ids, source=source, source_call_id=source_call_id, at=self.clock()
            )
        # Counted before the commit: a run that is repeated counts them twice. A counter for
        # operators is not worth a place in the script.
        for source in parsed.ignored:
            await self.store.counters.add("ignored", source)
        return begin_run(loaded, messages, parsed)

    async def _commit_without_sending(
        self, run: JobRun, record: DeliveryRecord, result: PlanResult, call: Call
    ) -> bool:
        plan = result.plan
        is_new_state = record.state is not run.before.state
        is_left_alone = record.state is DeliveryState.LEFT_ALONE
        if is_new_state and is_left_alone and not plan.is_dry_run:
            await self.store.counters.add(f"left_alone.{record.result}", call.source)
        if is_new_state and record.state is DeliveryState.SETTLING and plan.due_at is not None:
            wait_s = (plan.due_at - self.clock()).total_seconds()
            log.info(LogEvent.DELIVERY_WAITING, reason="settle", retry_in_s=round(wait_s, 3))
        update = replace(
            run.update(record, plan.due_at, result=result),
            # Its position in a lane, and a permit that the pump has granted meanwhile, are of no
            # use to a call that writes nothing; kept, the permit would take a request from the
            # others for five seconds.
            leaves_lane=True,
            awaits_names=plan.awaits_names,
        )
        if plan.failed_cause is not None:
            log.error(LogEvent.JOB_FAILED, reason=plan.failed_cause, error=record.reason)
            update = run.with_failed_call(update, call, cause=plan.failed_cause, at=self.clock())
        is_written = await self._commit(update, ends_job=True)
        event = LogEvent.JOB_SKIPPED
        if record.state is DeliveryState.DELIVERED:
            event = LogEvent.JOB_DONE
        log.info(event, reason=record.reason)
        return is_written

    async def _send(
        self,
        run: JobRun,
        record: DeliveryRecord,
        result: PlanResult,
        write: BuildrWrite,
        call: Call,
    ) -> bool:
        """Send a write if the rate limit has a permit for it; else the call waits in its lane."""
        # Asked before the commit and not after it: most calls of a backlog get no permit, and then
        # one commit instead of two is all they cost.
        asking = self.store.permits.ask(
            record.ref,
            lane=write.lane,
            since=write.since,
            cost=write.requests,
            hold_s=self.hold_s,
        )
        if result.certain is None:
            grant = await asking
        else:
            # In one round trip: neither needs the other's answer.
            noting = self.store.expected.take(record.ref, result.certain)
            grant, _ = await asyncio.gather(asking, noting)
        if grant.verdict is not GrantStatus.GRANTED:
            return await self._commit_waiting(run, record, result, write, grant)
        # Only now, since most jobs of a backlog need no place. Committing nothing is safe: the
        # messages are still pending.
        if not await self.places.enter():
            await self.store.permits.release(grant, sent=0)
            self.on_budget()
            await self.store.schedule.postpone(record.ref, at=self.clock() + NO_PLACE_RETRY)
            log.info(LogEvent.JOB_SKIPPED, reason="too many requests of this worker are under way")
            return False
        try:
            return await self._send_granted(run, record, result, write, call=call, grant=grant)
        finally:
            self.places.leave()

    async def _send_granted(
        self,
        run: JobRun,
        record: DeliveryRecord,
        result: PlanResult,
        write: BuildrWrite,
        *,
        call: Call,
        grant: Grant,
    ) -> bool:
        outcome_id = write.fields.get(OUTCOME_FIELD)
        if outcome_id is not None:
            record = record.with_unconfirmed(write.buildr_call_id, outcome_id)
        if not write.is_recheck:
            unanswered = record.unanswered.begun(
                self.clock(), write.buildr_call_id, write.fields, write.note_block
            )
            record = replace(record, unanswered=unanswered)
        # Committed before the request: a worker that dies in the middle leaves an alarm behind, and
        # the messages of this run are not parsed again.
        due_at = self.clock() + timedelta(seconds=self.hold_s)
        # Another run has written since the load: this plan may be out of date. The permits go back
        # unused, so that they do not count for a window.
        if not await self._commit(run.update(record, due_at, result=result)):
            await self.store.permits.release(grant, sent=0)
            return False
        # No commit on an exception: the state stays `waiting` with the alarm of the commit before,
        # and the next run writes again what is in doubt. A PATCH with the same fields is harmless.
        try:
            sent = await self.sender.send(record, write, grant)
        finally:
            self.on_budget()
        update = run.update_after_sending(sent, result)
        if sent.failed_cause is not None:
            update = run.with_failed_call(update, call, cause=sent.failed_cause, at=self.clock())
        # If this one is refused, the call was taken over while the request was under way. The other
        # run writes the same outcome again, since it found it unconfirmed.
        is_written = await self._commit(update, ends_job=True)
        if sent.record.state is DeliveryState.DELIVERED and not write.is_recheck:
            self.observer.delivered(run, sent.record, call, self.clock())
            log.info(
                LogEvent.JOB_DONE,
                buildr_call_id=sent.record.buildr_call_id,
                outcome=sent.record.outcome,
                attempt=run.before.attempts + 1,
            )
        return is_written

    async def _commit_waiting(
        self,
        run: JobRun,
        record: DeliveryRecord,
        result: PlanResult,
        write: BuildrWrite,
        grant: Grant,
    ) -> bool:
        """No permit yet: the pump wakes a call that is in a lane, any other is run again later."""
        due_at = None
        # Another job of this call holds permits, because arq has started two of them, or one died
        # in the middle of a request. They expire by themselves at that time.
        if grant.verdict is not GrantStatus.WAITS:
            due_at = self.clock() + timedelta(seconds=grant.wait_s)
        # Once per wait: with a long backlog, a call that is woken and has to wait again would fill
        # the log and push the older entries out of its history.
        if run.before.state is not DeliveryState.WAITING and not write.is_recheck:
            log.info(
                LogEvent.DELIVERY_WAITING,
                reason="outage" if grant.is_away else "budget",
                lane=write.lane.value,
                retry_in_s=round(grant.wait_s, 3),
                buildr_call_id=write.buildr_call_id,
            )
            detail = f"in the lane {write.lane.value}"
            record = record.with_history(self.clock(), "waits for its turn", detail)
        if grant.is_away and not write.is_recheck:
            record = record.with_reason("waits until Buildr is back; see: buildr-calls status")
        is_written = await self._commit(run.update(record, due_at, result=result), ends_job=True)
        self.on_budget()
        return is_written

    async def _commit(self, update: CallUpdate, *, ends_job: bool = False) -> bool:
        is_written = await self.store.calls.commit(
            update, worker_id=self.worker_id, ends_job=ends_job
        )
        if not is_written:
            log.info(LogEvent.JOB_SKIPPED, reason="another run has written meanwhile")
            # The other run may have ended without this run's messages: they are still pending, and
            # need one more run now.
            await self.store.schedule.postpone(update.record.ref, at=self.clock())
        return is_written
