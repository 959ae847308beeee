"""
Bugs go to Sentry, if a DSN is set: every line of the log with a traceback, ours and of libraries.

A report holds the type of the exception, the places in the code, the name of the log event, source
and account. It holds no text of an exception, no local variable, no body, number, secret or name.
"""

import logging
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Final

import structlog
from structlog.typing import EventDict, ExcInfo, WrappedLogger

from service.clock import steady_s
from service.errors import SettingsError
from service.logs.lines import exc_info_of
from service.settings import Settings

# Of one kind: a bug that meets every message must not become a flood.
REPORT_EVERY_S: Final = 60.0
MOST_KINDS: Final = 200
# Of a line of the log: words of ours.
TAGS: Final = ("source", "account")


def require_extra(package: str, *, setting: str, extra: str) -> None:
    """Raises `SettingsError` with the cure if a package that a setting needs is not installed."""
    try:
        is_installed = find_spec(package) is not None
    # Of a package whose parent is not there.
    except ModuleNotFoundError:
        is_installed = False
    if not is_installed:
        raise SettingsError((f"{setting} needs a package: pip install 'buildr-calls[{extra}]'",))


@dataclass(frozen=True, slots=True)
class ErrorReports:
    """Hooks into the log; `capture` sends one report, and returns at once."""

    capture: Callable[[ExcInfo, MutableMapping[str, str]], None]
    close: Callable[[], None]
    _last_s: dict[tuple[object, ...], float] = field(default_factory=dict, init=False)

    def begin(self) -> None:
        """Report from now on; after `configure_logging`, which would take it away."""
        processors = structlog.get_config()["processors"]
        structlog.configure(processors=[self.read_line, *processors])
        logging.getLogger().addHandler(_Handler(self))

    def read_line(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """A line of ours, as structlog's first processor; it goes on as it was."""
        if "exc_info" in event:
            bound = structlog.contextvars.get_contextvars()
            tags = {"event": str(event.get("event", ""))}
            for name in TAGS:
                value = event.get(name, bound.get(name))
                if isinstance(value, str):
                    tags[name] = value
            self.report(event["exc_info"], tags)
        return event

    def report(self, exc_info: object, tags: MutableMapping[str, str]) -> None:
        """Report an exception, unless one of its kind was reported within a minute."""
        triple = exc_info_of(exc_info)
        if triple is None or not self._is_due(triple, tags):
            return
        self.capture(triple, tags)

    def _is_due(self, triple: ExcInfo, tags: MutableMapping[str, str]) -> bool:
        place = triple[2]
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        line = None
        if place is not None:
            line = (place.tb_frame.f_code.co_filename, place.tb_lineno)
        kind = (triple[0], line, tags.get("event"))
        now = steady_s()
        last_s = self._last_s.get(kind)
        if last_s is not None and now - last_s < REPORT_EVERY_S:
            return False
        if len(self._last_s) >= MOST_KINDS:
            self._last_s.clear()
        self._last_s[kind] = now
        return True


def open_error_reports(settings: Settings) -> ErrorReports | None:
    """
    Reports to the project that `SENTRY_DSN` names; None without one, and then nothing is imported.
    Raises `SettingsError` if the package is not installed.
    """
    if settings.sentry_dsn is None:
        return None
    require_extra("sentry_sdk", setting="SENTRY_DSN", extra="sentry")
    from service.sentry_client import SentryClient

    client = SentryClient(settings.sentry_dsn.get_secret_value())
    return ErrorReports(capture=client.capture, close=client.close)


@contextmanager
def reporting_errors(settings: Settings) -> Iterator[None]:
    """
    Report bugs until the end of the block, if the settings say where to. Raises `SettingsError` if
    the package is not installed.
    """
    reports = open_error_reports(settings)
    if reports is None:
        yield
        return
    reports.begin()
    try:
        yield
    finally:
        reports.close()


class _Handler(logging.Handler):
    """The lines of libraries, whose own texts are left out."""

    def __init__(self, reports: ErrorReports) -> None:
        super().__init__(logging.ERROR)
        self._reports: Final = reports

    def emit(self, record: logging.LogRecord) -> None:
        """Report the exception of a record, if it has one."""
        if record.exc_info:
            self._reports.report(record.exc_info, {"event": f"logger {record.name}"})
