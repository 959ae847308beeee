"""
Whether Buildr accepts the credentials, and has the outcomes that the settings name.

Nothing is written, neither to Buildr nor to Redis: the token is asked for anew and not shared, so
that a cached one hides no wrong secret, and a refusal stops no worker.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from service.clock import utc_now
from service.errors import BuildrError, BuildrUnauthorized, BuildrUnavailable, SettingsError
from service.settings import Settings
from service.store.connection import Store
from workers.buildr import BuildrClient, CallOutcome, ReadyToken
from workers.buildr.credentials import request_token
from workers.buildr.tokens import credentials_of, token_provider
from workers.cli.accounts import command_line
from workers.cli.checks.finding import Finding
from workers.outcomes.decide import (
    outcome_key,
    unknown_ids,
    unknown_names,
    unknown_names_of_tests,
)
from workers.outcomes.sample_calls import run_tests

# For the list of outcomes: more than 500 outcomes are read by the workers alone.
MAX_PAGES: Final = 5
# Buildr's own limit is counted by the workers. A request beside them is sent only if nothing waits
# and no more than this part of the budget is used.
IDLE_SHARE: Final = 0.5


class Outcomes(Struct, frozen=True):
    """The account's outcomes as pairs `(name, id)`; `detail` says how old they are, if they are."""

    names: Sequence[tuple[str, str]]
    detail: str = ""


async def buildr_findings(settings: Settings, store: Store) -> list[Finding]:
    """What Buildr says to the credentials, and of the outcomes. Raises redis-py's errors."""
    findings, outcomes = await _ask(settings, store)
    if outcomes is None:
        # The sample calls are run without it: with the outcomes that are known, or by their names.
        outcomes = await _stored(store)
    return [*findings, *_outcome_tests(settings, outcomes)]


async def _ask(settings: Settings, store: Store) -> tuple[list[Finding], Outcomes | None]:
    if not settings.has_buildr_credentials:
        return [Finding("buildr", is_fine=False, detail=_no_credentials(settings))], None
    try:
        token = await _own_token(settings, store)
        outcomes = await _outcomes(settings, store, token)
    except SettingsError as err:
        return [Finding("buildr", is_fine=False, detail="; ".join(err.faults))], None
    except BuildrError as err:
        return [Finding("buildr", is_fine=False, detail=_refused(settings, err))], None
    accepted = Finding(
        "buildr", is_fine=True, detail=f"{settings.buildr_api_url} accepts the credentials"
    )
    if outcomes is None:
        detail = (
            "not read: the budget of requests is in use, and no worker has read them yet; "
            "run this again in a minute"
        )
        unread = Finding("outcomes", is_fine=True, detail=detail, is_warning=True)
        return [accepted, unread], None
    return [accepted, _outcome_finding(settings, outcomes)], outcomes


async def _own_token(settings: Settings, store: Store) -> str:
    """A token for this check alone. Raises `BuildrError` and `SettingsError`."""
    credentials = credentials_of(settings)
    if credentials is None:
        return await token_provider(settings, store.tokens).get()
    return (await request_token(credentials, clock=utc_now)).access_token


async def _outcomes(settings: Settings, store: Store, token: str) -> Outcomes | None:
    """
    Those that Buildr has now, or those that the workers have read while they use the budget; None
    if neither is to be had.
    """
    if await _is_idle(settings, store):
        return Outcomes([(item.name, item.id) for item in await _read(settings, token)])
    return await _stored(store)


async def _stored(store: Store) -> Outcomes | None:
    """Those that the workers have read last; None if none has."""
    stored = await store.outcomes.load()
    if stored is None:
        return None
    age_min = int((datetime.now(UTC) - stored.read_at).total_seconds() // 60)
    return Outcomes(stored.names, f" (as the workers read them {max(0, age_min)} min ago)")


async def _is_idle(settings: Settings, store: Store) -> bool:
    backlog = await store.backlog()
    allowed = min(budget.requests for budget in settings.buildr_budgets)
    return (
        not backlog.calls
        and backlog.outage is None
        and backlog.blocked_until is None
        and len(backlog.counted) <= allowed * IDLE_SHARE
    )


async def _read(settings: Settings, token: str) -> list[CallOutcome]:
    outcomes: list[CallOutcome] = []
    url: str | None = None
    limit_s = settings.buildr_timeout_s * 2
    try:
        async with (
            asyncio.timeout(limit_s),
            BuildrClient(settings, tokens=ReadyToken(token)) as client,
        ):
            for _ in range(MAX_PAGES):
                page, url = await client.call_outcomes_page(url)
                outcomes.extend(page)
                if url is None:
                    break
    except TimeoutError as err:
        # As it is, it would be taken for one of Redis.
        raise BuildrUnavailable(
            f"Buildr's call outcomes were not read within {limit_s:g} s"
        ) from err
    return outcomes


def _outcome_finding(settings: Settings, outcomes: Outcomes) -> Finding:
    config = settings.outcome_config
    ids = _ids(outcomes)
    names = [name for name, _ in outcomes.names]
    unknown = [
        *unknown_names(config, ids, display_names=names),
        *unknown_ids(config, outcomes.names),
    ]
    detail = f"{len(ids)} in the account, and all that are named exist"
    if unknown:
        detail = "; ".join(unknown)
    return Finding("outcomes", is_fine=not unknown, detail=detail + outcomes.detail)


def _outcome_tests(settings: Settings, outcomes: Outcomes | None) -> list[Finding]:
    """The sample calls of the settings, run with the account's outcomes as far as known."""
    config = settings.outcome_config
    if not config.tests:
        return []
    names: Sequence[tuple[str, str]] = ()
    ids = None
    if outcomes is not None:
        names = outcomes.names
        ids = _ids(outcomes)
    results = run_tests(config, ids)
    failed = [result for result in results if not result.is_passed]
    detail = f"all {len(results)} pass"
    if failed:
        titles = ", ".join(result.test.name or result.place for result in failed)
        command = command_line(settings, "outcomes test")
        detail = f"{len(failed)} of {len(results)} fail: {titles}; see: {command}"
    unknown: tuple[str, ...] = ()
    if ids:
        spelt_names = [name for name, _ in names]
        unknown = unknown_names_of_tests(config, ids, display_names=spelt_names)
        detail = "; ".join([*unknown, detail])
    is_fine = not failed and not unknown
    return [Finding("outcome tests", is_fine=is_fine, detail=detail)]


def _ids(outcomes: Outcomes) -> dict[str, str]:
    return {outcome_key(name): outcome_id for name, outcome_id in outcomes.names}


def _refused(settings: Settings, err: BuildrError) -> str:
    url = settings.buildr_api_url
    if isinstance(err, BuildrUnauthorized) and settings.buildr_access_token is not None:
        return (
            f"{url} refuses BUILDR_ACCESS_TOKEN ({err.status_code}): set a new one, or "
            "BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET, with which tokens renew themselves"
        )
    if isinstance(err, BuildrUnauthorized):
        return f"{url}: {err}; workers that have a token go on only until it expires"
    return f"{url}: {err}; see that BUILDR_API_URL and BUILDR_TOKEN_URL can be reached from here"


def _no_credentials(settings: Settings) -> str:
    detail = "no credentials"
    if settings.has_sources:
        detail += ", so that webhooks would be taken that nobody can deliver"
    detail += ": set BUILDR_ACCESS_TOKEN, or BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET"
    if not settings.is_default:
        detail += f", in lower case in [accounts.{settings.account}]"
    return detail
