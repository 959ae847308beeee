"""
Whether a Redis keeps what it has confirmed: its append-only file, its eviction policy, its role.
"""

from typing import Final, Literal

from msgspec import Struct
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.store.confirmation import Confirmation
from service.store.redis_client import Client
from service.store.redis_trouble import RedisTrouble, classify_redis_error

Durability = Literal["require", "warn", "off"]
# Every acknowledged message is on disk, and none is ever evicted. arq's job bodies have a TTL, so
# that the `volatile-*` policies delete them too, without any error.
SAFE_CONFIG: Final = {
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "appendfsync": "always",
}
_LOSSES: Final = {
    "maxmemory-policy": "it deletes calls when it is full, without an error",
    "appendonly": "a restart of Redis loses everything since its last snapshot",
    "appendfsync": "a power cut can lose the last second of what was answered 2xx",
}


class DurabilityFault(Struct, frozen=True, kw_only=True):
    """
    One way in which Redis can lose what it has confirmed, or refuses it; `text` is for people.

    `is_fatal`: messages are lost or refused while nothing fails at all. `is_grave`: more than a
    second's messages can be lost.
    """

    text: str
    is_fatal: bool = False
    is_grave: bool = False


NO_WAITAOF: Final = DurabilityFault(
    text=(
        "REDIS_WAIT=aof needs WAITAOF, which Redis has from 7.2 on, so that every message is "
        "refused: take a newer Redis, or take aof out of REDIS_WAIT"
    ),
    is_fatal=True,
    is_grave=True,
)
NO_FILE_TO_WAIT_FOR: Final = DurabilityFault(
    text=(
        "REDIS_WAIT=aof waits for an append-only file, and Redis has none, so that every message "
        "is refused: set appendonly to yes, or take aof out of REDIS_WAIT"
    ),
    is_fatal=True,
    is_grave=True,
)


class DurabilityReport(Struct, frozen=True, kw_only=True):
    """
    What Redis says of itself; `is_readable` is False for a server that forbids CONFIG, as managed
    services do.
    """

    is_replica: bool
    is_readable: bool
    faults: tuple[DurabilityFault, ...] = ()

    def fatal(self, durability: Durability) -> tuple[DurabilityFault, ...]:
        """What keeps a process from starting, by `REDIS_DURABILITY`."""
        is_required = durability == "require"
        return tuple(fault for fault in self.faults if fault.is_fatal or is_required)

    def to_report(self, durability: Durability) -> tuple[DurabilityFault, ...]:
        """The others, which an operator has to know."""
        if durability == "off":
            return ()
        fatal = self.fatal(durability)
        return tuple(fault for fault in self.faults if fault not in fatal)


async def read_durability(redis: Client, confirmation: Confirmation) -> DurabilityReport:
    """
    Ask Redis, also for what `confirmation` needs. Raises redis-py's errors if it does not answer.
    """
    is_replica = await _is_replica(redis)
    cannot_confirm: tuple[DurabilityFault, ...] = ()
    if confirmation.on_disk and not await _knows_waitaof(redis):
        cannot_confirm = (NO_WAITAOF,)
    try:
        config = await redis.config_get(*SAFE_CONFIG)
    except RedisError as err:
        if _is_no_answer(err):
            raise
        text = (
            "Redis does not show its configuration: see in its console that it writes an "
            "append-only file and evicts nothing"
        )
        return DurabilityReport(
            is_replica=is_replica,
            is_readable=False,
            faults=(*cannot_confirm, DurabilityFault(text=text)),
        )
    if confirmation.on_disk and config.get("appendonly") == "no":
        cannot_confirm = (*cannot_confirm, NO_FILE_TO_WAIT_FOR)
    faults = tuple(
        _fault(name, config[name])
        for name, value in SAFE_CONFIG.items()
        # A setting that the server does not name counts as right: forks of Redis lack some.
        if config.get(name, value) != value and not _is_moot(name, config)
    )
    return DurabilityReport(
        is_replica=is_replica, is_readable=True, faults=(*cannot_confirm, *faults)
    )


async def _knows_waitaof(redis: Client) -> bool:
    """Redis has it from 7.2 on. Where it cannot be asked, the first message shows it."""
    try:
        descriptions = await redis.execute_command("COMMAND INFO", "WAITAOF")
    except RedisError as err:
        if _is_no_answer(err):
            raise
        return True
    return descriptions != [None]


async def _is_replica(redis: Client) -> bool:
    try:
        replication = await redis.info("replication")
    except RedisError as err:
        if _is_no_answer(err):
            raise
        return False
    return replication.get("role") == "slave"


def _is_no_answer(err: RedisError) -> bool:
    # A connection is not open before the database of its address is chosen.
    is_not_open = classify_redis_error(err) is RedisTrouble.DATABASE
    return is_not_open or isinstance(err, RedisConnectionError | RedisTimeoutError)


def _fault(name: str, value: str) -> DurabilityFault:
    return DurabilityFault(
        text=f"Redis has {name} {value}, so that {_LOSSES[name]}: set it to {SAFE_CONFIG[name]}",
        is_fatal=name == "maxmemory-policy",
        is_grave=name != "appendfsync",
    )


def _is_moot(name: str, config: dict[str, str]) -> bool:
    """How often a file is written does not matter where there is none."""
    return name == "appendfsync" and config.get("appendonly") == "no"
