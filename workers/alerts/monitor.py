"""
Sends alerts: the one periodic task of a process that does, for all accounts of the installation.

Every worker runs it, and every receiver, which takes part only while no worker runs. A lease in
Redis lets one process send for an account. Jobs and requests never wait for it.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

import structlog

from service.clock import steady_s, utc_now
from service.logs.events import LogEvent
from service.settings import Installation, Settings
from service.store.connection import open_store
from service.store.redis_trouble import REDIS_ERRORS
from workers.alerts.account_alerts import AccountAlerts
from workers.alerts.book import Notice, NoticeKind
from workers.alerts.channels import AlertNotSent, Channel, channels_of
from workers.alerts.messages import message_of

CHECK_EVERY_S: Final = 30.0
# A channel that fails is tried again after so long, then after twice as long, up to the longest.
FIRST_RETRY_S: Final = 30.0
LONGEST_RETRY_S: Final = 900.0
LEAVE_TIMEOUT_S: Final = 1.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Pause:
    """How long a channel that fails is left alone."""

    until_s: float = 0.0
    length_s: float = 0.0

    def begin(self) -> float:
        """Begin the next pause, and return its length."""
        self.length_s = min(LONGEST_RETRY_S, self.length_s * 2 or FIRST_RETRY_S)
        self.until_s = steady_s() + self.length_s
        return self.length_s


@dataclass(slots=True, kw_only=True)
class AlertMonitor:
    """What watches and sends; `close` ends its connections."""

    accounts: Sequence[AccountAlerts]
    channels: Sequence[Channel]
    _pauses: dict[str, _Pause] = field(default_factory=dict, init=False)

    @classmethod
    def of(
        cls,
        installation: Installation,
        *,
        is_standby: bool,
        clock: Callable[[], datetime] = utc_now,
    ) -> Self:
        """
        The monitor of an installation, with connections to Redis of its own, made on first use.
        """
        owner = f"{socket.gethostname()}:{secrets.token_hex(4)}"
        return cls(
            accounts=[
                AccountAlerts(
                    settings=settings,
                    store=open_store(settings, role="cli"),
                    owner=owner,
                    is_standby=is_standby,
                    clock=clock,
                )
                for settings in installation.accounts
            ],
            channels=channels_of(installation.default),
        )

    async def run(self) -> None:
        """Watch and send until cancelled; a bug ends a turn, and nothing else."""
        while True:
            try:
                await self.turn()
            except Exception:
                log.exception(LogEvent.ALERTS_BROKEN, retry_in_s=CHECK_EVERY_S)
            await asyncio.sleep(CHECK_EVERY_S)

    async def turn(self) -> None:
        """Read what is wrong, and send what is new."""
        await asyncio.gather(*(_observe(account) for account in self.accounts))
        await asyncio.gather(*(self._send(channel) for channel in self.channels))
        names = [channel.name for channel in self.channels]
        await asyncio.gather(*(account.save(names) for account in self.accounts))

    async def close(self) -> None:
        """Give the leases to others, and close the connections."""
        for account in self.accounts:
            # With Redis away it runs out by itself.
            with suppress(*REDIS_ERRORS, OSError):
                async with asyncio.timeout(LEAVE_TIMEOUT_S):
                    await account.leave()
            await account.store.close()

    @property
    def _settings_by_account(self) -> dict[str, Settings]:
        return {account.settings.account: account.settings for account in self.accounts}

    async def _send(self, channel: Channel) -> None:
        notices = [notice for account in self.accounts for notice in account.notices(channel.name)]
        pause = self._pauses.setdefault(channel.name, _Pause())
        if not notices or steady_s() < pause.until_s:
            return
        try:
            await channel.send(message_of(notices, self._settings_by_account))
        except AlertNotSent as err:
            level = logging.WARNING
            # What only an operator can mend.
            if err.is_refused:
                level = logging.ERROR
            log.log(
                level,
                LogEvent.ALERT_NOT_SENT,
                channel=channel.name,
                reason=str(err),
                alerts=len(notices),
                retry_in_s=pause.begin(),
            )
            return
        self._pauses[channel.name] = _Pause()
        for account in self.accounts:
            account.note_sent(notices, channel.name)
        log.info(LogEvent.ALERT_SENT, channel=channel.name, **_counts(notices))


async def _observe(account: AccountAlerts) -> None:
    """Read what is wrong with an account; what cannot be read there must not silence the others."""
    try:
        await account.observe()
    except Exception:
        name = account.settings.account
        log.exception(LogEvent.ALERTS_BROKEN, account=name, retry_in_s=CHECK_EVERY_S)


def _counts(notices: Sequence[Notice]) -> dict[str, int]:
    return {kind.value: sum(notice.kind is kind for notice in notices) for kind in NoticeKind}
