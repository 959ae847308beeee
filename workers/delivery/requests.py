"""
One request of a write: its permit, the PATCH itself, and how far the write has come.
"""

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from datetime import datetime
from http import HTTPStatus

import structlog
from msgspec import Struct, field
from msgspec.structs import replace

from service.errors import BuildrRejected
from service.logs.events import LogEvent
from service.store.delivery_record import DeliveryRecord
from service.store.rate_limit.grants import Grant
from service.store.rate_limit.permits import Permits
from workers.buildr import BuildrClient, UpdatedCall
from workers.buildr.errors import EMPTY_UPDATE_REFUSED
from workers.delivery.difference import OUTCOME_FIELD
from workers.delivery.hand_edits import HandEdited
from workers.delivery.plan_types import BuildrWrite

log = structlog.get_logger(__name__)


class PermitExpired(Exception):
    """
    Raised when a request could be under way after its permit has expired, as after a pause of the
    whole machine.
    """


class Progress(Struct):
    """
    How far a write has come: what is true of the call so far, the requests begun, the fields that
    Buildr has confirmed, those that its answers do not show, and those of the last request.

    `is_answered` is false while Buildr may still carry out one of the requests. `is_listed` if the
    record has the write among its unanswered ones.
    """

    record: DeliveryRecord
    grant: Grant
    is_listed: bool
    requests: int = 0
    field_names: set[str] = field(default_factory=set)
    not_shown: set[str] = field(default_factory=set)
    sending: frozenset[str] = frozenset()
    is_answered: bool = True


class Requests(Struct, frozen=True, kw_only=True):
    """
    Sends single requests to Buildr, with permits that were granted before.

    `request_timeout_s` is the client's; `hold_s` is the longest that one request may take with all
    that is around it, in seconds.
    """

    client: BuildrClient
    permits: Permits
    request_timeout_s: float
    hold_s: float
    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def request(
        self, progress: Progress, write: BuildrWrite, fields: dict[str, str]
    ) -> UpdatedCall:
        """
        One PATCH with the next permit; without fields it only reads.

        Raises `BuildrError` and `PermitExpired`.
        """
        # The time is taken after the wait for the permit, so that `duration_ms` is Buildr's alone.
        await self._start(progress)
        started_at = self.clock()
        # Before the request: one that is cut off may have arrived, and must count against the
        # budget.
        progress.requests += 1
        progress.sending = frozenset(fields)
        progress.is_answered = not fields
        updated = await self.client.update_call(
            write.buildr_call_id, {"call": fields}, is_in_time=self._is_in_time(progress.grant)
        )
        progress.is_answered = True
        outcome = None
        if OUTCOME_FIELD in fields:
            outcome = write.outcome
        log.info(
            LogEvent.BUILDR_PATCHED if fields else LogEvent.BUILDR_READ,
            buildr_call_id=write.buildr_call_id,
            outcome=outcome,
            fields=sorted(fields) or None,
            status_code=HTTPStatus.OK.value,
            duration_ms=int((self.clock() - started_at).total_seconds() * 1000),
        )
        return updated

    def _is_in_time(self, grant: Grant) -> Callable[[], bool]:
        """
        Whether a request that begins now can still end before its permits do.

        A machine that is suspended meanwhile stops the time limit of the request, not the permits.
        """
        loop = asyncio.get_running_loop()
        started_s = loop.time()

        def is_in_time() -> bool:
            left_s = self.request_timeout_s - (loop.time() - started_s)
            return self.permits.timer() + left_s <= grant.valid_until

        return is_in_time

    async def read_call(self, progress: Progress, write: BuildrWrite) -> UpdatedCall | None:
        """
        The call in Buildr, by a PATCH without fields; None if Buildr refuses an empty update.

        Raises `HandEdited` instead if there is an outcome to be checked, which it cannot be then.
        """
        try:
            return await self.request(progress, write, {})
        except BuildrRejected as err:
            # 404 and 410, for example: these are about the call itself, and end the delivery.
            if err.status_code not in EMPTY_UPDATE_REFUSED:
                raise
            if write.allowed_outcome_ids is None:
                return None
            command = f"buildr-calls replay {shlex.quote(progress.record.ref)} --force"
            raise HandEdited(
                f"Buildr shows no call by an empty update ({err.status_code}), so that nothing is "
                f"changed; {command}, or PROTECT_HAND_EDITS=false"
            ) from err

    async def _start(self, progress: Progress) -> None:
        """
        Wait until the permits are valid, never longer than they may be granted ahead.

        Raises `PermitExpired`.
        """
        # The first request may have taken most of the time for which the permits are valid. Without
        # renewal `start` would refuse the second, with the outcome written and the notes not.
        if progress.requests:
            valid_until = await self.permits.renew(
                progress.grant, answered=progress.requests, hold_s=self.hold_s
            )
            progress.grant = replace(progress.grant, valid_until=valid_until)
        if not await self.permits.start(
            progress.grant, request_timeout_s=self.request_timeout_s, sleep=self.sleep
        ):
            raise PermitExpired
