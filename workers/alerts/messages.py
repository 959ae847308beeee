"""
What alerts read like: one message for all that happened at once.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from service.logs.control_characters import escape_controls
from service.logs.masking import mask_text
from service.settings import Settings
from workers.alerts.book import Notice, NoticeKind

PROGRAM: Final = "buildr-calls"
RUNBOOK: Final = "docs/alerts.md"
# Discord takes 2000 characters, Slack many more; characters that are escaped count for several.
LONGEST_TEXT: Final = 1700
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


class AlertMessage(Struct, frozen=True):
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
    parts: list[str] = []
    for notice in notices:
        part = "\n".join(_lines(notice, accounts))
        if parts and sum(map(len, parts)) + len(part) > LONGEST_TEXT:
            parts.append(f"And {len(notices) - len(parts)} more: {PROGRAM} alerts list")
            break
        parts.append(part)
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
        text = escape_controls(mask_text(_first_sentence(notice.alert.text)), has_lines=False)
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
    if notice.kind is NoticeKind.OVER:
        lasted_s = ((alert.gone_at or alert.since) - alert.since).total_seconds()
        prefix = f"{PREFIXES[notice.kind]}{where} after {_span(lasted_s)}"
        yield f"{prefix}: {_first_sentence(alert.text)}"
        return
    since = ""
    if notice.kind is NoticeKind.REMINDER:
        since = f" Since {alert.since:%Y-%m-%d %H:%M} UTC."
    yield f"{PREFIXES[notice.kind]}{where}: {alert.text}{since}"
    yield f"  see: {command}"
    yield f"  runbook: {RUNBOOK}#{alert.kind}"


def _first_sentence(text: str) -> str:
    """What was wrong; what followed from it is over too."""
    first, stop, _ = text.partition(". ")
    return first + stop.strip()


def _span(seconds: float) -> str:
    if seconds < HOUR_S:
        return f"{max(1, round(seconds / MINUTE_S))} min"
    if seconds < DAY_S:
        return f"{seconds / HOUR_S:.1f} h"
    return f"{seconds / DAY_S:.1f} days"
