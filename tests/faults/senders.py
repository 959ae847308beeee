"""
How telephony systems send: how long each waits for an answer, and when it sends again.

The figures are those of the vendors' documentation, see docs/telephony/. A sender that never sends
again is the strictest: every message has one chance.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.faults.http_client import Ending

AT_ONCE: Final = 0.05
FAILURES: Final = (
    Ending.REFUSED_4XX,
    Ending.REFUSED_5XX,
    Ending.NOT_CONNECTED,
    Ending.BROKEN,
    Ending.TOO_LATE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderModel:
    """
    One way to send.

    `response_timeout_s` is for one attempt; `retry_delays_s` are the pauses before the next one,
    by how the last one ended; `total_s` bounds all attempts together.
    """

    name: str
    response_timeout_s: float
    retry_delays_s: Mapping[Ending, tuple[float, ...]] = field(default_factory=dict)
    total_s: float | None = None

    @property
    def retries(self) -> bool:
        """Whether it ever sends a message again."""
        return any(self.retry_delays_s.values())

    def delay_s(self, ending: Ending, attempt: int) -> float | None:
        """The pause after attempt number `attempt` (from 0), None if there is no other one."""
        delays = self.retry_delays_s.get(ending, ())
        if attempt >= len(delays):
            return None
        return delays[attempt]


def _after(delays_s: tuple[float, ...], *endings: Ending) -> dict[Ending, tuple[float, ...]]:
    return dict.fromkeys(endings, delays_s)


# A status callback of Twilio's without a connection override, less its one retry of a failed
# connection: nothing is ever sent again.
TWILIO_ONCE: Final = SenderModel(name="Twilio, never again", response_timeout_s=15)
# As it is by default: `#rc=1&rp=ct`.
TWILIO: Final = SenderModel(
    name="Twilio",
    response_timeout_s=15,
    retry_delays_s=_after((AT_ONCE,), Ending.NOT_CONNECTED),
    total_s=15,
)
# `#rc=5&rp=all&rt=4000`: all attempts fall into 15 seconds. The pauses are not documented.
TWILIO_RETRYING: Final = SenderModel(
    name="Twilio, rc=5 rp=all",
    response_timeout_s=4,
    retry_delays_s=_after((0.5, 1, 2, 4, 4), *FAILURES),
    total_s=15,
)
# 5xx after 2, 4 and 8 s; up to two quick retries of a failed connection; nothing after a 4xx.
DIALPAD: Final = SenderModel(
    name="Dialpad",
    response_timeout_s=5,
    retry_delays_s=_after((2, 4, 8), Ending.REFUSED_5XX, Ending.TOO_LATE)
    | _after((AT_ONCE, AT_ONCE), Ending.NOT_CONNECTED, Ending.BROKEN),
)
DIALPAD_ONCE: Final = SenderModel(name="Dialpad, never again", response_timeout_s=5)
# The schedule of the Standard Webhooks specification as far as a trial lasts: the next retry would
# come after 5 minutes.
STANDARD: Final = SenderModel(
    name="Standard Webhooks", response_timeout_s=15, retry_delays_s=_after((5,), *FAILURES)
)
STANDARD_ONCE: Final = SenderModel(name="Standard Webhooks, never again", response_timeout_s=15)
# The first retry comes after 5 minutes, which is beyond a trial: within it, one chance.
ZOOM: Final = SenderModel(name="Zoom", response_timeout_s=3)
# Retries at 2, 4 and 8 s whatever happens: how a sender behaves that has been set up with care.
RETRYING: Final = SenderModel(
    name="any, at 2, 4, 8 s", response_timeout_s=15, retry_delays_s=_after((2, 4, 8), *FAILURES)
)
