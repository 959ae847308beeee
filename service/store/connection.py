"""
The connection to Redis, and the records that live behind it.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, Self

from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import QueueUnavailable
from service.settings import Settings
from service.store import script_calls
from service.store.alerts import AlertRecords
from service.store.announcements import Announcements
from service.store.append_only_file import AppendOnlyFile
from service.store.backfill import Backfill
from service.store.call_ids import CallIds
from service.store.call_indexing import CallIndexing
from service.store.call_listing import CallListing
from service.store.call_search import CallSearch
from service.store.call_update import Retention
from service.store.calls import Calls
from service.store.confirmation import Confirmation
from service.store.console import ConsoleRecords
from service.store.contact_queue import ContactQueue
from service.store.continuations import Continuations
from service.store.counters import Counters
from service.store.dial_tokens import DialTokens
from service.store.durability import Durability
from service.store.erasure import Erasure
from service.store.expected_calls import ExpectedCalls
from service.store.failed import FailedStore
from service.store.figures import Figures
from service.store.identity import Identity
from service.store.keys import Keys
from service.store.links import Links
from service.store.messages import Messages
from service.store.outcomes import Outcomes
from service.store.phone_book import PhoneBook
from service.store.rate_limit.backlog import Backlog, read_backlog
from service.store.rate_limit.permits import Permits
from service.store.redis_client import Client, typed
from service.store.redis_pool import open_pool
from service.store.redis_trouble import REDIS_ERRORS, classify_redis_error
from service.store.refused import Refused
from service.store.schedule import Schedule
from service.store.script_connection import ScriptConnections
from service.store.script_runner import Scripts, no_skew
from service.store.source_activity import SourceActivity
from service.store.subscriptions import Upkeep
from service.store.token_box import TokenBox
from service.store.tokens import Tokens
from service.store.workers import Workers

Role = Literal["receiver", "worker", "cli"]
DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
# Shorter than the probes of load balancers and supervisors, which wait for the answer.
PING_TIMEOUT_S: Final = 1.0


def connect(settings: Settings, *, role: Role) -> Redis:
    """
    A client whose pool suits its role.

    The receiver fails fast, since its senders wait; a worker outlives a Redis that is away for some
    seconds.
    """
    # A batch uses one connection at a time: the rest is for handshakes, counters and admin
    # requests.
    max_connections = 8
    timeout_s = 2
    # Once, at once: it covers a connection that Redis has closed while it was idle.
    retry = Retry(NoBackoff(), 1)
    if role == "worker":
        # For the jobs, arq's own loop and the periodic tasks, all at once.
        max_connections = 32
        timeout_s = 5
        # 40 waits of at most a second each: it outlasts a restart of Redis.
        retry = Retry(ExponentialBackoff(cap=1, base=0.05), 40)
    # Not arq's `RedisSettings.from_dsn`, which leaves passwords URL-encoded and drops the query.
    pool = open_pool(
        settings.redis_dsn,
        max_connections=max_connections,
        wait_s=timeout_s,
        # redis-py has none by default: a Redis that hangs would hold up the caller for ever.
        socket_timeout=timeout_s,
        socket_connect_timeout=1,
        # A PING before a connection that was idle for so long is used: firewalls drop such ones
        # silently.
        health_check_interval=15,
        retry=retry,
        # OSError is not a redis-py error, and without it a refused or reset connection is not
        # retried, whatever `retry` is.
        retry_on_error=[RedisConnectionError, RedisTimeoutError, OSError],
    )
    if role == "worker":
        # Loaded for workers alone: commands and the receiver need nothing of arq.
        from service.store.worker_client import open_batching_client

        return open_batching_client(pool, queue_name=Keys(settings.account).queue)
    return Redis(connection_pool=pool)


class Store(Struct, frozen=True, kw_only=True):
    """All records of one account."""

    # What to do about a Redis that can lose what it has confirmed: see REDIS_DURABILITY.
    durability: Durability
    redis: Client
    # The same client as `redis`, in redis-py's type; that of a worker is one of arq's.
    pool: Redis
    keys: Keys
    scripts: Scripts
    # For the receiver's batches.
    script_connections: ScriptConnections
    messages: Messages
    calls: Calls
    links: Links
    continuations: Continuations
    expected: ExpectedCalls
    phone_book: PhoneBook
    contact_queue: ContactQueue
    failed: FailedStore
    erasure: Erasure
    schedule: Schedule
    announcements: Announcements
    permits: Permits
    tokens: Tokens
    file: AppendOnlyFile
    outcomes: Outcomes
    counters: Counters
    source_activity: SourceActivity
    upkeep: Upkeep
    backfill: Backfill
    workers: Workers
    search: CallSearch
    listing: CallListing
    refused: Refused
    indexing: CallIndexing
    console: ConsoleRecords
    identity: Identity
    dial_tokens: DialTokens
    alerts: AlertRecords
    figures: Figures

    @property
    def account(self) -> str:
        """The account's name."""
        return self.keys.account

    @property
    def queue_name(self) -> str:
        """The name of the account's queue, for arq's worker."""
        return self.keys.queue

    async def ping(self) -> None:
        """Raises `QueueUnavailable` with the reason if Redis does not answer within a second."""
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await self.redis.ping()
        except (*REDIS_ERRORS, OSError) as err:
            raise QueueUnavailable(classify_redis_error(err).text) from err

    async def check_writes(self) -> None:
        """
        Raises `QueueUnavailable` with the reason, in words for people, if Redis does not take
        writes, or does not answer within a second.
        """
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                # To put nothing at the place of a key that does not exist writes nothing, and is
                # refused where a write would be: full, read-only, loading, disk, permissions.
                await self.redis.setrange(self.keys.named("nothing"), 0, b"")
        except REDIS_ERRORS as err:
            raise QueueUnavailable(classify_redis_error(err).text) from err

    async def time(self) -> datetime:
        """
        The present by the clock that all share: that of Redis, which never goes back here; in UTC.
        Raises redis-py's errors.
        """
        now_ms = await self.scripts.run(script_calls.now())
        return datetime.fromtimestamp(now_ms / 1000, UTC)

    async def server_time(self) -> datetime:
        """
        What the clock of Redis shows, in UTC; unlike `time` it notes nothing. Raises redis-py's
        errors.
        """
        seconds, micros = await self.redis.time()
        return datetime.fromtimestamp(seconds + micros / 1_000_000, UTC)

    async def backlog(self) -> Backlog:
        """What waits for Buildr, read at one moment. Raises redis-py's errors."""
        return await read_backlog(self.redis, self.keys, skew_ms=self.scripts.skew_ms())

    async def close(self) -> None:
        """Close every connection, also where the task is cancelled meanwhile."""
        try:
            await self.script_connections.close()
        finally:
            await self.redis.aclose(close_connection_pool=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def open_store(settings: Settings, *, role: Role, skew_ms: Callable[[], int] = no_skew) -> Store:
    """
    Open the records of the account that the settings name; connects on first use. `skew_ms` is for
    simulations, see `Scripts`.
    """
    # One pool for each account and role: what blocks one account must not take the connections of
    # another.
    pool = connect(settings, role=role)
    redis = typed(pool)
    keys = Keys(settings.account)
    scripts = Scripts(redis, keys, skew_ms, Confirmation.of(settings.redis_wait))
    keep_calls_ms = int(settings.keep_calls_d * DAY_MS)
    call_ids = CallIds(redis, keys, scripts)
    return Store(
        durability=settings.redis_durability,
        redis=redis,
        pool=pool,
        keys=keys,
        scripts=scripts,
        script_connections=ScriptConnections(scripts, pool.connection_pool),
        messages=Messages(redis, keys),
        calls=Calls(redis, keys, scripts, _retention(settings)),
        continuations=Continuations(redis, keys, keep_calls_ms),
        links=Links(redis, keys, scripts, int(settings.keep_links_d * DAY_MS)),
        expected=ExpectedCalls(
            redis,
            keys,
            scripts,
            int(settings.keep_links_d * DAY_MS),
            int(settings.expected_call_h * HOUR_MS),
        ),
        phone_book=PhoneBook(redis, keys, scripts),
        contact_queue=ContactQueue(redis, keys),
        erasure=Erasure(redis, keys, scripts, keep_calls_ms),
        failed=FailedStore(redis, keys, scripts, keep_calls_ms),
        schedule=Schedule(redis, keys, scripts),
        announcements=Announcements(pool, keys.alarms),
        permits=Permits(redis, keys, scripts, _budgets(settings), settings.newest_first_above),
        tokens=Tokens(redis, keys, scripts, box=_token_box(settings)),
        file=AppendOnlyFile(redis),
        outcomes=Outcomes(redis, keys, scripts),
        counters=Counters(redis, keys),
        source_activity=SourceActivity(redis, keys, scripts),
        upkeep=Upkeep(redis, keys, scripts),
        backfill=Backfill(redis, keys, scripts, int(settings.dedupe_h * HOUR_MS)),
        workers=Workers(redis, keys, scripts),
        search=CallSearch(redis, keys),
        listing=CallListing(redis, keys, call_ids),
        refused=Refused(redis, keys),
        indexing=CallIndexing(redis, keys, scripts, call_ids, keep_calls_ms),
        console=ConsoleRecords(redis, keys),
        identity=Identity(redis, keys),
        dial_tokens=DialTokens(redis, keys),
        alerts=AlertRecords(redis, keys, scripts),
        figures=Figures(redis, keys),
    )


def _budgets(settings: Settings) -> tuple[tuple[int, int], ...]:
    """Requests and ms of each budget."""
    return tuple(
        (budget.requests, int(budget.window_s * 1000)) for budget in settings.buildr_budgets
    )


def _retention(settings: Settings) -> Retention:
    return Retention(
        messages_ms=int(settings.keep_messages_d * DAY_MS),
        failed_ms=int(settings.keep_failed_d * DAY_MS),
        calls_ms=int(settings.keep_calls_d * DAY_MS),
        open_ms=int(max(settings.keep_open_d, settings.keep_calls_d) * DAY_MS),
    )


def _token_box(settings: Settings) -> TokenBox:
    secret = settings.buildr_client_secret
    return TokenBox.of(None if secret is None else secret.get_secret_value())
