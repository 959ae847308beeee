"""
What a scenario is made of: traffic, a layout of processes, a fault at set times, and what is
required.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tests.faults.calls import MIXED
from tests.faults.traffic import Traffic

if TYPE_CHECKING:
    from tests.faults.stage import Stage
    from tests.faults.traffic import SentMessage

Action = Callable[["Stage"], Awaitable[None]]
USUAL: Final = Traffic(calls=400, over_s=20, kinds=MIXED)


class Need(StrEnum):
    """What a machine may lack."""

    CLOCKS = "libfaketime (Debian: apt-get install libfaketime)"
    TMPFS = "the right to mount a tmpfs (root)"


class Via(StrEnum):
    """A connection that a proxy of the trial may stand in."""

    REDIS = "redis"
    BUILDR = "buildr"
    RECEIVER = "receiver"


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A step of a fault: so many seconds after the first message, this is done."""

    at_s: float
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """
    Which processes there are, and which connections go through a proxy.

    `holds_socket`: the receiver inherits its listening socket, as from systemd. `processes` is for
    `serve --processes`, None for a plain `serve`. Clocks are ahead by so many seconds.
    `sandbox_limit` are requests and seconds of Buildr's limit, None for none.
    """

    receivers: int = 1
    workers: int = 1
    via: frozenset[Via] = frozenset()
    holds_socket: bool = False
    processes: int | None = None
    serve_options: tuple[str, ...] = ()
    receiver_clock_s: float = 0
    worker_clock_s: float = 0
    redis_has_own_clock: bool = False
    redis_on_small_disk: bool = False
    has_sentinel: bool = False
    has_stuck_log: bool = False
    max_files: int | None = None
    starts_without_redis: bool = False
    sandbox_limit: tuple[int, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """Messages that this fault takes from their senders by its nature, and why."""

    reason: str
    covers: Callable[["SentMessage", "Stage"], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    One trial.

    The fault ends with the last of `steps`, which may take up to `last_step_s`. Everything
    acknowledged must be in Buildr `recovery_s` after the fault and the traffic have ended; then it
    is read once more after `linger_s`. `resume_within_s` is from the end of the fault to the first
    delivery. `is_faultless`: nothing is broken, so that no write may be repeated. `refusals` are
    requests that Buildr may refuse by its limit. `is_alone`: the figures depend on how long a
    process takes to start, or on all that the machine can do. `max_memory_mb` is for each receiver.
    `may_exit`: this fault leaves a process no other way than to end.
    """

    name: str
    title: str
    traffic: Traffic = USUAL
    steps: tuple[At, ...] = ()
    layout: Layout = Layout()
    settings: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    needs: tuple[Need, ...] = ()
    last_step_s: float = 0
    recovery_s: float = 60
    linger_s: float = 2
    resume_within_s: float | None = None
    is_faultless: bool = False
    refusals: int = 0
    max_memory_mb: int | None = None
    may_exit: bool = False
    exemption: Exemption | None = None
    is_alone: bool = False
