"""
`buildr-calls alerts`: what is open, and a test of where alerts go.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import click

from service.settings import Settings
from service.store.connection import Store
from workers.alerts.book import AlertState, read_book
from workers.alerts.channels import AlertNotSent, Channel, channels_of
from workers.alerts.messages import RUNBOOK, trial_message
from workers.cli.accounts import command_line, load_accounts
from workers.cli.failure import FAILED, Failure
from workers.cli.output import echo, print_json, print_table, utc_text
from workers.cli.session import run_with_store

COLUMNS: Final = ("state", "since (UTC)", "alert", "sent to", "what is wrong", "see")
NOWHERE: Final = "alerts go nowhere: set ALERTS_SLACK_URL, or ALERTS_EMAIL_TO and ALERTS_SMTP_URL"


@click.group()
def alerts() -> None:
    """
    See which alerts are open, and try where they go.

    \b
    Examples:
      buildr-calls alerts list
      buildr-calls alerts test
    """


@alerts.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_alerts(*, as_json: bool) -> None:
    """
    List what is wrong, and for how long: `begins` has not lasted long enough to be sent, `ends` is
    gone, but not for long.

    \b
    Examples:
      buildr-calls alerts list
      buildr-calls alerts list --json
    """

    async def work(settings: Settings, store: Store) -> tuple[Settings, list[AlertState]]:
        book = read_book(await store.alerts.load())
        present = [alert for alert in book.values() if alert.over_at is None]
        return settings, sorted(present, key=lambda alert: (alert.since, alert.key))

    settings, present = run_with_store(work)
    if as_json:
        print_json([_as_dict(alert) for alert in present])
        return
    rows = [
        (
            alert.state,
            utc_text(alert.since),
            alert.key,
            ", ".join(sorted(alert.sent_at)) or "nobody yet",
            alert.text,
            command_line(settings, alert.command),
        )
        for alert in present
    ]
    print_table(COLUMNS, rows, empty="Nothing is wrong, as far as the alerts are concerned.")
    if not settings.has_alerts:
        echo(NOWHERE, is_error=True)


@alerts.command("test")
def try_alerts() -> None:
    """
    Send a test message to everywhere that alerts go; exit code 1 if one does not take it.

    \b
    Example:
      buildr-calls alerts test
    """
    channels = channels_of(load_accounts(is_local=True).default)
    if not channels:
        raise Failure(NOWHERE)
    faults = asyncio.run(_send_to_all(channels))
    for channel, fault in zip(channels, faults, strict=True):
        echo(f"{channel.name}: {fault or 'sent'}", is_error=fault is not None)
    if any(faults):
        raise SystemExit(FAILED)


async def _send_to_all(channels: Sequence[Channel]) -> list[str | None]:
    return await asyncio.gather(*map(_send, channels))


async def _send(channel: Channel) -> str | None:
    """What went wrong, None if nothing did."""
    try:
        await channel.send(trial_message())
    except AlertNotSent as err:
        return str(err)
    return None


def _as_dict(alert: AlertState) -> dict[str, object]:
    return {
        "alert": alert.key,
        "kind": alert.kind,
        "state": alert.state,
        "since": alert.since.isoformat(timespec="seconds"),
        "text": alert.text,
        "command": alert.command,
        "runbook": f"{RUNBOOK}#{alert.kind}",
        "sent_at": {
            name: at.isoformat(timespec="seconds") for name, at in sorted(alert.sent_at.items())
        },
    }
