"""
Whether this process is alive, and whether it can do its work; for load balancers, supervisors and
people.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.errors import QueueUnavailable
from service.receiver.inbox import Inbox
from service.receiver.problems import unavailable
from service.spool.messages import Depth, SpoolUnavailable
from service.spool.spool import Spool
from service.store.connection import Store
from service.store.identity import INSTANCE, PUBLIC_HEALTH
from service.store.redis_trouble import REDIS_ERRORS

NOT_STORED: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}


class Draining(Struct):
    """Whether this process is about to stop and others are to be sent to."""

    has_begun: bool = False

    def begin(self) -> None:
        """Say that this instance is not ready any more, though it goes on taking messages."""
        self.has_begun = True


class Readiness(Struct, frozen=True, kw_only=True):
    """
    Whether messages are taken: `stores` are one for each Redis, `inboxes` those of all accounts.
    """

    stores: Sequence[Store]
    inboxes: Sequence[Inbox] = ()
    spool: Spool | None = None
    draining: Draining = field(default_factory=Draining)

    async def response(self) -> Response:
        """
        200 with the status `ready`, or `degraded` while messages go to the spool; 503 if they go
        nowhere, or this instance is about to stop.
        """
        # First: whether messages would be taken does not matter any more.
        if self.draining.has_begun:
            return _not_ready("this instance is about to stop")
        troubles = await asyncio.gather(*(_trouble(store) for store in self.stores))
        reasons = sorted({trouble for trouble in troubles if trouble is not None})
        if not reasons:
            return self._taking({"status": "ready"}, is_spool_shown=bool(self._depth().messages))
        spool_trouble = await self._spool_trouble()
        if spool_trouble is not None and all(troubles):
            # Takes this instance out of a load balancer. With Redis away for all of them, webhooks
            # are refused by all, as they would be anyway.
            return _not_ready("; ".join([*reasons, *spool_trouble]))
        # 200: an instance that spools takes messages, and one without Redis is as good as another.
        content = {"status": "degraded", "reason": "; ".join([*reasons, *(spool_trouble or ())])}
        return self._taking(content, is_spool_shown=self.spool is not None)

    async def _spool_trouble(self) -> tuple[str, ...] | None:
        """Why the spool takes nothing, empty if there is none; None if it takes messages."""
        if self.spool is None:
            return ()
        try:
            await self.spool.check()
        except SpoolUnavailable as err:
            return (f"the spool takes nothing: {err}",)
        return None

    def _taking(self, content: Mapping[str, object], *, is_spool_shown: bool) -> Response:
        spool: dict[str, object] = {}
        if is_spool_shown:
            depth = self._depth()
            spool = {
                "spool": {
                    "messages": depth.messages,
                    "oldest_age_s": depth.age_s(datetime.now(UTC)),
                }
            }
        return JSONResponse({**content, **spool}, headers=NOT_STORED)

    def _depth(self) -> Depth:
        depth = Depth()
        for inbox in self.inboxes:
            depth = depth.plus(inbox.depth)
        return depth


def routes(readiness: Readiness) -> list[Route]:
    """`/healthz`, `/readyz` and `/webhooks/healthz`, for GET and HEAD."""
    instance = _Instance(readiness.stores[0])

    # Without Redis on purpose: a supervisor restarts what is not alive, and a restart of this
    # process does not bring Redis back.
    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "alive"}, headers=NOT_STORED)

    async def ready(_: Request) -> Response:
        return await readiness.response()

    # Below the only paths that a proxy has to publish.
    async def named(_: Request) -> Response:
        headers = {**NOT_STORED}
        name = await instance.name()
        if name is not None:
            headers[INSTANCE] = name
        return JSONResponse({"status": "alive"}, headers=headers)

    return [Route("/healthz", alive), Route("/readyz", ready), Route(PUBLIC_HEALTH, named)]


class _Instance(Struct):
    """The id of a store's records, read once: anybody may ask for it."""

    store: Store
    _name: str | None = None

    async def name(self) -> str | None:
        """The id; None while Redis is away."""
        if self._name is None:
            with suppress(*REDIS_ERRORS, OSError):
                self._name = await self.store.identity.ensure()
        return self._name


def _not_ready(reason: str) -> Response:
    response = unavailable(QueueUnavailable(reason), title="Not ready", detail=reason)
    response.headers.update(NOT_STORED)
    return response


async def _trouble(store: Store) -> str | None:
    """Why a Redis takes no messages; None if it takes them."""
    try:
        await store.check_writes()
    except QueueUnavailable as err:
        return str(err)
    return None
