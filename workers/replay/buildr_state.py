"""
What Buildr holds of a call, read within the budget: a replay checks it before it writes.
"""

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from service.errors import BuildrError, BuildrRateLimited, BuildrRejected
from service.store.connection import Store
from service.store.rate_limit.grants import Grant, GrantStatus, HealthSignal
from service.store.rate_limit.lanes import Lane
from workers.buildr import BuildrClient
from workers.buildr.errors import EMPTY_UPDATE_REFUSED
from workers.delivery.feedback import health_signal_of, release_permits
from workers.replay.assessment import BuildrRefusal, BuildrState

# A command has no job that the pump could wake, so that it has to ask.
POLL_S: Final = 0.1
# Reads wait behind all that is more urgent. An operator at a terminal should learn after some
# minutes that there is no room, instead of waiting for the whole backlog.
PERMIT_TIMEOUT_S: Final = 300.0


async def read_buildr_state(
    store: Store,
    client: BuildrClient,
    buildr_call_id: str,
    *,
    hold_s: float,
    clock: Callable[[], datetime],
) -> BuildrState:
    """
    What Buildr holds of a call, by an update without fields, after all that is more urgent.

    Raises `BuildrError` if Buildr is away, forbids it, or refuses every update without fields.
    """
    # By chance, since two commands may run at once. `#` keeps the scripts from waking it.
    name = f"#replay:{secrets.token_hex(4)}"
    while True:
        grant = await _permit(store, name, hold_s=hold_s, clock=clock)
        if not await store.permits.start(grant, request_timeout_s=client.timeout_s):
            await store.permits.release(grant, sent=0)
            continue
        state = await _request(store, client, grant, buildr_call_id)
        if state is not None:
            return state


async def _request(
    store: Store, client: BuildrClient, grant: Grant, buildr_call_id: str
) -> BuildrState | None:
    """One request with a granted permit, which is released; None after a 429."""
    try:
        updated = await client.update_call(buildr_call_id, {"call": {}})
    except BuildrRateLimited as err:
        await release_permits(store.permits, grant, sent=1, signal=HealthSignal.LIMITED, err=err)
        return None
    except BuildrError as err:
        signal = health_signal_of(err)
        await release_permits(store.permits, grant, sent=1, signal=signal, err=err)
        # Not about this one call: the next one would be answered the same, at a request each.
        if not isinstance(err, BuildrRejected) or err.status_code in EMPTY_UPDATE_REFUSED:
            raise
        is_missing = err.status_code == HTTPStatus.NOT_FOUND
        return BuildrRefusal(reason=str(err), is_missing=is_missing)
    await release_permits(store.permits, grant, sent=1, signal=HealthSignal.FINE)
    return updated


async def _permit(
    store: Store, name: str, *, hold_s: float, clock: Callable[[], datetime]
) -> Grant:
    since = clock()
    try:
        async with asyncio.timeout(PERMIT_TIMEOUT_S):
            while True:
                grant = await store.permits.ask(
                    name, lane=Lane.REPLAY, since=since, cost=1, hold_s=hold_s
                )
                if grant.verdict is GrantStatus.GRANTED:
                    return grant
                # With no worker running nobody else releases waiting names.
                await store.permits.pump()
                await asyncio.sleep(POLL_S)
    except TimeoutError as err:
        raise BuildrRateLimited(
            f"no budget to read the call within {timedelta(seconds=PERMIT_TIMEOUT_S)}",
            retry_after_s=None,
        ) from err
    finally:
        # Also after Ctrl-C: a name that stays in its lane would be given permits that nobody uses,
        # each of them lost for five seconds.
        await store.permits.leave(name)
