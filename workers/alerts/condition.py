"""
What alerts are made of: the facts of an account, and something that is wrong by them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from service.store.alerts import SpoolNote
from service.store.refused import RefusedRequests
from workers.alerts.outcome_shift import OutcomeDays
from workers.delivery.intake_status import SourceStatus
from workers.delivery.status import AccountStatus

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0


class Condition(Struct, frozen=True, kw_only=True):
    """
    One thing that is wrong. `subject` tells those of one kind apart: a source, a cause, an outcome.

    `text` is one sentence without secrets and numbers, `command` shows more. It is an alert after
    `after_s`, and over when it was gone for `clear_s`.
    """

    kind: str
    subject: str = ""
    text: str
    command: str
    after_s: float
    clear_s: float

    @property
    def key(self) -> str:
        """Its name among those of an account."""
        if not self.subject:
            return self.kind
        return f"{self.kind}:{self.subject}"


class AlertFacts(Struct, frozen=True, kw_only=True):
    """
    What is known of an account at one moment (UTC), all from Redis.

    `unknown_values` are those of vendors that no table has, by source and value, with when they
    last came.
    `receiver_at` is when a receiver last ran, None if that is not known; `spools` is what waits on
    the disks of receivers, by machine.
    """

    at: datetime
    status: AccountStatus
    sources: Sequence[SourceStatus] = ()
    causes: Mapping[str, int] = field(default_factory=dict)
    refused: Sequence[RefusedRequests] = ()
    unknown_values: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    outcome_days: OutcomeDays = field(default_factory=dict)
    receiver_at: datetime | None = None
    spools: Mapping[str, SpoolNote] = field(default_factory=dict)
