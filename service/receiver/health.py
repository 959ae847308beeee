"""
Whether this process is alive, and whether it can do its work; for load balancers, supervisors and
people.
"""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.errors import QueueUnavailable
from service.receiver.problems import unavailable
from service.store.connection import Store

NOT_STORED: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}


def routes(store: Store) -> list[Route]:
    """`/healthz` and `/readyz`, for GET and HEAD."""

    # Without Redis on purpose: a supervisor restarts what is not alive, and a restart of this
    # process does not bring Redis back.
    async def alive(_: Request) -> Response:
        return JSONResponse({"status": "alive"}, headers=NOT_STORED)

    async def ready(_: Request) -> Response:
        try:
            await store.ping()
        except QueueUnavailable as err:
            # 503 takes this instance out of a load balancer. With Redis away for all of them,
            # webhooks are refused by all, as they would be anyway.
            response = unavailable(err, title="Not ready", detail=str(err))
            response.headers.update(NOT_STORED)
            return response
        return JSONResponse({"status": "ready"}, headers=NOT_STORED)

    return [Route("/healthz", alive), Route("/readyz", ready)]
