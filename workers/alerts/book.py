"""
The alerts of an account as a state machine: what opens, what is over, and what each channel has to
learn of it. Pure; the state is kept in Redis as JSON.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from service.events import UtcDatetime
from workers.alerts.condition import Condition


class NoticeKind(StrEnum):
    """What a channel has to learn of an alert."""

    OPENED = "opened"
    REMINDER = "reminder"
    OVER = "over"


class AlertState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One alert. It is open from `opened_at` to `over_at`; before, the condition only began at
    `since`, and may be gone since `gone_at`. `sent_at` is when each channel last learnt of it, by
    the channel's name. Times are UTC.
    """

    key: str
    kind: str
    text: str
    command: str
    since: UtcDatetime
    clear_s: float
    opened_at: UtcDatetime | None = None
    gone_at: UtcDatetime | None = None
    over_at: UtcDatetime | None = None
    sent_at: Mapping[str, UtcDatetime] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it has opened, and is not over."""
        return self.opened_at is not None and self.over_at is None

    @property
    def state(self) -> str:
        """In a word: begins, open, ends (it is gone, but not for long), over."""
        if self.over_at is not None:
            return "over"
        if self.opened_at is None:
            return "begins"
        if self.gone_at is not None:
            return "ends"
        return "open"


class Notice(Struct, frozen=True, kw_only=True):
    """What one channel has to learn of one alert of an account."""

    kind: NoticeKind
    account: str
    alert: AlertState


Book = Mapping[str, AlertState]
_BOOK: Final = msgspec.json.Decoder(dict[str, AlertState])


def read_book(text: bytes | None) -> Book:
    """The stored alerts; none if there are none, or those of a newer version cannot be read."""
    if text is None:
        return {}
    try:
        return _BOOK.decode(text)
    except ValueError:
        return {}


def book_text(book: Book) -> bytes:
    """The alerts as they are stored."""
    return msgspec.json.encode(dict(book))


def advance(book: Book, conditions: Iterable[Condition], *, now: datetime) -> Book:
    """The alerts after another reading of the conditions."""
    present = {condition.key: condition for condition in conditions}
    alerts = {key: _still(book.get(key), condition, now) for key, condition in present.items()}
    for key, alert in book.items():
        # What had not opened leaves no trace.
        if key not in present and alert.opened_at is not None:
            alerts[key] = _gone(alert, now)
    return alerts


def _still(alert: AlertState | None, condition: Condition, now: datetime) -> AlertState:
    # Over, and still kept: what is left is to report the end. It begins anew.
    if alert is None or (alert.over_at is not None and not alert.sent_at):
        alert = AlertState(
            key=condition.key,
            kind=condition.kind,
            text=condition.text,
            command=condition.command,
            since=now,
            clear_s=condition.clear_s,
        )
    opened_at = alert.opened_at
    if opened_at is None and (now - alert.since).total_seconds() >= condition.after_s:
        opened_at = now
    return replace(
        alert,
        text=condition.text,
        command=condition.command,
        clear_s=condition.clear_s,
        opened_at=opened_at,
        gone_at=None,
        over_at=None,
    )


def _gone(alert: AlertState, now: datetime) -> AlertState:
    gone_at = alert.gone_at or now
    over_at = alert.over_at
    if over_at is None and (now - gone_at).total_seconds() >= alert.clear_s:
        over_at = now
    return replace(alert, gone_at=gone_at, over_at=over_at)


def notices_for(
    channel: str, book: Book, *, account: str, now: datetime, reminder: timedelta | None
) -> list[Notice]:
    """What a channel has to learn now; without `reminder` there are no reminders."""
    notices = []
    for alert in book.values():
        kind = _notice_kind(alert, alert.sent_at.get(channel), now=now, reminder=reminder)
        if kind is not None:
            notices.append(Notice(kind=kind, account=account, alert=alert))
    return notices


def _notice_kind(
    alert: AlertState, sent_at: datetime | None, *, now: datetime, reminder: timedelta | None
) -> NoticeKind | None:
    if alert.over_at is not None:
        # A channel that never learnt of it needs no end of it either.
        if sent_at is None:
            return None
        return NoticeKind.OVER
    if alert.opened_at is None:
        return None
    if sent_at is None:
        return NoticeKind.OPENED
    # What may be over in a moment is no reason for a reminder.
    if reminder is not None and alert.gone_at is None and now - sent_at >= reminder:
        return NoticeKind.REMINDER
    return None


def with_sent(book: Book, notices: Iterable[Notice], channel: str, *, now: datetime) -> Book:
    """The alerts, after a channel has learnt these notices."""
    alerts = dict(book)
    for notice in notices:
        alert = alerts.get(notice.alert.key)
        if alert is None:
            continue
        sent_at = {name: at for name, at in alert.sent_at.items() if name != channel}
        if notice.kind is not NoticeKind.OVER:
            sent_at[channel] = now
        alerts[alert.key] = replace(alert, sent_at=sent_at)
    return alerts


def pruned(book: Book, channels: Collection[str]) -> Book:
    """The alerts without those that are over and of which no channel has to learn any more."""
    alerts = {}
    for key, alert in book.items():
        sent_at = {name: at for name, at in alert.sent_at.items() if name in channels}
        if alert.over_at is None or sent_at:
            alerts[key] = replace(alert, sent_at=sent_at)
    return alerts
