"""
The components of one account's worker, built from its settings.
"""

import random
from datetime import timedelta

from msgspec import Struct

from service.settings import Settings
from service.store.connection import Store
from service.store.figures import Tally
from workers.backfill import LOGS
from workers.backfill.asking import askable_sources
from workers.buildr import BuildrClient
from workers.clock import SharedClock
from workers.delivery.failure_policy import FailurePolicy, GiveUpPolicy
from workers.delivery.outcome_catalog import OutcomeCatalog
from workers.delivery.plan_types import Timing
from workers.delivery.send import Sender
from workers.jobs.end_requests import EndRequests
from workers.jobs.observer import JobObserver
from workers.jobs.planner import Planner
from workers.jobs.request_places import RequestPlaces
from workers.jobs.runner import Runner
from workers.maintenance.pump import Pump
from workers.maintenance.redis_watch import RedisWatch
from workers.matching.customer_numbers import MatchingRules
from workers.process.timing import hold_s


class WorkerComponents(Struct, frozen=True, kw_only=True):
    """The components of one account's worker."""

    settings: Settings
    store: Store
    client: BuildrClient
    clock: SharedClock
    names: OutcomeCatalog
    pump: Pump
    runner: Runner
    tally: Tally


def build_worker(
    settings: Settings,
    store: Store,
    client: BuildrClient,
    *,
    clock: SharedClock | None = None,
    worker_id: str = "alone",
    watch: RedisWatch | None = None,
    observer: JobObserver | None = None,
) -> WorkerComponents:
    """
    Build the components; `worker_id` names the worker to others, `observer` counts
    and traces, `clock` is for tests.
    """
    # One clock for all parts: what one writes into a record, another compares with its own time.
    clock = clock or SharedClock()
    observer = observer or JobObserver()
    names = OutcomeCatalog(store, clock)
    pump = Pump(store, worker_id, watch or RedisWatch())
    config = settings.outcome_config
    planner = Planner(
        store=store,
        names=names,
        config=config,
        rules=MatchingRules.of(settings),
        timing=Timing.of(settings),
        protects_hand_edits=settings.protect_hand_edits,
        clock=clock,
        end_requests=EndRequests(
            store=store, clock=clock, sources=frozenset(askable_sources(settings, LOGS))
        ),
    )
    runner = Runner(
        store=store,
        planner=planner,
        sender=_sender(settings, store, client, clock),
        hold_s=hold_s(settings),
        worker_id=worker_id,
        clock=clock,
        # Only the pump of this process. Those of others notice at their own next turn.
        on_budget=pump.kick,
        places=RequestPlaces(settings.worker_jobs),
        observer=observer,
    )
    return WorkerComponents(
        settings=settings,
        store=store,
        client=client,
        clock=clock,
        names=names,
        pump=pump,
        runner=runner,
        tally=observer.tally,
    )


def _sender(settings: Settings, store: Store, client: BuildrClient, clock: SharedClock) -> Sender:
    return Sender(
        client=client,
        permits=store.permits,
        failure_policy=FailurePolicy(
            limits=GiveUpPolicy(
                max_attempts=settings.max_attempts, max_age=timedelta(hours=settings.max_age_h)
            ),
            rng=random.SystemRandom(),
        ),
        request_timeout_s=settings.buildr_timeout_s,
        hold_s=hold_s(settings),
        notes_mode=settings.outcome_config.notes.mode,
        clock=clock,
    )
