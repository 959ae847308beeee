"""
Facts of an account for tests: all is well, but for what a test says.
"""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from service.store.rate_limit.lanes import Lane
from workers.alerts.condition import AlertFacts, Condition
from workers.delivery.intake_status import SourceStatus
from workers.delivery.status import AccountStatus, LaneStatus

NOW: Final = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
WELL: Final = AccountStatus(
    account="default",
    workers_alive=1,
    unread_messages=0,
    oldest_message_age_s=None,
    scheduled_calls=0,
    waiting_calls=0,
    lanes=(LaneStatus(lane=Lane.FINAL, calls=0, oldest_age_s=None),),
    clears_at=NOW,
    budget_uses=(),
    allowance=None,
    blocked_s=0,
    outage=None,
    redis_clock_set_back_s=0,
    redis_clock_agrees_in_s=0,
    unmatched=0,
    stalled=0,
    failed=0,
    silent_sources=(),
    counters={},
)


def facts(*, status: dict[str, Any] | None = None, **others: Any) -> AlertFacts:
    """The facts; `status` are fields of the account's status."""
    return AlertFacts(at=NOW, status=replace(WELL, **(status or {})), **others)


def source(**fields: Any) -> SourceStatus:
    """A source that is on."""
    values: dict[str, Any] = {
        "slug": "twilio",
        "title": "Twilio",
        "last_at": NOW,
        "handshake_at": None,
        "silent_since": None,
        "subscription": None,
    }
    return SourceStatus(**(values | fields))


def condition(**fields: Any) -> Condition:
    """Something that is wrong."""
    values: dict[str, Any] = {
        "kind": "no_worker",
        "text": "No worker is running.",
        "command": "check",
        "after_s": 120,
        "clear_s": 60,
    }
    return Condition(**(values | fields))
