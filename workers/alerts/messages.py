"""
What alerts read like: one message for all that happened at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from service.logs.control_characters import escape_controls
from service.logs.masking import mask_text
from service.settings import Settings
from workers.alerts.book import Notice, NoticeKind

PROGRAM: Final = "buildr-calls"
RUNBOOK: Final = "docs/alerts.md"
MOST_NOTICES: Final = 20
LONGEST_SUBJECT: Final = 120
MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400
# In this order in a message: what is new first.
PREFIXES: Final = {
    NoticeKind.OPENED: "ALERT",
    NoticeKind.REMINDER: "STILL",
    NoticeKind.OVER: "OVER",
}


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """One message: a line for the subject, and the text, which begins with no greeting."""

    subject: str
    text: str


def message_of(notices: Sequence[Notice], accounts: dict[str, Settings]) -> AlertMessage:
    """
    The message of these notices, at least one; `accounts` are those of the installation by name,
    and named in it where there are several.
    """
    order = list(PREFIXES)
    notices = sorted(notices, key=lambda notice: (order.index(notice.kind), notice.alert.key))
    shown = notices[:MOST_NOTICES]
    parts = ["\n".join(_lines(notice, accounts)) for notice in shown]
    if len(notices) > len(shown):
        parts.append(f"And {len(notices) - len(shown)} more: {PROGRAM} alerts list")
    return AlertMessage(
        subject=f"[{PROGRAM}] {_subject(notices)}"[:LONGEST_SUBJECT],
        # Vendors' values are in it, and an error of Redis may quote an address.
        text=mask_text("\n\n".join(parts)),
    )


def trial_message() -> AlertMessage:
    """The message of `alerts test`."""
    return AlertMessage(
        subject=f"[{PROGRAM}] Test of the alerts",
        text=(
            f"This is a test: alerts of {PROGRAM} arrive here.\nWhat is open: {PROGRAM} alerts list"
        ),
    )


def _subject(notices: Sequence[Notice]) -> str:
    if len(notices) == 1:
        (notice,) = notices
        text = escape_controls(mask_text(notice.alert.text), has_lines=False)
        if notice.kind is NoticeKind.OPENED:
            return text
        return f"{PREFIXES[notice.kind].capitalize()}: {text}"
    counts = {
        "new": _count(notices, NoticeKind.OPENED),
        "still open": _count(notices, NoticeKind.REMINDER),
        "over": _count(notices, NoticeKind.OVER),
    }
    return "Alerts: " + ", ".join(f"{number} {name}" for name, number in counts.items() if number)


def _count(notices: Sequence[Notice], kind: NoticeKind) -> int:
    return sum(notice.kind is kind for notice in notices)


def _lines(notice: Notice, accounts: dict[str, Settings]) -> Iterator[str]:
    alert = notice.alert
    where = ""
    command = f"{PROGRAM} {alert.command}"
    if len(accounts) > 1:
        where = f" [{notice.account}]"
        settings = accounts.get(notice.account)
        if settings is not None and not settings.is_default:
            command += f" --account {notice.account}"
    yield f"{PREFIXES[notice.kind]}{where}: {alert.text}{_duration(notice)}"
    if notice.kind is not NoticeKind.OVER:
        yield f"  see: {command}"
        yield f"  runbook: {RUNBOOK}#{alert.kind}"


def _duration(notice: Notice) -> str:
    alert = notice.alert
    if notice.kind is NoticeKind.REMINDER:
        return f" Open since {alert.since:%Y-%m-%d %H:%M} UTC."
    if notice.kind is NoticeKind.OVER and alert.gone_at is not None:
        return f" It lasted {_span((alert.gone_at - alert.since).total_seconds())}."
    return ""


def _span(seconds: float) -> str:
    if seconds < HOUR_S:
        return f"{max(1, round(seconds / MINUTE_S))} min"
    if seconds < DAY_S:
        return f"{seconds / HOUR_S:.1f} h"
    return f"{seconds / DAY_S:.1f} days"
