"""
What a job logs about its call, and the news that it adds to the call's history.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import structlog

from service.logs.events import LogEvent
from service.store.delivery_record import DeliveryRecord
from service.store.delivery_state import DeliveryState
from workers.calls.fold import Call
from workers.delivery.plan_types import Plan
from workers.jobs.job_run import JobRun

# Logged when a call comes to the state.
LOGGED_STATES: Final[Mapping[DeliveryState, LogEvent]] = {
    DeliveryState.UNMATCHED: LogEvent.CALL_UNMATCHED,
    DeliveryState.STALLED: LogEvent.CALL_STALLED,
    DeliveryState.LEFT_ALONE: LogEvent.CALL_LEFT_ALONE,
}

log = structlog.get_logger(__name__)


def record_with_news(run: JobRun, plan: Plan, now: datetime) -> DeliveryRecord:
    """Log what a plan has changed about a call, and add it to the history."""
    match_reason = ""
    if plan.match is not None:
        match_reason = plan.match.reason
        new_id = plan.match.buildr_call_id
        if new_id is not None and new_id != run.record.buildr_call_id:
            log.info(LogEvent.CALL_MATCHED, buildr_call_id=new_id, reason=plan.match.how)
    state = plan.record.state
    if state in LOGGED_STATES and state is not run.record.state:
        log_state = log.warning if state is DeliveryState.STALLED else log.info
        log_state(LOGGED_STATES[state], reason=plan.record.reason)
    return plan.record.with_news_since(run.record, now, match_reason=match_reason)


def log_folded(run: JobRun, call: Call) -> None:
    """Log a call's result where this run has parsed a message of it."""
    if not run.parsed.events:
        return
    result = None
    if call.result is not None:
        result = call.result.value
    log.info(
        LogEvent.CALL_FOLDED,
        result=result,
        is_final=call.is_final,
        stage=call.stage.value,
        event_count=len(run.events),
        unknown_values=list(call.unknown_values) or None,
    )
