"""
What is wrong now, as conditions: pure functions of the facts of an account.

How long a condition has to last before it is an alert, and to be gone before it is over, is here
too; `workers.alerts.book` counts the time.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from service.counts import counted
from service.settings import Settings
from service.sources import SOURCES
from service.store.alerts import SpoolNote
from service.store.rate_limit.lanes import Lane
from workers.alerts.condition import HOUR_S, MINUTE_S, AlertFacts, Condition
from workers.alerts.outcome_shift import shifted_outcomes

# States of a subscription in which nothing comes.
BROKEN: Final = frozenset({"expired", "disabled", "missing", "failed"})
# Deploys and restarts take less.
RECEIVER_AWAY_S: Final = 300.0
VALUES_SHOWN: Final = 5
SHIFTS_SHOWN: Final = 3
# For so long a value that no table has is news.
VALUES_COUNT_FOR: Final = timedelta(hours=24)
# An operator must act before anything is delivered; there is nothing to wait for.
CREDENTIALS: Final = "buildr_unauthorized"


def conditions_of(facts: AlertFacts, settings: Settings) -> list[Condition]:
    """All that is wrong, but for the kinds that are off."""
    return [
        condition
        for find in _FINDERS
        for condition in find(facts, settings)
        if condition.kind not in settings.alerts_off
    ]


def redis_trouble(text: str) -> Condition:
    """The one condition that is not of the facts: they cannot be read."""
    return Condition(
        kind="redis_trouble",
        text=f"{text}. New messages go to the spool, and nothing reaches Buildr meanwhile.",
        command="check",
        after_s=2 * MINUTE_S,
        clear_s=MINUTE_S,
    )


def _no_worker(facts: AlertFacts, _: Settings) -> Iterator[Condition]:
    if facts.status.workers_alive == 0:
        yield Condition(
            kind="no_worker",
            text="No worker is running. Nothing reaches Buildr; nothing is lost.",
            command="check",
            after_s=2 * MINUTE_S,
            clear_s=2 * MINUTE_S,
        )


def _no_receiver(facts: AlertFacts, _: Settings) -> Iterator[Condition]:
    at = facts.receiver_at
    if at is not None and (facts.at - at).total_seconds() > RECEIVER_AWAY_S:
        yield Condition(
            kind="no_receiver",
            text=f"No receiver has run since {_time(at)}. Telephony systems get no answer.",
            command="check",
            after_s=0,
            clear_s=MINUTE_S,
        )


def _messages_unread(facts: AlertFacts, settings: Settings) -> Iterator[Condition]:
    age_s = facts.status.oldest_message_age_s
    # Without a worker that is the cause, and has its own alert.
    has_worker = facts.status.workers_alive > 0
    if has_worker and age_s is not None and age_s > settings.alerts_queue_age_s:
        yield Condition(
            kind="messages_unread",
            text=f"A message has waited {_span(age_s)} for a worker.",
            command="status",
            after_s=MINUTE_S,
            clear_s=5 * MINUTE_S,
        )


def _delivery_late(facts: AlertFacts, settings: Settings) -> Iterator[Condition]:
    if facts.status.outage is not None:
        return
    for lane in facts.status.lanes:
        age_s = lane.oldest_age_s
        if lane.lane is Lane.FINAL and age_s is not None and age_s > settings.alerts_queue_age_s:
            yield Condition(
                kind="delivery_late",
                text=f"A new call has waited {_span(age_s)} for Buildr; {lane.calls} wait.",
                command="status",
                after_s=5 * MINUTE_S,
                clear_s=10 * MINUTE_S,
            )


def _buildr_away(facts: AlertFacts, _: Settings) -> Iterator[Condition]:
    outage = facts.status.outage
    if outage is None:
        return
    after_s = 10 * MINUTE_S
    text = f"Buildr has been away since {_time(outage.since)} ({outage.cause}). Calls wait."
    if outage.cause == CREDENTIALS:
        after_s = 0
        text = "Buildr refuses the credentials. Calls wait until they are corrected."
    yield Condition(
        kind="buildr_away",
        text=text,
        command="check",
        after_s=after_s,
        clear_s=2 * MINUTE_S,
    )


def _spool_waiting(facts: AlertFacts, _: Settings) -> Iterator[Condition]:
    # Redis answers, or there were no facts: they should be on their way into it.
    waiting = {name: spool for name, spool in _spools_of(facts).items() if spool.messages}
    if waiting:
        number = sum(spool.messages for spool in waiting.values())
        names = ", ".join(sorted(waiting))
        oldest_at = min(spool.oldest_at or spool.at for spool in waiting.values())
        yield Condition(
            kind="spool_waiting",
            text=(
                f"{counted(number, 'message waits', 'messages wait')} on the disk of {names} for "
                f"Redis, the oldest since {_time(oldest_at)}."
            ),
            command="check",
            after_s=5 * MINUTE_S,
            clear_s=MINUTE_S,
        )


def _spool_set_aside(facts: AlertFacts, _: Settings) -> Iterator[Condition]:
    aside = {name: spool for name, spool in _spools_of(facts).items() if spool.set_aside}
    if aside:
        number = sum(spool.set_aside for spool in aside.values())
        yield Condition(
            kind="spool_set_aside",
            text=(
                f"{counted(number, 'spooled message was', 'spooled messages were')} set aside on "
                f"{', '.join(sorted(aside))}."
            ),
            command="check",
            after_s=0,
            clear_s=MINUTE_S,
        )


def _spools_of(facts: AlertFacts) -> dict[str, SpoolNote]:
    """Of the receivers that run: what a machine that is gone had is not known any more."""
    oldest = timedelta(seconds=RECEIVER_AWAY_S)
    return {name: spool for name, spool in facts.spools.items() if facts.at - spool.at <= oldest}


def _failed(facts: AlertFacts, _: Settings) -> Iterator[Condition]:
    for cause, number in facts.causes.items():
        yield Condition(
            kind="failed",
            subject=cause,
            text=f"Failed calls and messages of cause {cause}: {number}.",
            command=f"failed list --cause {cause}",
            after_s=MINUTE_S,
            clear_s=MINUTE_S,
        )


def _source_silent(facts: AlertFacts, _: Settings) -> Iterator[Condition]:
    for source in facts.sources:
        if source.silent_since is not None:
            yield Condition(
                kind="source_silent",
                subject=source.slug,
                text=(
                    f"{source.title} has sent nothing since {_time(source.silent_since)}, in hours "
                    "in which it always did."
                ),
                command="sources",
                after_s=0,
                clear_s=0,
            )


def _signatures_refused(facts: AlertFacts, settings: Settings) -> Iterator[Condition]:
    last_at = {source.slug: source.last_at for source in facts.sources}
    for slug in sorted({entry.source for entry in facts.refused} & set(SOURCES)):
        passed_at = last_at.get(slug)
        in_a_row = [
            entry
            for entry in facts.refused
            if entry.source == slug
            and entry.status_code == HTTPStatus.UNAUTHORIZED
            and (passed_at is None or entry.last_at > passed_at)
        ]
        number = sum(entry.count for entry in in_a_row)
        if number >= settings.alerts_refused_in_a_row:
            reason = max(in_a_row, key=lambda entry: entry.last_at).reason
            yield Condition(
                kind="signatures_refused",
                subject=slug,
                text=(
                    f"The last {number} requests to {SOURCES[slug].title} failed their signature: "
                    f"{reason}."
                ),
                command=f"refused list --source {slug}",
                after_s=0,
                clear_s=5 * MINUTE_S,
            )


def _subscription_broken(facts: AlertFacts, _: Settings) -> Iterator[Condition]:
    for source in facts.sources:
        if source.subscription in BROKEN:
            yield Condition(
                kind="subscription_broken",
                subject=source.slug,
                text=f"The webhook subscription at {source.title} is {source.subscription}.",
                command="subscriptions list",
                after_s=30 * MINUTE_S,
                clear_s=5 * MINUTE_S,
            )


def _unknown_values(facts: AlertFacts, _: Settings) -> Iterator[Condition]:
    by_source: dict[str, list[str]] = {}
    for (slug, value), last_at in sorted(facts.unknown_values.items()):
        if facts.at - last_at <= VALUES_COUNT_FOR:
            by_source.setdefault(slug, []).append(value)
    for slug, values in by_source.items():
        shown = ", ".join(values[:VALUES_SHOWN])
        if len(values) > VALUES_SHOWN:
            shown += f" and {len(values) - VALUES_SHOWN} more"
        yield Condition(
            kind="unknown_values",
            subject=slug,
            text=f"{slug} sends values that this version does not know: {shown}.",
            command=f"calls --source {slug} --since 24h",
            after_s=0,
            clear_s=0,
        )


def _outcome_shifted(facts: AlertFacts, _: Settings) -> Iterator[Condition]:
    # In one: where one share rises, others fall.
    shifts = shifted_outcomes(facts.outcome_days, today=facts.at.date())
    shares = [
        f'"{shift.outcome}" {shift.share:.0%} (before {shift.usual_share:.0%})'
        for shift in shifts[:SHIFTS_SHOWN]
    ]
    if shares:
        yield Condition(
            kind="outcome_shifted",
            text=(
                "Outcomes since yesterday differ from those of the month before: "
                f"{', '.join(shares)}."
            ),
            command="calls --since 24h",
            after_s=HOUR_S,
            clear_s=6 * HOUR_S,
        )


_FINDERS: Final[Sequence[Callable[[AlertFacts, Settings], Iterator[Condition]]]] = (
    _no_worker,
    _no_receiver,
    _messages_unread,
    _delivery_late,
    _buildr_away,
    _spool_waiting,
    _spool_set_aside,
    _failed,
    _source_silent,
    _signatures_refused,
    _subscription_broken,
    _unknown_values,
    _outcome_shifted,
)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _span(seconds: float) -> str:
    if seconds < HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    return f"{seconds / HOUR_S:.1f} h"
