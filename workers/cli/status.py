"""
`buildr-calls status`: what waits, what stands in its way, when it will have gone.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final

import click

from service.settings import Settings
from service.store.connection import Store, open_store
from service.store.rate_limit.backlog import Backlog, LaneLoad
from service.store.rate_limit.lanes import Lane
from workers.cli.output import (
    chosen_account,
    load_accounts,
    print_json,
    print_table,
)
from workers.cli.session import run_reporting_redis_errors
from workers.delivery.status import clears_at

Facts = dict[str, object]
SOON_S: Final = 86_400


@click.command()
@click.option(
    "--all-accounts",
    "is_all",
    is_flag=True,
    help="Every account of the installation, side by side.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, is_all: bool, as_json: bool) -> None:
    """
    Show how much waits in each lane and until when, how much has failed, and how much of Buildr's
    budget is used.

    \b
    Examples:
      buildr-calls status
      buildr-calls status --all-accounts --json
    """
    installation = load_accounts(is_local=True)
    settings = installation.default
    # With only named accounts there is no default one to show.
    is_wide = is_all or (not installation.is_default_active and chosen_account() is None)
    chosen = installation.accounts if is_wide else (settings,)
    found = run_reporting_redis_errors(settings, lambda: _read_all(chosen))
    if as_json:
        print_json([_as_json(facts) for facts in found] if is_wide else _as_json(found[0]))
        return
    _print(found)
    others = [
        account.account
        for account in installation.accounts
        if account.account not in {facts["account"] for facts in found}
    ]
    if others:
        click.echo(
            f"Other accounts: {', '.join(others)}; see --account NAME or --all-accounts.", err=True
        )


async def _read_all(accounts: tuple[Settings, ...]) -> list[Facts]:
    return list(await asyncio.gather(*(_read(account) for account in accounts)))


async def _read(settings: Settings) -> Facts:
    async with open_store(settings, role="cli") as store:
        await store.ping()
        return await read_status(settings, store)


async def read_status(settings: Settings, store: Store) -> Facts:
    """The state of an account, by name; moments are UTC. Raises redis-py's errors."""
    pending, oldest = await store.messages.waiting()
    backlog = await store.backlog()
    now_s = backlog.now.timestamp()
    # One that is given a moment ahead takes the place of one that is about to leave the window.
    used = [
        min(budget.requests, sum(1 for at in backlog.counted if at > now_s - budget.window_s))
        for budget in settings.buildr_budgets
    ]
    full = min(settings.buildr_budgets, key=lambda budget: budget.window_s).requests
    allowance = (
        backlog.allowance if backlog.allowance is not None and backlog.allowance < full else None
    )
    outage = backlog.outage
    return {
        "account": settings.account,
        "workers_alive": await store.workers.count(),
        "messages_not_read_yet": pending,
        "oldest_message_age_s": None if oldest is None else round(now_s - oldest, 1),
        "calls_with_an_alarm": await store.schedule.due_count(),
        "calls_waiting": backlog.calls,
        "lanes": {
            load.lane.value: {"calls": load.calls, "oldest_age_s": _age_s(backlog, load)}
            for load in backlog.lanes
            if load.lane is not Lane.OWN
        },
        "clears_at": clears_at(backlog, settings.buildr_budgets),
        "requests_used": [
            {"used": count, "requests": budget.requests, "window_s": budget.window_s}
            for count, budget in zip(used, settings.buildr_budgets, strict=True)
        ],
        "allowance": allowance,
        "blocked_by_buildr_s": 0.0
        if backlog.blocked_until is None
        else round(backlog.blocked_until.timestamp() - now_s, 1),
        "outage": None
        if outage is None
        else {"since": outage.since, "cause": outage.cause, "next_try_at": outage.next_try_at},
        "unmatched": await store.schedule.unmatched_count(),
        "stalled": await store.schedule.stalled_count(),
        "failed": await store.failed.count(),
        "silent_sources": sorted(
            source for kind, source in await store.source_activity.last() if kind == "silent"
        ),
        "counters": await store.counters.all(),
    }


def _age_s(backlog: Backlog, load: LaneLoad) -> float | None:
    return (
        None if load.oldest_at is None else round((backlog.now - load.oldest_at).total_seconds(), 1)
    )


def _as_json(facts: Facts) -> Facts:
    return {name: _plain(value) for name, value in facts.items()}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value


def _print(found: list[Facts]) -> None:
    columns = [dict(_rows(facts)) for facts in found]
    names = list(dict.fromkeys(name for column in columns for name in column))
    heads = (
        ("what", "now")
        if len(found) == 1
        else ("what", *(str(facts["account"]) for facts in found))
    )
    print_table(
        heads, [(name, *(column.get(name, "-") for column in columns)) for name in names], empty=""
    )


def _rows(facts: Facts) -> list[tuple[str, str]]:
    """What a person is shown, line by line."""
    lanes = facts["lanes"]
    used = facts["requests_used"]
    outage = facts["outage"]
    counters = facts["counters"]
    rows = [
        ("workers alive", str(facts["workers_alive"])),
        (
            "messages not read yet",
            _with_age(facts["messages_not_read_yet"], facts["oldest_message_age_s"]),
        ),
        ("calls with an alarm", str(facts["calls_with_an_alarm"])),
        ("calls waiting for Buildr", f"{facts['calls_waiting']}{_until(facts)}"),
    ]
    if isinstance(lanes, dict):
        rows += [
            (f"  in lane {name}", _with_age(lane["calls"], lane["oldest_age_s"]))
            for name, lane in lanes.items()
        ]
    if isinstance(used, list):
        rows += [
            (f"requests in {_span(each['window_s'])}", f"{each['used']} of {each['requests']}")
            for each in used
        ]
    if facts["allowance"] is not None:
        rows.append(
            (
                "of these ours",
                f"{facts['allowance']}, since somebody else uses the Buildr account too",
            )
        )
    if facts["blocked_by_buildr_s"]:
        rows.append(("blocked by Buildr", f"for {facts['blocked_by_buildr_s']} s more"))
    if isinstance(outage, dict):
        rows.append(
            (
                "Buildr",
                f"away since {_moment(outage['since'])} ({outage['cause']}), next try {_moment(outage['next_try_at'])}",
            )
        )
    rows += [(name, str(facts[name])) for name in ("unmatched", "stalled", "failed")]
    if facts["silent_sources"] and isinstance(facts["silent_sources"], list):
        rows.append(
            ("silent sources", f"{', '.join(facts['silent_sources'])}; see buildr-calls sources")
        )
    if isinstance(counters, dict):
        rows += [(f"count of {name}", str(value)) for name, value in counters.items()]
    return rows


def _until(facts: Facts) -> str:
    at = facts["clears_at"]
    if not facts["calls_waiting"]:
        return ""
    return (
        f", clears at {_moment(at)}" if isinstance(at, datetime) else ", clears once Buildr is back"
    )


def _moment(value: object) -> str:
    """A moment in this machine's time zone, with the day if it is not near."""
    if not isinstance(value, datetime):
        return str(value)
    is_near = abs((value - datetime.now(UTC)).total_seconds()) < SOON_S
    return f"{value.astimezone():%H:%M:%S}" if is_near else f"{value.astimezone():%Y-%m-%d %H:%M}"


def _span(seconds: float) -> str:
    return {3600.0: "an hour", 86_400.0: "a day"}.get(float(seconds), f"{seconds:g} s")


def _with_age(count: object, age_s: object) -> str:
    return (
        f"{count}, the oldest for {age_s} s" if isinstance(age_s, float) and count else str(count)
    )
