"""
`buildr-calls sources`: which telephony systems there are, which are on, and when each
last sent something.
"""

from datetime import UTC, datetime
from typing import Final

import click

from service.settings import Settings
from service.sources import SOURCES, Source
from service.store.connection import Store
from service.webhook_urls import webhook_path
from workers.cli.output import echo, print_json, print_table
from workers.cli.refused_report import refused_counts
from workers.cli.session import run_with_store

MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400


@click.command()
@click.option("--on", "is_on_only", is_flag=True, help="Only those that are on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sources(*, is_on_only: bool, as_json: bool) -> None:
    """
    Show every telephony system: off or ready, when its last message and its last handshake came,
    and since when it is silent.

    A system is silent if nothing comes in hours in which something came in every week before. Where
    the subscription at the vendor is looked after, its state is shown too; `buildr-calls
    subscriptions list` tells more. `refused` counts the requests of a day that were refused;
    `buildr-calls refused list` says why.

    \b
    Examples:
      buildr-calls sources
      buildr-calls sources --on --json
    """
    shown = [facts for facts in run_with_store(_read) if facts["state"] != "off" or not is_on_only]
    if as_json:
        print_json(shown)
        return
    now = datetime.now(UTC)
    rows = [
        (
            str(facts["source"]),
            str(facts["state"]),
            _ago(facts["last_message_at"], now),
            _ago(facts["last_handshake_at"], now),
            _ago(facts["silent_since"], now),
            str(facts["subscription"] or "-"),
            str(facts["refused_in_a_day"] or "-"),
            str(facts["note"]),
        )
        for facts in shown
    ]
    heads = (
        "source",
        "state",
        "last message",
        "last handshake",
        "silent since",
        "subscription",
        "refused",
        "",
    )
    print_table(heads, rows, empty="None is on: buildr-calls sources")
    if any(facts["refused_in_a_day"] for facts in shown):
        echo("why requests were refused: buildr-calls refused list", is_error=True)


async def _read(settings: Settings, store: Store) -> list[dict[str, object]]:
    last = await store.source_activity.last()
    upkeep = await store.upkeep.all()
    refused = await refused_counts(store)
    # Those that are on first, each group in the order of the alphabet.
    subscription_states = {slug: state.state for slug, state in upkeep.items()}
    ordered = sorted(SOURCES.items(), key=lambda pair: (not settings.secrets_of(pair[0]), pair[0]))
    return [
        {
            "source": slug,
            "title": source.title,
            "state": _state(settings, slug, silent_since=last.get(("silent", slug))),
            "last_message_at": last.get(("message", slug)),
            "last_handshake_at": last.get(("handshake", slug)),
            "silent_since": last.get(("silent", slug)),
            "subscription": subscription_states.get(slug),
            "refused_in_a_day": refused[slug],
            "path": webhook_path(slug, account=settings.path_account),
            "settings": [setting.name.upper() for setting in source.settings],
            "note": _note(settings, source),
        }
        for slug, source in ordered
    ]


def _state(settings: Settings, slug: str, *, silent_since: datetime | None) -> str:
    if not settings.secrets_of(slug):
        return "off"
    if silent_since is None:
        return "ready"
    return "silent"


def _note(settings: Settings, source: Source) -> str:
    if settings.secrets_of(source.slug):
        if source.requires_path_token:
            return f"address: buildr-calls link-url {source.slug}"
        return ""
    name = source.settings[0].name
    if settings.is_default:
        return f"set {name.upper()}"
    return f"set {name} in [accounts.{settings.account}]"


def _ago(moment: object, now: datetime) -> str:
    if not isinstance(moment, datetime):
        return "-"
    age_s = max(0, int((now - moment).total_seconds()))
    for unit_s, unit in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if age_s >= 2 * unit_s:
            return f"{age_s // unit_s} {unit} ago"
    return f"{age_s} s ago"
