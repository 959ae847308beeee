"""
`buildr-calls listen`: messages of a running instance, sent to a receiver on this machine.
"""

from asyncio import sleep as pause
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import click
import httpx

from service.errors import QueueUnavailable
from service.logs.control_characters import one_line
from service.settings import Settings
from service.sources import SOURCES
from service.sources.common.setting_checks import is_loopback
from service.store.call_feed import CallFeed
from service.store.connection import Store, open_store
from service.store.keys import split_ref
from service.store.links import Link, Links
from service.store.messages import Message
from service.store.redis_trouble import REDIS_ERRORS, classify_redis_error
from workers.cli.accounts import load_settings
from workers.cli.arguments import OneOf
from workers.cli.failure import Failure
from workers.cli.listen_forward import TIMEOUT_S, Forwarder, NotForwarded
from workers.cli.listen_origin import Origin, OriginCall, read_origin
from workers.cli.output import echo
from workers.cli.program import PROGRAM
from workers.cli.session import Age, redis_failure, run_reporting_redis_errors
from workers.simulator.requests import local_url

POLL_S: Final = 1.0
# 503: the receiver is busy, or without Redis.
BUSY: Final = 503


@click.command()
@click.option(
    "--forward-from",
    "origin",
    required=True,
    metavar="FILE|FOLDER|URL",
    help="ENV_FILE of the running instance, the folder of a `run`, or its Redis.",
)
@click.option("--from-account", metavar="NAME", help="Its account, if not that of the file.")
@click.option("--to", "target", help="The receiver; default: HOST and PORT of the settings here.")
@click.option("--since", type=Age(), help='Begin in the past, like 1h or "yesterday 14:00" (UTC).')
@click.option("--source", type=OneOf(sorted(SOURCES)), help="Only one source's messages.")
@click.option("--once", "is_once", is_flag=True, help="End with what is there.")
@click.option(
    "--allow-remote", "is_remote_allowed", is_flag=True, help="Send to another machine, too."
)
def listen(
    origin: str,
    from_account: str | None,
    target: str | None,
    since: datetime | None,
    source: str | None,
    *,
    is_once: bool,
    is_remote_allowed: bool,
) -> None:
    """
    Send what a running instance receives to a receiver on this machine, signed with its secrets.

    Try a changed outcome map or a new version on real traffic, without a public address. The
    instance is only read. Here only the sandbox is written to, which `run --any-call` starts.

    \b
    Examples:
      buildr-calls run --any-call                 # here, without Buildr credentials
      buildr-calls listen --forward-from production.env --since 1h
    """
    settings = load_settings(is_local=True)
    there = read_origin(origin, from_account)
    target = (target or local_url(settings)).rstrip("/")
    if not (_is_here(target) or is_remote_allowed):
        raise Failure(
            f"{target} is another machine: customers' calls go there only with --allow-remote"
        )

    async def forward() -> bool:
        async with (
            open_store(there, role="cli") as store,
            open_store(settings, role="cli") as here,
            # No proxy of the environment is asked about addresses of this machine.
            httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=is_remote_allowed) as client,
        ):
            await store.ping()
            await _check_sandbox(client, settings)
            await _check_apart(store, here, settings)
            forwarder = Forwarder(client, settings, target)
            listener = Listener(await _open(store, since), forwarder, here.links, source)
            echo(f"From {there.account} to {target}; Ctrl-C ends it.", is_error=True)
            return await listener.run(is_once=is_once)

    try:
        is_fine = run_reporting_redis_errors(there, forward)
    except KeyboardInterrupt:
        return
    if not is_fine:
        raise SystemExit(1)


class Listener:
    """
    Forwards messages, and prints a line for each; which Buildr call a call is becomes a link here.
    `source` is the only one, or None.
    """

    def __init__(
        self, origin: Origin, forwarder: Forwarder, links: Links, source: str | None
    ) -> None:
        self._origin: Final = origin
        self._forwarder: Final = forwarder
        self._links: Final = links
        self._source: Final = source
        self._taken = 0
        self._left = 0

    async def run(self, *, is_once: bool) -> bool:
        """Forward until cancelled, or what is there; whether all was taken."""
        while True:
            try:
                async for call in self._origin.calls():
                    await self._forward_call(call)
            except (QueueUnavailable, *REDIS_ERRORS) as err:
                if is_once:
                    raise
                echo(f"{classify_redis_error(err).text}; tried again", is_error=True)
            if is_once:
                echo(f"{self._taken} taken, {self._left} not, {self._origin.lost} no longer kept")
                return not self._left
            await pause(POLL_S)

    async def _forward_call(self, call: OriginCall) -> None:
        source, source_call_id = split_ref(call.ref)
        if self._source in (None, source):
            if call.buildr_call_id is not None:
                # Expected calls and links of there are not here.
                link = Link(buildr_call_id=call.buildr_call_id)
                await self._links.put(source, source_call_id, link)
            for message in call.messages:
                await self._forward(message)
        self._origin.remember(message.message_id for message in call.messages)

    async def _forward(self, message: Message) -> None:
        line = f"{message.received_at:%H:%M:%S}  {message.source}:{message.source_call_id}"
        try:
            answer = await self._forwarder.send(message)
            while answer.status_code == BUSY:
                await pause(POLL_S)
                answer = await self._forwarder.send(message)
        except NotForwarded as err:
            self._left += 1
            echo(one_line(f"{line}  not sent: {err}"))
            return
        except httpx.TransportError as err:
            raise Failure(
                f"no receiver answers at {self._forwarder.target} ({type(err).__name__}): "
                f"{PROGRAM} run --any-call"
            ) from err
        self._taken += answer.is_taken
        self._left += not answer.is_taken
        echo(one_line(f"{line}  {answer.status_code} {answer.detail}  {message.message_id}"))


async def _open(store: Store, since: datetime | None) -> Origin:
    if since is not None:
        return Origin(store=store, at_ms=int(since.timestamp() * 1000))
    # Of the index itself, since the clock of Redis is read by a script that may write.
    latest = await CallFeed(store.redis, store.keys).latest(since_ms=0, limit=1)
    at_ms = 0
    if latest:
        at_ms = latest[0][0] + 1
    return Origin(store=store, at_ms=at_ms)


def _is_here(url: str) -> bool:
    """Whether an address is of this machine. Raises click's usage error for what is none."""
    try:
        return is_loopback(httpx.URL(url).host)
    except httpx.InvalidURL as err:
        raise click.UsageError(f"{url} is no address: {err}") from err


async def _check_sandbox(client: httpx.AsyncClient, settings: Settings) -> None:
    """Raises `Failure` unless what would be written here goes to a sandbox on this machine."""
    url = settings.buildr_api_url
    cure = f"start one here without Buildr credentials: {PROGRAM} run --any-call"
    if not _is_here(url):
        raise Failure(f"the settings here write to {url}, not to a sandbox; {cure}")
    parts = urlsplit(url)
    try:
        answer = await client.get(f"{parts.scheme}://{parts.netloc}/_sandbox/state")
    except httpx.TransportError as err:
        raise Failure(f"no sandbox answers at {url}; {cure}") from err
    if not answer.is_success:
        raise Failure(f"{url} is no sandbox; {cure}")


async def _check_apart(store: Store, here: Store, settings: Settings) -> None:
    """Raises `Failure` if both are the same records, or if the Redis here does not answer."""
    try:
        await here.ping()
        place = await CallFeed(here.redis, here.keys).place()
    except (QueueUnavailable, *REDIS_ERRORS) as err:
        raise Failure(redis_failure(settings, err)) from err
    if place == await CallFeed(store.redis, store.keys).place():
        raise Failure("--forward-from names the records of here: nothing would come of it")
