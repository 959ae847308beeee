"""
What is wrong by the facts of an account, and what is not.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from service.settings import Settings
from service.settings.alerts import ALERT_KINDS
from service.store.alerts import SpoolNote
from service.store.rate_limit.backlog import Outage
from service.store.rate_limit.lanes import Lane
from service.store.refused import RefusedRequests
from tests.repository.source_files import ROOT
from tests.workers.alerts.facts import NOW, facts, source
from workers.alerts.condition import AlertFacts
from workers.alerts.conditions import conditions_of, redis_trouble
from workers.alerts.outcome_shift import shifted_outcomes
from workers.delivery.status import LaneStatus


def _outage(cause: str) -> Outage:
    return Outage(since=NOW - timedelta(hours=1), cause=cause, next_try_at=NOW)


def _refused(*, at: datetime = NOW, count: int = 3, status: int = 401) -> RefusedRequests:
    return RefusedRequests(
        first_at=at,
        last_at=at,
        count=count,
        source="twilio",
        path="/webhooks/twilio",
        reason="no auth token gives this signature",
        status_code=status,
        network="203.0.113.0/24",
    )


def _month(outcome: str, *, usual: int, recent: int) -> dict[date, dict[str, int]]:
    days = {NOW.date() - timedelta(days=day): {outcome: usual, "Other": 20} for day in range(2, 29)}
    return {**days, NOW.date(): {outcome: recent, "Other": 60}}


WAITING = (LaneStatus(lane=Lane.FINAL, calls=7, oldest_age_s=4000.0),)
PASSED_BEFORE = source(last_at=NOW - timedelta(hours=1))

CASES: list[tuple[str, AlertFacts]] = [
    ("no_worker", facts(status={"workers_alive": 0, "oldest_message_age_s": 4000.0})),
    ("no_receiver", facts(receiver_at=NOW - timedelta(minutes=6))),
    ("messages_unread", facts(status={"oldest_message_age_s": 901.0})),
    ("delivery_late", facts(status={"lanes": WAITING})),
    ("buildr_away", facts(status={"outage": _outage("timeout"), "lanes": WAITING})),
    ("buildr_away", facts(status={"outage": _outage("buildr_unauthorized")})),
    ("spool_waiting", facts(spools={"web-1": SpoolNote(at=NOW, messages=3)})),
    ("spool_set_aside", facts(spools={"web-1": SpoolNote(at=NOW, set_aside=1)})),
    ("failed:buildr_rejected", facts(causes={"buildr_rejected": 3})),
    ("source_silent:twilio", facts(sources=[source(silent_since=NOW - timedelta(hours=3))])),
    ("signatures_refused:twilio", facts(sources=[PASSED_BEFORE], refused=[_refused()] * 2)),
    ("subscription_broken:twilio", facts(sources=[source(subscription="expired")])),
    ("unknown_values:twilio", facts(unknown_values={("twilio", f"v{n}"): NOW for n in range(7)})),
    ("outcome_shifted", facts(outcome_days=_month("Busy", usual=2, recent=40))),
]
WELL: list[AlertFacts] = [
    facts(receiver_at=NOW - timedelta(minutes=4)),
    facts(status={"oldest_message_age_s": 899.0}),
    facts(spools={"web-1": SpoolNote(at=NOW)}),
    # Of a machine that is gone.
    facts(spools={"web-1": SpoolNote(at=NOW - timedelta(minutes=6), messages=3)}),
    # A message that passed came after them.
    facts(sources=[source()], refused=[_refused(at=NOW - timedelta(minutes=1))] * 2),
    facts(sources=[PASSED_BEFORE], refused=[_refused(count=4)]),
    facts(sources=[PASSED_BEFORE], refused=[_refused(status=404, count=9)]),
    facts(sources=[source(subscription="active")]),
    facts(unknown_values={("twilio", "teleported"): NOW - timedelta(days=2)}),
    facts(outcome_days=_month("Busy", usual=2, recent=8)),
    # Too few calls since yesterday, and too short a month.
    facts(outcome_days={**_month("Busy", usual=2, recent=0), NOW.date(): {"Busy": 20}}),
    facts(outcome_days={NOW.date() - timedelta(days=2): {"A": 999}, NOW.date(): {"B": 999}}),
]


@pytest.mark.parametrize(("key", "account_facts"), CASES, ids=[key for key, _ in CASES])
def test_what_is_wrong(
    make_settings: Callable[..., Settings], key: str, account_facts: AlertFacts
) -> None:
    """One condition, which names what is wrong in a sentence and a command that shows more."""
    (condition,) = conditions_of(account_facts, make_settings())
    assert key == condition.key
    assert condition.text.endswith(".")
    off = make_settings(ALERTS_OFF=condition.kind)
    assert [] == conditions_of(account_facts, off)


@pytest.mark.parametrize(
    ("messages", "waiting", "aside"),
    [
        (1, "1 message waits on", "1 spooled message was set aside on"),
        (1200, "1,200 messages wait on", "1,200 spooled messages were set aside on"),
    ],
)
def test_one_message_is_not_several(
    make_settings: Callable[..., Settings], messages: int, waiting: str, aside: str
) -> None:
    """An alert is read by people."""
    spool = SpoolNote(at=NOW, messages=messages, set_aside=messages)
    conditions = conditions_of(facts(spools={"web-1": spool}), make_settings())
    assert [waiting, aside] == [
        condition.text.partition(" web-1")[0].replace(" the disk of", "")
        for condition in conditions
    ]


@pytest.mark.parametrize("account_facts", WELL)
def test_what_is_not(make_settings: Callable[..., Settings], account_facts: AlertFacts) -> None:
    """Nothing is reported that is no news."""
    assert [] == conditions_of(account_facts, make_settings())


def test_credentials_are_reported_at_once(make_settings: Callable[..., Settings]) -> None:
    """An outage may pass by itself; this does not."""
    (away,) = conditions_of(facts(status={"outage": _outage("timeout")}), make_settings())
    (refused,) = conditions_of(
        facts(status={"outage": _outage("buildr_unauthorized")}), make_settings()
    )
    assert (600, 0) == (away.after_s, refused.after_s)


def test_an_outcome_that_is_gone_has_shifted_too() -> None:
    """All calls get one outcome, since the rule of the other was lost."""
    days = _month("Busy", usual=20, recent=0)
    shifted = {
        shift.outcome: round(shift.share, 2) for shift in shifted_outcomes(days, today=NOW.date())
    }
    assert {"Busy": 0.0, "Other": 1.0} == shifted


def test_every_kind_is_found_and_has_a_runbook() -> None:
    """The settings name all kinds, and docs/alerts.md has a heading for each."""
    kinds = {key.partition(":")[0] for key, _ in CASES} | {redis_trouble("x").kind}
    assert set(ALERT_KINDS) == kinds
    page = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
    headings = [line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")]
    assert list(ALERT_KINDS) == headings


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"ALERTS_SLACK_URL": "http://hooks.example.com/x"}, "must start with https://"),
        ({"ALERTS_EMAIL_TO": "ops@example.com"}, "needs ALERTS_SMTP_URL"),
        ({"ALERTS_EMAIL_FROM": "nobody"}, "is no address"),
        ({"ALERTS_SMTP_URL": "mail.example.com"}, "must name a host"),
        ({"ALERTS_SMTP_URL": "http://mail.example.com"}, "must be like smtp://"),
        ({"ALERTS_SMTP_URL": "smtp://user@mail.example.com"}, "both user and password"),
        ({"ALERTS_SMTP_URL": "smtp://mail.example.com:x"}, "is no URL"),
        ({"ALERTS_OFF": "no_workers"}, "did you mean no_worker?"),
    ],
)
def test_settings_that_are_wrong(
    make_settings: Callable[..., Settings], values: dict[str, str], fault: str
) -> None:
    """Each is reported at the start, in words, without its value where it is a secret."""
    with pytest.raises(Exception, match=fault.replace("?", r"\?")) as caught:
        make_settings(**values)
    assert "hooks.example.com" not in str(caught.value)


def test_a_table_of_the_file(make_settings: Callable[..., Settings], tmp_path: Any) -> None:
    """`[alerts]` holds the same settings without their first word."""
    file = tmp_path / "buildr-calls.toml"
    file.write_text('[alerts]\nslack_url = "https://hooks.example.com/x"\nreminder_h = 4\n')
    settings = make_settings()
    assert settings.has_alerts
    assert 4 == settings.alerts_reminder_h
    file.write_text("[alerts]\nslack = 1\n")
    with pytest.raises(
        Exception, match="alerts_slack is no setting; did you mean alerts_slack_url"
    ):
        make_settings()
    file.write_text("alerts = 1\n")
    with pytest.raises(Exception, match="alerts must be a table"):
        make_settings()
