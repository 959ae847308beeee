"""
Where Redis is, and how long it keeps what.
"""

from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from pydantic import Field

from service.settings.parts import SettingsPart
from service.settings.redis_socket import socket_path
from service.settings.types import RedisUrl

SPOOL_FOLDER: Final = "spool"
OFF: Final = "off"
ACCOUNT_NAME: Final = "^[a-z0-9_-]{1,40}$"
WAIT: Final = r"^(aof|replicas:[1-9]|aof, ?replicas:[1-9])?$"


class RedisSettings(SettingsPart):
    """The settings of Redis and of the records in it; days unless a name says otherwise."""

    data_dir: Path = Field(
        Path(".data"),
        description="Where `run` keeps its private Redis, and the receiver its spool.",
    )
    account: str = Field(
        "default",
        pattern=ACCOUNT_NAME,
        description="Name of this installation in Redis; those that share one need different ones.",
    )
    redis_url: RedisUrl | None = Field(
        None,
        description=(
            "Redis, like redis://:password@host:6379/0, or rediss, unix, redis+sentinel. Not set: "
            "the private Redis of `run`."
        ),
    )
    redis_durability: Literal["require", "warn", "off"] = Field(
        "warn",
        description=(
            "What to do about a Redis that can lose what it has confirmed: require (refuse to "
            "start), warn, or off."
        ),
    )
    redis_wait: str = Field(
        "",
        pattern=WAIT,
        description=(
            "What Redis has to confirm before a message is answered 2xx: aof (on its disk; Redis "
            "7.2), replicas:N, or both with a comma."
        ),
    )
    spool_dir: str | None = Field(
        None,
        description=(
            "Folder on a disk that lasts, in which the receiver keeps messages while Redis does "
            "not take them; `off`: nowhere."
        ),
    )
    spool_max_mb: int = Field(
        512, ge=1, le=1_000_000, description="Megabytes of messages that one receiver spools."
    )
    accept_timeout_s: float = Field(
        3,
        gt=0,
        le=14,
        description=(
            "Seconds that Redis has for keeping a message; at most 1 where there is a spool, which "
            "then takes it, else 503."
        ),
    )
    max_pending: int = Field(
        200_000,
        ge=1,
        description=(
            "Messages waiting to be read by a worker beyond which webhooks are spooled, or "
            "answered 503 without a spool."
        ),
    )
    # The longest schedule of retries, that of Standard Webhooks, takes 76 hours.
    dedupe_h: float = Field(
        96,
        ge=72,
        le=876_000,
        description="Hours for which a repeated message is recognised, at least.",
    )
    keep_messages_d: float = Field(
        7, gt=0, le=36_500, description="Days for which a raw message is kept after it was handled."
    )
    keep_failed_d: float = Field(
        30,
        gt=0,
        le=36_500,
        description="Days for which the raw messages of a failed call are kept.",
    )
    keep_calls_d: float = Field(
        30, gt=0, le=36_500, description="Days for which a call is kept after its last event."
    )
    keep_open_d: float = Field(
        365,
        gt=0,
        le=36_500,
        description=(
            "Days after which a call that waits for Buildr is dropped, and an entry of what has "
            "failed."
        ),
    )
    keep_links_d: float = Field(90, gt=0, le=36_500, description="Days for which a link is kept.")

    @property
    def spool_folder(self) -> Path | None:
        """The folder of the spool; None if it is off."""
        if self.spool_dir is None:
            return self.data_dir / SPOOL_FOLDER
        if self.spool_dir.lower() == OFF:
            return None
        return Path(self.spool_dir)

    @property
    def redis_dsn(self) -> str:
        """The URL of Redis: the one that is set, else the socket of the private Redis."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        return f"unix://{quote(str(socket_path(self.data_dir)))}"
