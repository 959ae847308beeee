"""
`buildr-calls check`: tests all that a running installation needs.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import click
import httpx

from service.errors import BuildrError, QueueUnavailable, SettingsError
from service.settings import Installation, Settings
from service.settings.exposure import (
    public_url_faults,
    shared_proofs,
    shared_secret_warnings,
    short_secret_warnings,
)
from service.settings.source_settings import source_faults
from service.sources import SOURCES
from service.sources.settings import how_to_enable
from service.store.connection import Store, open_store
from service.store.durability import read_durability
from service.store.redis_trouble import REDIS_ERRORS
from service.webhook_urls import webhook_path
from workers.cli.check_call_logs import call_log_findings
from workers.cli.check_records import record_findings
from workers.cli.finding import Finding
from workers.cli.outcomes import display_names, read_names
from workers.cli.output import (
    chosen_account,
    command_line,
    load_accounts,
    print_fact,
    print_json,
)
from workers.cli.session import redis_failure
from workers.cli.spool_report import judge_spool
from workers.clock import SharedClock
from workers.outcomes.decide import outcome_key, unknown_names, unknown_names_of_tests
from workers.outcomes.sample_calls import run_tests

URL_TIMEOUT_S = 5.0
TITLE_WIDTH = 14


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(*, as_json: bool) -> None:
    """
    Look at everything that has to be right: settings, spool, call logs, Redis, Buildr, outcome
    names, tests, clock, public URL.

    Looks at every account, unless --account names one. Exit code 1 if anything is not right.

    \b
    Examples:
      buildr-calls check
      buildr-calls check --account acme
    """
    installation = load_accounts(is_local=True)
    accounts = installation.accounts
    if chosen_account() is not None:
        accounts = (installation.default,)
    findings = asyncio.run(_check(installation, accounts))
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    else:
        width = max(TITLE_WIDTH, *(len(finding.title) for finding in findings))
        for finding in findings:
            verdict, style = finding.verdict
            print_fact(verdict, f"{finding.title:<{width}} {finding.detail}", width=4, style=style)
    if not all(finding.is_fine for finding in findings):
        raise SystemExit(1)


async def _check(installation: Installation, accounts: tuple[Settings, ...]) -> list[Finding]:
    findings = [
        _settings(installation),
        *_sources(installation, accounts),
        _secrets(installation),
        await _public_url(installation.default),
        _spool(installation.default),
    ]
    of_logs = await asyncio.gather(*(call_log_findings(account) for account in accounts))
    for account, of_account in zip(accounts, of_logs, strict=True):
        findings += [_with_account(account, finding, accounts) for finding in of_account]
    away: set[str] = set()
    for account in _one_for_each_redis(accounts):
        of_redis = await _redis(account)
        findings += [_with_account(account, finding, accounts) for finding in of_redis]
        if not any(finding.name == "clock" for finding in of_redis):
            away.add(account.redis_dsn)
    for account in accounts:
        if account.redis_dsn in away:
            continue
        async with open_store(account, role="cli") as store:
            of_buildr = [
                *await record_findings(account, store),
                *await _buildr(account, store),
                *await _outcome_tests(account, store),
            ]
            findings += [_with_account(account, finding, accounts) for finding in of_buildr]
    return findings


def _one_for_each_redis(accounts: Sequence[Settings]) -> list[Settings]:
    """The first account of each Redis."""
    first: dict[str, Settings] = {}
    for account in accounts:
        first.setdefault(account.redis_dsn, account)
    return list(first.values())


def _with_account(account: Settings, finding: Finding, accounts: tuple[Settings, ...]) -> Finding:
    """The finding with its account's name, if several accounts are checked."""
    if len(accounts) == 1:
        return finding
    return replace(finding, account=account.account)


def _settings(installation: Installation) -> Finding:
    faults = source_faults(installation)
    return Finding("settings", is_fine=not faults, detail="; ".join(faults) or "all read")


def _sources(installation: Installation, accounts: tuple[Settings, ...]) -> list[Finding]:
    findings = []
    for account in accounts:
        slugs = ", ".join(slug for slug in SOURCES if account.secrets_of(slug))
        # Where other accounts receive, an account without a source is no fault.
        is_fine = bool(slugs) or not installation.default.is_default or installation.has_sources
        detail = f"on: {slugs}"
        if not slugs:
            detail = "none is on"
        elif not account.is_default:
            path = webhook_path("SOURCE", account=account.path_account)
            detail += f"; their webhooks go to {path}"
        if not is_fine:
            detail += f": set {how_to_enable()}"
        findings.append(
            _with_account(account, Finding("sources", is_fine=is_fine, detail=detail), accounts)
        )
    return findings


def _secrets(installation: Installation) -> Finding:
    """
    Secrets that several accounts share, a fault where one's messages would count for another; and
    short ones.
    """
    faults = list(shared_proofs(installation))
    warnings = [*shared_secret_warnings(installation), *short_secret_warnings(installation)]
    detail = "; ".join([*faults, *warnings])
    return Finding(
        "secrets",
        is_fine=not faults,
        detail=detail or "no two accounts share one, none is short",
        is_warning=bool(warnings),
    )


async def _public_url(settings: Settings) -> Finding:
    url = settings.public_url
    if url is None:
        faults = public_url_faults(settings)
        if faults:
            return Finding("public url", is_fine=False, detail=faults[0])
        detail = "the address of each request counts; set it behind a proxy"
        return Finding("public url", is_fine=True, detail=f"PUBLIC_URL is not set: {detail}")
    try:
        async with httpx.AsyncClient(timeout=URL_TIMEOUT_S) as client:
            answer = await client.get(f"{url}/healthz")
    except httpx.HTTPError as err:
        detail = f"{url}/healthz does not answer ({type(err).__name__})"
        return Finding("public url", is_fine=False, detail=detail)
    # The text too: a proxy's own page may answer 200 for any path.
    if answer.status_code != httpx.codes.OK or "alive" not in answer.text:
        detail = f"{url}/healthz answers {answer.status_code}, and not as this service would"
        return Finding("public url", is_fine=False, detail=detail)
    detail = f"{url} reaches a receiver"
    if urlsplit(url).scheme != "https":
        detail += "; telephony systems want https"
    return Finding("public url", is_fine=True, detail=detail)


def _spool(settings: Settings) -> Finding:
    verdict = judge_spool(settings)
    return Finding(
        "spool", is_fine=verdict.is_fine, detail=verdict.detail, is_warning=verdict.is_warning
    )


async def _redis(settings: Settings) -> list[Finding]:
    """What is to be known of a Redis; without the clock if it does not answer."""
    async with open_store(settings, role="cli") as store:
        try:
            await store.ping()
            report = await read_durability(store.redis, store.scripts.confirmation)
            clock = await _clock(store)
        except (QueueUnavailable, *REDIS_ERRORS) as err:
            return [Finding("redis", is_fine=False, detail=redis_failure(settings, err))]
        details = [fault.text for fault in report.faults if store.durability != "off"]
        # A server that forbids CONFIG is taken at its word.
        is_fine = not details or not report.is_readable
        try:
            await store.check_writes()
        except QueueUnavailable as err:
            details.insert(0, redis_failure(settings, err))
            is_fine = False
        if report.is_replica:
            is_fine = False
        detail = "; ".join(details) or "answers, keeps what it is given, evicts nothing"
        return [Finding("redis", is_fine=is_fine, detail=detail), clock]


async def _clock(store: Store) -> Finding:
    clock = SharedClock()
    await clock.sync(store.time)
    offset_ms = int(clock.machine_offset.total_seconds() * 1000)
    detail = f"differs from Redis by {offset_ms} ms"
    if clock.is_off:
        detail += ": set the clocks by NTP"
    return Finding("clock", is_fine=not clock.is_off, detail=detail)


async def _buildr(settings: Settings, store: Store) -> list[Finding]:
    if not settings.has_buildr_credentials:
        return [Finding("buildr", is_fine=False, detail=_no_credentials(settings))]
    try:
        outcome_ids = await read_names(settings, store)
    except SettingsError as err:
        return [Finding("buildr", is_fine=False, detail="; ".join(err.faults))]
    except BuildrError as err:
        return [Finding("buildr", is_fine=False, detail=f"{settings.buildr_api_url}: {err}")]
    account_names = [name for name, _ in await display_names(store)]
    unknown = unknown_names(settings.outcome_config, outcome_ids, display_names=account_names)
    detail = "; ".join(unknown)
    if not unknown:
        detail = f"{len(outcome_ids)} in the account, and all that are named exist"
    return [
        Finding(
            "buildr", is_fine=True, detail=f"{settings.buildr_api_url} accepts the credentials"
        ),
        Finding("outcomes", is_fine=not unknown, detail=detail),
    ]


async def _outcome_tests(settings: Settings, store: Store) -> list[Finding]:
    """The sample calls of the settings, run with the outcomes that are known; nothing without."""
    config = settings.outcome_config
    if not config.tests:
        return []
    account_names = await display_names(store)
    outcome_ids = {outcome_key(name): outcome_id for name, outcome_id in account_names} or None
    results = run_tests(config, outcome_ids)
    failed = [result for result in results if not result.is_passed]
    detail = f"all {len(results)} pass"
    if failed:
        titles = ", ".join(result.test.name or result.place for result in failed)
        command = command_line(settings, "outcomes test")
        detail = f"{len(failed)} of {len(results)} fail: {titles}; see: {command}"
    unknown: tuple[str, ...] = ()
    if outcome_ids:
        spelt_names = [name for name, _ in account_names]
        unknown = unknown_names_of_tests(config, outcome_ids, display_names=spelt_names)
        detail = "; ".join([*unknown, detail])
    is_fine = not failed and not unknown
    return [Finding("outcome tests", is_fine=is_fine, detail=detail)]


def _no_credentials(settings: Settings) -> str:
    detail = "no credentials"
    if settings.has_sources:
        detail += ", so that webhooks would be taken that nobody can deliver"
    detail += ": set BUILDR_ACCESS_TOKEN, or BUILDR_CLIENT_ID and BUILDR_CLIENT_SECRET"
    if not settings.is_default:
        detail += f", in lower case in [accounts.{settings.account}]"
    return detail
