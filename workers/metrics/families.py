"""
The facts of one account as Prometheus metrics.

Each has the label `account`; all other labels have values from tables of ours, so that no sender
can make new series. docs/metrics.md lists them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Final

from msgspec import Struct, field
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from service.store.figures import BOUNDS, Histogram
from service.store.refused import RefusedRequests
from workers.delivery.intake_status import SourceStatus, SpoolDepth
from workers.delivery.status import AccountStatus

PREFIX: Final = "buildr_calls_"
WINDOWS: Final[Mapping[str, int]] = {"1h": 1, "24h": 24}


class AccountFacts(Struct, frozen=True, kw_only=True):
    """
    What is known of an account at one moment (UTC). All but the spool is None or empty while Redis
    does not answer. `refused` are those of the last hour.
    """

    account: str
    at: datetime
    spool: SpoolDepth
    status: AccountStatus | None = None
    sources: Sequence[SourceStatus] = ()
    causes: Mapping[str, int] = field(default_factory=dict)
    refused: Sequence[RefusedRequests] = ()
    histograms: Mapping[tuple[str, str], Histogram] = field(default_factory=dict)


class Gauges:
    """Gathers values by the name of their metric, over all accounts."""

    def __init__(self) -> None:
        self._metrics: Final[dict[str, Metric]] = {}

    def add(self, name: str, text: str, value: float | None, **labels: str) -> None:
        """A value of a gauge; one that is None is left out."""
        # A made-up 0 would end an alert, and pull an average down.
        if value is None:
            return
        metric = self._metrics.get(name)
        if metric is None:
            metric = GaugeMetricFamily(PREFIX + name, text, labels=list(labels))
            self._metrics[name] = metric
        metric.add_sample(PREFIX + name, labels, float(value))

    def count(self, name: str, text: str, value: float, **labels: str) -> None:
        """A value of a counter."""
        metric = self._metrics.get(name)
        if metric is None:
            metric = CounterMetricFamily(PREFIX + name, text, labels=list(labels))
            self._metrics[name] = metric
        # The text format wants the suffix on the samples of a counter, and not on its name.
        metric.add_sample(f"{PREFIX}{name}_total", labels, float(value))

    def times(self, metric: str, text: str, facts: AccountFacts, *, label: str) -> None:
        """A histogram of times of an account, by the values of its `label`."""
        name = PREFIX + metric
        family = self._metrics.get(metric)
        if not isinstance(family, HistogramMetricFamily):
            family = HistogramMetricFamily(name, text, labels=["account", label])
            self._metrics[metric] = family
        bounds = [*map(floatToGoString, BOUNDS[metric]), "+Inf"]
        for (counted, value), histogram in facts.histograms.items():
            if counted == metric:
                # Stored is what falls into each bucket; Prometheus wants all up to each bound.
                buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
                family.add_metric([facts.account, value], buckets, histogram.sum_s)

    def metrics(self) -> list[Metric]:
        """All that was added."""
        return list(self._metrics.values())


def metrics_of(accounts: Sequence[AccountFacts], *, version: str) -> list[Metric]:
    """The metrics of all accounts."""
    gauges = Gauges()
    gauges.add("build_info", "The version that runs.", 1, version=version)
    for facts in accounts:
        # On this machine's disk: known without Redis, and worth most then.
        _add_spool(gauges, facts)
        gauges.add(
            "redis_up",
            "Whether Redis answered this scrape.",
            facts.status is not None,
            account=facts.account,
        )
        # The rest is in Redis. It is left out while that does not answer: an old value would look
        # like a present one.
        if facts.status is not None:
            _add_intake(gauges, facts.status)
            _add_delivery(gauges, facts.status)
            _add_calls(gauges, facts, facts.status)
            _add_sources(gauges, facts)
            _add_refused(gauges, facts)
            _add_times(gauges, facts)
    return gauges.metrics()


def _add_spool(gauges: Gauges, facts: AccountFacts) -> None:
    spool = facts.spool
    account = facts.account
    gauges.add(
        "spool_messages", "Messages on this machine's disk.", spool.messages, account=account
    )
    gauges.add(
        "spool_set_aside_messages",
        "Spooled messages that Redis refused.",
        spool.set_aside,
        account=account,
    )
    gauges.add(
        "spool_oldest_age_seconds",
        "Age of the oldest message in the spool; 0 without one.",
        spool.oldest_age_s or 0,
        account=account,
    )


def _add_intake(gauges: Gauges, status: AccountStatus) -> None:
    account = status.account
    gauges.add("workers", "Workers that are alive.", status.workers_alive, account=account)
    gauges.add(
        "unread_messages",
        "Messages that no worker has read.",
        status.unread_messages,
        account=account,
    )
    gauges.add(
        "unread_oldest_age_seconds",
        "Age of the oldest message that no worker has read; 0 without one.",
        status.oldest_message_age_s or 0,
        account=account,
    )
    gauges.add(
        "redis_clock_set_back_seconds",
        "By how much the clock of Redis was set back altogether.",
        status.redis_clock_set_back_s,
        account=account,
    )


def _add_delivery(gauges: Gauges, status: AccountStatus) -> None:
    account = status.account
    for lane in status.lanes:
        labels = {"account": account, "lane": lane.lane.value}
        gauges.add("waiting_calls", "Calls that wait for Buildr.", lane.calls, **labels)
        gauges.add(
            "waiting_oldest_age_seconds",
            "Age of the call that has waited longest in a lane; 0 without one.",
            lane.oldest_age_s or 0,
            **labels,
        )
    for use in status.budget_uses:
        # Budgets differ in their windows.
        labels = {"account": account, "window": f"{use.budget.window_s:g}s"}
        gauges.add("budget_used_requests", "Requests in the window.", use.used, **labels)
        gauges.add("budget_requests", "Requests that are allowed.", use.budget.requests, **labels)
    gauges.add(
        "blocked_seconds",
        "For how much longer Buildr has asked everybody to wait (429).",
        max(0.0, status.blocked_s),
        account=account,
    )
    gauges.add(
        "buildr_away",
        "Whether Buildr counts as away.",
        status.outage is not None,
        account=account,
    )
    # A moment and not a span: it stays the same from scrape to scrape while nothing changes.
    clears_at = None
    if status.clears_at is not None:
        clears_at = status.clears_at.timestamp()
    gauges.add(
        "backlog_clears_timestamp_seconds",
        "When all that waits will have been sent; absent while Buildr is away.",
        clears_at,
        account=account,
    )


def _add_calls(gauges: Gauges, facts: AccountFacts, status: AccountStatus) -> None:
    account = status.account
    gauges.add(
        "failed", "Failed calls and messages, kept for replay.", status.failed, account=account
    )
    for cause, number in facts.causes.items():
        gauges.add(
            "failed_by_cause",
            "The oldest 1000 failed entries by cause.",
            number,
            account=account,
            cause=cause,
        )
    gauges.add("unmatched_calls", "Calls without a Buildr call.", status.unmatched, account=account)
    gauges.add("stalled_calls", "Calls without an end.", status.stalled, account=account)
    for key, number in status.counters.items():
        # Keys of these counters in Redis: `ignored:twilio`.
        name, _, source = key.partition(":")
        gauges.count(
            "left_out",
            "What was left out on purpose.",
            number,
            account=account,
            reason=name,
            source=source,
        )


def _add_sources(gauges: Gauges, facts: AccountFacts) -> None:
    for source in facts.sources:
        labels = {"account": facts.account, "source": source.slug}
        last_at = None
        if source.last_at is not None:
            last_at = source.last_at.timestamp()
        gauges.add(
            "source_last_message_timestamp_seconds",
            "When the source last sent a message; absent if it never did.",
            last_at,
            **labels,
        )
        gauges.add(
            "source_silent",
            "Whether a source is silent in hours in which it always sent something.",
            source.silent_since is not None,
            **labels,
        )
        for window, hours in WINDOWS.items():
            gauges.add(
                "source_messages",
                "Messages in the last hours by the clock, the present one included.",
                source.messages(hours=hours, now=facts.at),
                **labels,
                window=window,
            )
        if source.subscription is not None:
            gauges.add(
                "subscription_state",
                "The state of a source's subscription at the vendor.",
                1,
                **labels,
                state=source.subscription,
            )


def _add_refused(gauges: Gauges, facts: AccountFacts) -> None:
    numbers: Counter[tuple[str, str]] = Counter()
    for entry in facts.refused:
        numbers[entry.source, str(entry.status_code or "none")] += entry.count
    for (source, status), number in numbers.items():
        gauges.add(
            "refused_requests",
            "Requests that were refused in the last hour, among the newest that are kept.",
            number,
            account=facts.account,
            source=source,
            status=status,
        )


def _add_times(gauges: Gauges, facts: AccountFacts) -> None:
    gauges.times(
        "delivery_seconds",
        "From a call's last message to Buildr's confirmation of its first outcome.",
        facts,
        label="source",
    )
    gauges.times(
        "answer_seconds",
        "From a genuine message's beginning at the receiver to its answer.",
        facts,
        label="source",
    )
    gauges.times(
        "buildr_request_seconds",
        "One request to Buildr; `none` is one without an answer.",
        facts,
        label="status",
    )
