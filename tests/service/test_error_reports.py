"""
Bugs are reported to Sentry over HTTP, and nothing of their content is.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from service.error_reports import open_error_reports, reporting_errors
from service.errors import SettingsError
from service.logs.events import LogEvent
from service.logs.setup import configure_logging
from service.settings import Settings
from tests.doubles.hooks import Hook, hook_server

SECRETS = ("+15005550006", "fake-secret-of-a-body", "Ana Lima")


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Set up logging as the processes do, and leave it as it was."""
    before = structlog.get_config()
    root = logging.getLogger()
    handlers = root.handlers[:]
    level = root.level
    configure_logging(fmt="json", level="info", stream=sys.stderr)
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def _break(body: str) -> None:
    """Raise with content in the text, in a local variable, and in the cause."""
    secret = body
    try:
        _ = dict[str, str]()[secret]
    except KeyError as err:
        raise ValueError(f"cannot read {secret}") from err


def _bug(body: str) -> ValueError:
    """An exception that was caught."""
    try:
        _break(body)
    except ValueError as err:
        return err
    raise AssertionError


def _events(hook: Hook) -> list[dict[str, object]]:
    """The events of all envelopes: lines of JSON, the third of which is the event."""
    return [json.loads(body.splitlines()[2]) for body in hook.bodies]


def _settings(make_settings: Callable[..., Settings], hook: Hook) -> Settings:
    return make_settings(SENTRY_DSN=f"http://fakekey@127.0.0.1:{hook.port}/7")


def test_a_bug_is_reported_without_its_content(make_settings: Callable[..., Settings]) -> None:
    """Types and places in the code, event, source and account; once a minute for each kind."""
    log = structlog.get_logger("workers.jobs")
    with hook_server() as hook, reporting_errors(_settings(make_settings, hook)):
        for _ in range(3):
            with structlog.contextvars.bound_contextvars(account="default"):
                try:
                    _break(" ".join(SECRETS))
                except ValueError:
                    log.exception(LogEvent.JOB_BROKEN, source="twilio", body=SECRETS[1])
        log.error(LogEvent.JOB_FAILED, reason="no bug")
        hook.wait()
    assert ["/api/7/envelope/"] == hook.paths
    (event,) = _events(hook)
    assert {"event": "job.broken", "source": "twilio", "account": "default"} == event["tags"]
    text = json.dumps(event)
    assert "KeyError" in text
    assert "ValueError" in text
    assert "_break" in text
    assert [] == [secret for secret in SECRETS if secret in text]
    assert {"server_name", "modules", "extra", "contexts", "user", "breadcrumbs"}.isdisjoint(event)


def test_errors_of_libraries_are_reported_too(make_settings: Callable[..., Settings]) -> None:
    """Without the line that they wrote."""
    with hook_server() as hook, reporting_errors(_settings(make_settings, hook)):
        log = logging.getLogger("asyncio")
        log.error("task of %s", SECRETS[2], exc_info=_bug(SECRETS[0]))
        log.error("no exception of %s", SECRETS[2])
        hook.wait()
    (event,) = _events(hook)
    assert {"event": "logger asyncio"} == event["tags"]
    assert SECRETS[2] not in json.dumps(event)


def test_sentry_that_hangs_holds_nothing_up(make_settings: Callable[..., Settings]) -> None:
    """A report is queued; the end waits for its time only."""
    log = structlog.get_logger("workers.jobs")
    with hook_server() as hook:
        hook.is_hanging = True
        reports = open_error_reports(_settings(make_settings, hook))
        assert reports is not None
        reports.begin()
        log.error(LogEvent.JOB_BROKEN, exc_info=_bug("x"))
        hook.wait()
        hook.release()
        reports.close()


def test_off_and_without_the_package(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off is nothing; a package that is missing is named at the start."""
    assert open_error_reports(make_settings()) is None
    with reporting_errors(make_settings()):
        assert 1 == len(structlog.get_config()["processors"])
    monkeypatch.setattr("service.error_reports.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"buildr-calls\[sentry\]"):
        open_error_reports(make_settings(SENTRY_DSN="https://key@sentry.example.com/1"))


def test_kinds_are_bounded(make_settings: Callable[..., Settings]) -> None:
    """Names of events are few; should they not be, memory does not grow."""
    with hook_server() as hook:
        reports = open_error_reports(_settings(make_settings, hook))
        assert reports is not None
        captured = []
        object.__setattr__(reports, "capture", lambda *_: captured.append(1))
        for number in range(250):
            reports.report(ValueError("x"), {"event": str(number)})
        reports.report(True, {})
        assert 250 == len(captured)
        assert len(reports._last_s) < 201
        reports.close()
