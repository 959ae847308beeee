"""
`buildr-calls subscriptions`: the webhook subscriptions at vendors, listed and repaired.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from service.settings import Settings
from service.store.connection import Store
from workers.cli.arguments import OneOf
from workers.cli.failure import Failure
from workers.cli.output import echo, print_json, print_table
from workers.cli.session import run_with_store
from workers.cli.token_file import token_file
from workers.subscriptions import (
    DONE,
    VENDORS,
    Action,
    Report,
    Save,
    Step,
    Subscription,
    VendorSpec,
    is_set_up,
    lease,
)
from workers.subscriptions.reconcile import reconcile

SLUGS: Final = {kind.slug: kind for kind in VENDORS}
CHOOSERS: Final = tuple(slug for slug, kind in SLUGS.items() if kind.vendor_issues_secret)
SOURCE: Final = OneOf(sorted(SLUGS))
COLUMNS: Final = ("source", "id", "state", "expires", "address", "detail")
FOREIGN: Final = "not ours, left alone"
BUSY: Final = "a worker is looking after it just now; try again in a minute"


@click.group()
def subscriptions() -> None:
    """
    See and correct the webhook subscriptions at vendors whose API allows it: Aircall, Dialpad,
    RingCentral, Zoom.

    \b
    Example:
      buildr-calls subscriptions list
    """


@subscriptions.command("list")
@click.argument("source", type=SOURCE, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_subscriptions(source: str | None, *, as_json: bool) -> None:
    """
    Ask the vendors what they send where.

    Addresses are shown without their tokens, those of others only as their host. Exit code 1 if a
    vendor could not be asked.

    \b
    Examples:
      buildr-calls subscriptions list
      buildr-calls subscriptions list ringcentral --json
    """
    reports = run_with_store(lambda settings, store: _all(settings, store, source, is_dry_run=True))
    if as_json:
        print_json([_as_json(report, is_dry_run=True) for report in reports])
    else:
        rows = [_row(report.slug, item) for report in reports for item in report.subscriptions]
        if rows or not any(report.fault for report in reports):
            print_table(COLUMNS, rows, empty="There are no webhook subscriptions.")
        _print_faults(reports)
    _end(reports, by_hand=False)


@subscriptions.command("ensure")
@click.argument("source", type=SOURCE, required=False)
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only say what would be done.")
@click.option(
    "--token-to",
    type=click.Path(path_type=Path),
    help="Aircall: write the token of a webhook into this new file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ensure(source: str | None, *, is_dry_run: bool, token_to: Path | None, as_json: bool) -> None:
    """
    Make, renew, correct or re-create what is not as it should be; the worker does the same every
    ten minutes.

    Only subscriptions at this installation's own addresses are touched. Exit code 1 if something
    could not be done, or is left to be done by hand.

    \b
    Examples:
      buildr-calls subscriptions ensure --dry-run
      buildr-calls subscriptions ensure ringcentral
      buildr-calls subscriptions ensure aircall --token-to aircall-token.txt
    """
    if token_to is not None and source not in CHOOSERS:
        raise click.UsageError(
            f"--token-to is for {' and '.join(CHOOSERS)}, "
            "the only vendor that chooses its tokens itself"
        )
    file_path = token_to
    if is_dry_run:
        file_path = None
    with token_file(file_path) as file:
        save = None
        if token_to is not None:
            save = file.write
        reports = run_with_store(
            lambda settings, store: _all(settings, store, source, is_dry_run=is_dry_run, save=save)
        )
    if as_json:
        print_json([_as_json(report, is_dry_run=is_dry_run) for report in reports])
    else:
        for report in reports:
            _print_steps(report, is_dry_run=is_dry_run)
        _print_faults(reports)
    if file.is_written:
        echo(
            f"the webhook's token is in {token_to}: "
            "put it into AIRCALL_TOKEN, or name the file in AIRCALL_TOKEN_FILE",
            is_error=True,
        )
    _end(reports, by_hand=True)


async def _all(
    settings: Settings,
    store: Store,
    source: str | None,
    *,
    is_dry_run: bool,
    save: Save | None = None,
) -> list[Report]:
    """
    A report for the source that was named, or for each that is set up. Ends the command if there is
    none.
    """
    kinds = [kind for kind in VENDORS if is_set_up(settings, kind.slug, needs=kind.needs)]
    if source is None:
        _print_not_set_up(settings, kinds)
    elif SLUGS[source] not in kinds:
        raise Failure(_not_set_up(SLUGS[source]))
    else:
        kinds = [SLUGS[source]]
    return [await _one(kind, settings, store, is_dry_run=is_dry_run, save=save) for kind in kinds]


async def _one(
    kind: VendorSpec, settings: Settings, store: Store, *, is_dry_run: bool, save: Save | None
) -> Report:
    if is_dry_run:
        return await reconcile(kind, settings, store, clock=_now, is_dry_run=True, save=save)
    async with lease(store, kind.slug) as is_ours:
        if not is_ours:
            raise Failure(f"{kind.slug}: {BUSY}")
        return await reconcile(kind, settings, store, clock=_now, save=save)


def _now() -> datetime:
    return datetime.now(UTC)


def _not_set_up(kind: VendorSpec) -> str:
    names = " and ".join(f"{kind.slug}_{name}".upper() for name in kind.needs)
    return (
        f"{kind.slug}: set {names} to have it looked after; "
        f"without, set it up as docs/telephony/{kind.slug}.md shows"
    )


def _print_not_set_up(settings: Settings, kinds: Sequence[VendorSpec]) -> None:
    """Print which other sources could be looked after, and what to set for it."""
    on = [kind for kind in VENDORS if kind not in kinds and settings.secrets_of(kind.slug)]
    for kind in on:
        echo(_not_set_up(kind), is_error=True)
    if not kinds and not on:
        echo(
            f"no source whose subscriptions can be looked after is set up: {', '.join(SLUGS)}",
            is_error=True,
        )


def _row(slug: str, subscription: Subscription) -> tuple[str, ...]:
    expires = ""
    if subscription.expires_at is not None:
        expires = f"{subscription.expires_at:%Y-%m-%d %H:%M}"
    detail = subscription.detail or ""
    if not subscription.is_ours:
        detail = FOREIGN
    return (
        slug,
        subscription.subscription_id,
        subscription.state.value,
        expires,
        subscription.address,
        detail,
    )


def _print_steps(report: Report, *, is_dry_run: bool) -> None:
    for step in report.done:
        echo(f"{report.slug}: {_step_text(step)}: {step.why}")
    for step in report.left:
        if step.action is Action.BY_HAND:
            echo(f"{report.slug}: to be done by hand: {step.why}")
        elif is_dry_run:
            echo(f"{report.slug}: would be {_step_text(step)}: {step.why}")
    if not report.done and not report.left and report.fault is None:
        echo(f"{report.slug}: {report.state.state}, nothing to do")


def _step_text(step: Step) -> str:
    done = DONE[step.action].replace("_", " ")
    if step.subscription is None:
        return done
    return f"{done} {step.subscription.subscription_id}"


def _print_faults(reports: Sequence[Report]) -> None:
    for report in reports:
        if report.fault is not None:
            echo(f"buildr-calls: {report.slug}: {report.fault}", is_error=True)


def _end(reports: Sequence[Report], *, by_hand: bool) -> None:
    is_left = by_hand and any(
        step.action is Action.BY_HAND for report in reports for step in report.left
    )
    if is_left or any(report.fault is not None for report in reports):
        raise SystemExit(1)


def _as_json(report: Report, *, is_dry_run: bool) -> dict[str, object]:
    return {
        "source": report.slug,
        "state": report.state.state,
        "expires_at": report.state.expires_at and report.state.expires_at.isoformat(),
        "detail": report.state.detail,
        "subscriptions": [
            {
                "id": item.subscription_id,
                "state": item.state.value,
                "expires_at": item.expires_at and item.expires_at.isoformat(),
                "address": item.address,
                "is_ours": item.is_ours,
                "detail": item.detail,
            }
            for item in report.subscriptions
        ],
        "steps": [_step_as_json(step, is_done=True) for step in report.done]
        + [
            _step_as_json(step, is_done=False)
            for step in report.left
            if is_dry_run or step.action is Action.BY_HAND
        ],
    }


def _step_as_json(step: Step, *, is_done: bool) -> dict[str, object]:
    return {
        "action": step.action.value,
        "id": step.subscription and step.subscription.subscription_id,
        "why": step.why,
        "is_done": is_done,
    }
