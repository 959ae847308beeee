"""
Logging of both processes: structlog, and every library's own log, through one pipeline that masks
all of it.

JSON off a terminal, one object per line; for people on one.
"""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import FrameType
from typing import Final, Literal, TextIO, TypeGuard

import structlog
from structlog.typing import EventDict, ExcInfo, WrappedLogger

from service.logs.events import LogEvent
from service.logs.masking import (
    MAX_TEXT,
    in_one_line,
    key_name,
    mask,
    mask_text,
)
from service.logs.writer import LineWriter, make_writer

# A process that ends waits so long for the reader of its log.
FLUSH_TIMEOUT_S: Final = 2.0
_LEVELS: Final[Mapping[str, int]] = {
    # arq logs the arguments of each job at level info.
    "arq": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpcore": logging.WARNING,
    # httpx logs each URL with its query at level info.
    "httpx": logging.WARNING,
    # One line per message is ours; an access log would double it.
    "uvicorn.access": logging.CRITICAL + 1,
}


def configure_logging(
    *,
    fmt: Literal["auto", "json", "pretty"],
    level: str,
    stream: TextIO | None = None,
    in_background: bool = False,
) -> None:
    """
    Send structlog and the standard library's logging to one stream (stdout by default).

    `auto` is `pretty` on a terminal and `json` elsewhere. With `in_background` a thread writes, for
    processes that must not wait for the reader of their log. Calling it again replaces what the
    last call set.
    """
    stream = stream or sys.stdout
    least = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Loggers are made at import, before this runs: a cached one would keep the configuration of
        # then.
        cache_logger_on_first_use=False,
    )
    is_terminal = stream.isatty()
    is_pretty = fmt == "pretty" or (fmt == "auto" and is_terminal)
    formatter = _Formatter(
        is_pretty=is_pretty, has_colors=is_terminal and not os.environ.get("NO_COLOR")
    )
    # A name from a vendor in a terminal of another encoding must not cost the line.
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    handler = _Handler(
        make_writer(stream, in_background=in_background, dropped_line=formatter.dropped_line)
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for handler_before in root.handlers:
        # Only ours: others may be of a test or of the program that imports this one.
        if isinstance(handler_before, _Handler):
            handler_before.close()
    # In place of all others, since a second handler would print each line once more, unmasked.
    root.handlers[:] = [handler]
    root.setLevel(least)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", *_LEVELS):
        logging.getLogger(name).setLevel(max(least, _LEVELS.get(name, least)))


def log_line(event: LogEvent, **fields: object) -> str:
    """
    One line in JSON as the service writes it, at level info and masked: for a command that has to
    leave one, though its own output is no log.
    """
    entry: EventDict = {
        "timestamp": datetime.now(UTC).isoformat(),
        "level": "info",
        "event": event,
        **fields,
    }
    masked = _mask_entry(None, "info", entry)
    return str(structlog.processors.JSONRenderer(ensure_ascii=False)(None, "info", masked))


def flush_log(timeout_s: float = FLUSH_TIMEOUT_S) -> None:
    """Wait until the lines that are queued are written, at most `timeout_s` for each stream."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.writer.flush(timeout_s)


def flush_log_on_signal(signal_number: signal.Signals) -> None:
    """
    Write what is queued before a signal ends the process, for as long as no other handler is set.

    Raises ValueError outside the main thread.
    """

    def end(number: int, _: FrameType | None) -> None:
        flush_log()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal_number, end)


def _shared() -> "list[structlog.typing.Processor]":
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _render_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """
    Render an exception: `error` in one line, `exception` as traceback without local variables.
    """
    info = _exc_info(event.pop("exc_info", None))
    if info is not None:
        event.setdefault("error", in_one_line(info[1]))
        # `traceback` prints no local variables. Those of a handler would hold whole messages and
        # tokens.
        event["exception"] = "".join(traceback.format_exception(*info)).rstrip()
    return event


def _exc_info(value: object) -> ExcInfo | None:
    """The triple of an exception, given the exception, its triple, or True for the current one."""
    if isinstance(value, BaseException):
        return type(value), value, value.__traceback__
    if _is_exc_info(value):
        return value
    current = sys.exc_info()
    if value and _is_exc_info(current):
        return current
    return None


def _is_exc_info(value: object) -> TypeGuard[ExcInfo]:
    return (
        isinstance(value, tuple)
        and len(value) == len(sys.exc_info())
        and isinstance(value[1], BaseException)
    )


def _mask_entry(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask everything, the most telling keys first."""
    first = {
        name: event.pop(name) for name in ("timestamp", "level", "event", "logger") if name in event
    }
    exception = event.pop("exception", None)
    masked = {
        key_name(key): mask(value, key=key_name(key)) for key, value in {**first, **event}.items()
    }
    if isinstance(exception, str):
        masked["exception"] = mask_text(_end_of(exception))
    return masked


def _end_of(exception: str) -> str:
    """The end of a traceback, in whole lines; it is the part that helps most."""
    if len(exception) <= MAX_TEXT:
        return exception
    # The first line is cut; a name that marks its rest as confidential may be in the part that is
    # gone, and masking could not know.
    return exception[-MAX_TEXT:].partition("\n")[2]


class _Formatter(logging.Formatter):
    """
    Renders every record; one that cannot be rendered leaves a line that says so, and nothing of its
    content.
    """

    def __init__(self, *, is_pretty: bool, has_colors: bool) -> None:
        super().__init__()
        renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
        if is_pretty:
            renderer = structlog.dev.ConsoleRenderer(
                colors=has_colors, exception_formatter=structlog.dev.plain_traceback
            )
        remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        self._inner: Final = structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[remove, _render_exception, _mask_entry, renderer],
        )
        self._fallback: Final = renderer

    def format(self, record: logging.LogRecord) -> str:
        try:
            return self._inner.format(record)
        except Exception as err:
            # Values of any type are logged, and their methods may raise anything. The message of
            # `err` is left out, since it may quote what could not be masked.
            at = datetime.fromtimestamp(record.created, UTC)
            level = record.levelname.lower()
            return self._render(
                at, level, LogEvent.LOG_UNREADABLE, logger=record.name, error=type(err).__name__
            )

    def dropped_line(self, count: int) -> str:
        """The line that tells of lines that were dropped, since nobody read the log."""
        at = datetime.now(UTC)
        return self._render(at, "warning", LogEvent.LOG_LINES_DROPPED, logger=__name__, count=count)

    def _render(self, at: datetime, level: str, event: LogEvent, **fields: object) -> str:
        entry: EventDict = {"timestamp": at.isoformat(), "level": level, "event": event, **fields}
        return str(self._fallback(None, level, entry))


class _Handler(logging.Handler):
    """Gives lines to a writer; a stream that is gone is no reason to print a record elsewhere."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self.writer: Final = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Render a record and write or queue it."""
        try:
            self.writer.put(self.format(record))
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: the standard library would print the record's arguments, unmasked, to stderr."""

    def close(self) -> None:
        """Write what is queued, and no more after it; called when the interpreter ends."""
        self.writer.close(FLUSH_TIMEOUT_S)
        super().close()
