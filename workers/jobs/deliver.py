"""
The one job: look at a call, read what is new, decide, and write to Buildr if that is due.

The job's argument is the call's name. Everything that it knows lies in Redis, so that running it
twice, late or on another machine gives the same end. It never raises and never sleeps: when the
call wants attention again is written down with the rest.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from service.errors import FailureCause
from service.store.calls import CallUpdate, DeliveryRecord, StoredCall
from service.store.connection import Store
from service.store.delivery_state import DeliveryState
from service.store.failed import Failed, to_text
from service.store.messages import Message
from service.store.rate_limit.grants import GrantStatus
from workers.calls.fold import Call, fold
from workers.delivery.plan import OUTCOME_FIELD, BuildrWrite, Plan
from workers.delivery.send import Sender, Sent
from workers.jobs.parse_messages import Reading, read
from workers.jobs.planner import ClaimConflict, Planner, PlanResult

BROKEN_RETRY: Final = timedelta(seconds=60)
REDIS_RETRY: Final = timedelta(seconds=2)
CONTENDED_RETRY: Final = timedelta(seconds=1)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
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
    on_budget: Callable[[], None]

    async def run(self, ref: str) -> None:
        """Look at one call. Raises redis-py's errors; the call is then looked at again."""
        stored, pending = await self.store.calls.begin(ref, worker_id=self.worker_id)
        if not pending and not stored.version:
            await self.store.schedule.clear(ref)
            return
        messages = await self.store.messages.get_many(pending)
        reading = read(list(messages.values()), clock=self.clock)
        for source in reading.ignored:
            await self.store.counters.add("ignored", source)
        work = _Work(
            stored=stored,
            pending=tuple(pending),
            reading=reading,
            messages=tuple(messages.values()),
        )
        structlog.contextvars.bind_contextvars(message_id=work.record(ref).message_id)
        events = work.events
        if not events:
            await self.store.calls.commit(
                work.change(replace(work.record(ref), reason="no readable message yet"), None)
            )
            return
        await self._decide(ref, work, fold(events))

    async def _decide(self, ref: str, work: "_Work", call: Call) -> None:
        before = work.record(ref)
        if work.reading.events:
            log.info(
                "call.folded",
                result=None if call.result is None else call.result.value,
                is_final=call.is_final,
                stage=call.stage.value,
                event_count=len(work.events),
                unknown_values=list(call.unknown_values) or None,
            )
        try:
            work.planned = await self.planner.plan(
                before, call, replay_request=work.stored.replay_request
            )
        except ClaimConflict:
            await self.store.schedule.postpone(ref, at=self.clock() + CONTENDED_RETRY)
            return
        plan = work.planned.plan
        record = self._tell(before, plan, call)
        if plan.sending is None:
            await self._settle(work, replace(plan, record=record), call)
        else:
            await self._send(work, record, plan.sending, call)

    def _tell(self, before: DeliveryRecord, plan: Plan, call: Call) -> DeliveryRecord:
        """Log what is new about a call and write it into its story."""
        record, now = plan.record, self.clock()
        if call.result is not None and call.result.value != before.result:
            record = record.with_history(now, "result", call.result.value)
        if (
            plan.match is not None
            and plan.match.buildr_call_id is not None
            and plan.match.buildr_call_id != before.buildr_call_id
        ):
            log.info(
                "call.matched", buildr_call_id=plan.match.buildr_call_id, reason=plan.match.how
            )
            record = record.with_history(now, "matched", plan.match.reason)
        if record.state is before.state:
            return record
        if record.state in (
            DeliveryState.UNMATCHED,
            DeliveryState.STALLED,
            DeliveryState.LEFT_ALONE,
        ):
            level = log.warning if record.state is DeliveryState.STALLED else log.info
            level(f"call.{record.state.value}", reason=record.reason)
        if record.state not in (DeliveryState.WAITING, DeliveryState.OPEN):
            record = record.with_history(now, record.state.value.replace("_", " "), record.reason)
        return record

    async def _settle(self, work: "_Work", plan: Plan, call: Call) -> None:
        """Write down that there is nothing to send now."""
        record = plan.record
        if (
            record.state is DeliveryState.LEFT_ALONE
            and work.stored.record.state is not DeliveryState.LEFT_ALONE
        ):
            await self.store.counters.add(f"left_alone.{record.result}", call.source)
        if (
            record.state is DeliveryState.SETTLING
            and work.stored.record.state is not DeliveryState.SETTLING
        ):
            wait_s = 0.0 if plan.due_at is None else (plan.due_at - self.clock()).total_seconds()
            log.info("delivery.waiting", reason="settle", retry_in_s=round(wait_s, 3))
        change = replace(
            work.change(record, plan.due_at), leaves_lane=True, awaits_names=plan.awaits_names
        )
        if plan.failed_cause is not None:
            log.error("job.failed", reason=plan.failed_cause, error=record.reason)
            change = work.filed(change, call, cause=plan.failed_cause, at=self.clock())
        await self._commit(change)
        log.info(
            "job.skipped" if record.state is not DeliveryState.DELIVERED else "job.done",
            reason=record.reason,
        )

    async def _send(
        self, work: "_Work", record: DeliveryRecord, sending: BuildrWrite, call: Call
    ) -> None:
        grant = await self.store.permits.ask(
            record.ref,
            lane=sending.lane,
            since=sending.since,
            cost=sending.requests,
            hold_s=self.hold_s,
        )
        if grant.verdict is not GrantStatus.GRANTED:
            due_at = (
                None
                if grant.verdict is GrantStatus.WAITS
                else self.clock() + timedelta(seconds=grant.wait_s)
            )
            if work.stored.record.state is not DeliveryState.WAITING:
                log.info(
                    "delivery.waiting",
                    reason="outage" if grant.is_away else "budget",
                    lane=sending.lane.value,
                    retry_in_s=round(grant.wait_s, 3),
                    buildr_call_id=sending.buildr_call_id,
                )
                record = record.with_history(
                    self.clock(), "waits for its turn", f"in the lane {sending.lane.value}"
                )
            if grant.is_away:
                record = replace(
                    record, reason="waits until Buildr is back; see: buildr-calls status"
                )
            await self._commit(work.change(record, due_at))
            self.on_budget()
            return
        sent_id = sending.fields.get(OUTCOME_FIELD)
        if sent_id is not None:
            doubts = dict.fromkeys((*record.in_doubt.get(sending.buildr_call_id, ()), sent_id))
            record = replace(
                record, in_doubt={**record.in_doubt, sending.buildr_call_id: tuple(doubts)}
            )
        # Written down before the request: a worker that dies in the middle leaves an alarm behind,
        # and what it read is not read again.
        if not await self._commit(
            work.change(record, self.clock() + timedelta(seconds=self.hold_s))
        ):
            await self.store.permits.release(grant, sent=0)
            return
        try:
            sent = await self.sender.send(record, sending, grant)
        finally:
            self.on_budget()
        await self._finish(work, sent, call)

    async def _finish(self, work: "_Work", sent: Sent, call: Call) -> None:
        link_text, claimed = (
            (None, None) if work.planned is None else (work.planned.link_text, work.planned.claimed)
        )
        change = CallUpdate(
            record=sent.record,
            version=work.stored.version + 1,
            due_at=sent.due_at,
            link_text=link_text,
            claimed=claimed,
        )
        if sent.failed_cause is not None:
            change = work.filed(change, call, cause=sent.failed_cause, at=self.clock())
        await self._commit(change)
        if sent.record.state is DeliveryState.DELIVERED:
            log.info(
                "job.done",
                buildr_call_id=sent.record.buildr_call_id,
                outcome=sent.record.outcome,
                attempt=work.stored.record.attempts + 1,
            )

    async def _commit(self, change: CallUpdate) -> bool:
        is_written = await self.store.calls.commit(change)
        if not is_written:
            log.info("job.skipped", reason="another run has written meanwhile")
            await self.store.schedule.postpone(change.record.ref, at=self.clock())
        return is_written


@dataclass(slots=True, kw_only=True)
class _Work:
    """What one run of the job has in hand; `planned` once it has decided."""

    stored: StoredCall
    pending: tuple[str, ...]
    reading: Reading
    messages: tuple[Message, ...]
    planned: PlanResult | None = None

    @property
    def events(self) -> frozenset[Any]:
        kept = {
            message_id: events
            for message_id, events in self.stored.events.items()
            if message_id not in self.reading.events
        }
        return frozenset(
            event for events in (*kept.values(), *self.reading.events.values()) for event in events
        )

    def record(self, ref: str) -> DeliveryRecord:
        record = replace(self.stored.record, ref=ref)
        if not self.messages:
            return record
        newest = max(self.messages, key=lambda message: message.received_at)
        first = min(message.received_at for message in self.messages)
        last = max(newest.received_at, record.last_received_at or newest.received_at)
        record = replace(
            record,
            first_received_at=min(first, record.first_received_at or first),
            last_received_at=last,
            message_id=newest.message_id,
        )
        for message in sorted(self.messages, key=lambda each: each.received_at):
            words = ", ".join(
                event.vendor_status or event.event_type.value
                for event in self.reading.events.get(message.message_id, ())
            )
            record = record.with_history(
                message.received_at, "received", f"{words or 'not readable'} ({message.message_id})"
            )
        return record

    def change(self, record: DeliveryRecord, due_at: datetime | None) -> CallUpdate:
        is_reopened = (
            self.stored.record.state is DeliveryState.FAILED
            and record.state is not DeliveryState.FAILED
        )
        read_now = tuple(
            message_id
            for message_id in self.reading.events
            if message_id not in self.reading.failed
        )
        return CallUpdate(
            record=record,
            version=self.stored.version,
            events=self.reading.texts,
            done=self.pending,
            failed=self.reading.failed,
            drop_failed=(*read_now, record.ref) if is_reopened else read_now,
            due_at=due_at,
            link_text=None if self.planned is None else self.planned.link_text,
            replay_request_text=self.stored.replay_request_text,
            numbers={} if self.planned is None else self.planned.numbers,
            started_at=None if self.planned is None else self.planned.started_at,
            claimed=None if self.planned is None else self.planned.claimed,
        )

    def filed(
        self, change: CallUpdate, call: Call, *, cause: FailureCause, at: datetime
    ) -> CallUpdate:
        """The change, with the call filed as failed."""
        record = change.record
        entry = Failed(
            entry_id=record.ref,
            kind="call",
            source=call.source,
            source_call_id=call.source_call_id,
            cause=cause,
            detail=record.reason,
            failed_at=at,
            message_ids=tuple(sorted({*self.stored.events, *self.reading.events})),
            buildr_call_id=record.buildr_call_id,
            attempts=record.attempts,
            answers=record.answers,
        )
        return replace(change, failed={**change.failed, record.ref: to_text(entry)})


async def deliver(ctx: dict[str, Any], account: str, ref: str) -> None:
    """The function that arq calls. Never raises: arq would drop the job for good."""
    runner: Runner = ctx["runner"]
    source, _, source_call_id = ref.partition(":")
    with structlog.contextvars.bound_contextvars(
        source=source, source_call_id=source_call_id, job_id=ctx.get("job_id"), account=account
    ):
        try:
            await runner.run(ref)
        except (RedisError, OSError, TimeoutError) as err:
            log.warning(
                "job.retry_scheduled",
                reason="redis_away",
                error=type(err).__name__,
                retry_in_s=REDIS_RETRY.total_seconds(),
            )
            with suppress(RedisError, OSError, TimeoutError):
                await runner.store.schedule.postpone(ref, at=runner.clock() + REDIS_RETRY)
        except Exception:
            log.exception("job.broken", retry_in_s=BROKEN_RETRY.total_seconds())
            await runner.store.schedule.postpone(ref, at=runner.clock() + BROKEN_RETRY)
        finally:
            structlog.contextvars.unbind_contextvars("message_id")


async def rearm(ctx: dict[str, Any]) -> None:
    """
    Arq's hook after each job: the alarm is set again if the call still wants attention. Never
    raises: that would end the worker.
    """
    runner: Runner = ctx["runner"]
    _, _, ref = str(ctx["job_id"]).partition("|")
    try:
        await runner.store.schedule.rearm(ref, worker_id=runner.worker_id)
    except (RedisError, OSError, TimeoutError) as err:
        log.warning("job.alarm_lost", reason=type(err).__name__, job_id=ctx["job_id"])
