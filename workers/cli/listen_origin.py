"""
The running instance whose messages `listen` reads: where its Redis is, and its messages in order.

Nothing is written there, and none of its other settings is read: no secret of a vendor or of Buildr
comes here.
"""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

import click
from msgspec import Struct, field

from service.settings import Settings, load_installation
from service.settings.env_file import ENV_FILE, with_env_file
from service.store.call_feed import CallFeed
from service.store.connection import Store
from service.store.messages import Message
from workers.cli.failure import SettingsFault
from workers.cli.init_values import has_password

# What says where the records are.
READ: Final = ("REDIS_URL", "REDIS_URL_FILE", "ACCOUNT", "DATA_DIR")
ACCOUNT: Final = "ACCOUNT"
# Calls of a page.
PAGE: Final = 200
# Ids of messages that were sent; a call that goes on brings its earlier ones once more.
MOST_SENT: Final = 200_000


def read_origin(text: str, account: str | None) -> Settings:
    """
    Where the records of an instance are, from its file of variables, the folder in which its `run`
    runs, or the address of its Redis. Raises click's usage error, and `SettingsFault`.
    """
    variables: dict[str, str] = {}
    folder = Path.cwd()
    if "://" in text:
        if has_password(text):
            raise click.UsageError(
                "--forward-from: arguments are seen by others on this machine; put REDIS_URL into "
                "a file, and name the file"
            )
        variables["REDIS_URL"] = text
    else:
        path = Path(text)
        if not path.exists():
            raise click.UsageError(f"--forward-from: there is no {path}")
        folder = path
        if not path.is_dir():
            folder = path.parent
            variables = _read_file(path)
    if account is not None:
        variables[ACCOUNT] = account
    # Local: the private Redis of a `run` is found by what it has left in its folder.
    return load_installation(variables, cwd=folder.resolve(), is_local=True).default


def _read_file(path: Path) -> dict[str, str]:
    faults: list[str] = []
    values = with_env_file({ENV_FILE: path.name}, path.parent, faults)
    if faults:
        raise SettingsFault(faults)
    return {name: values[name] for name in READ if name in values}


class OriginCall(Struct, frozen=True, kw_only=True):
    """
    A call there: its messages that were not sent yet, in the order in which they came, and which
    Buildr call it is, if that is known.
    """

    ref: str
    messages: tuple[Message, ...]
    buildr_call_id: str | None = None


class Origin(Struct, kw_only=True):
    """
    The calls of an instance from `at_ms` on (ms since the epoch), each message once. Of a call that
    had a message since then all are read that are still kept. `lost` counts those that are not.
    """

    store: Store
    at_ms: int
    sent: dict[str, None] = field(default_factory=dict)
    lost: int = 0

    async def calls(self) -> AsyncIterator[OriginCall]:
        """Those that had messages since the last time. Raises redis-py's errors."""
        feed = CallFeed(self.store.redis, self.store.keys)
        while True:
            places = await feed.since(self.at_ms, limit=PAGE)
            for _, ref in places:
                call = await self._read(feed, ref)
                if call.messages:
                    yield call
            if places:
                # A full page of one moment would be read for ever.
                is_stuck = len(places) == PAGE and places[-1][0] == self.at_ms
                self.at_ms = places[-1][0] + int(is_stuck)
            if len(places) < PAGE:
                return

    def remember(self, message_ids: Iterable[str]) -> None:
        """These were sent, or cannot be."""
        self.sent.update(dict.fromkeys(message_ids))
        while len(self.sent) > MOST_SENT:
            del self.sent[next(iter(self.sent))]

    async def _read(self, feed: CallFeed, ref: str) -> OriginCall:
        ids = [id_ for id_ in await feed.message_ids(ref) if id_ not in self.sent]
        stored = await self.store.messages.get_many(ids)
        lost = [id_ for id_ in ids if id_ not in stored]
        self.lost += len(lost)
        self.remember(lost)
        records = await feed.records([ref])
        buildr_call_ids = [record.buildr_call_id for record in records]
        return OriginCall(
            ref=ref,
            messages=tuple(sorted(stored.values(), key=lambda message: message.received_at)),
            buildr_call_id=next(iter(buildr_call_ids), None),
        )
